"""Content ids: the same content gives the same 20 hex digits on every machine, in every process."""

import json
from hashlib import blake2b

_RULE = "content must be made of dicts with text keys, lists, text, finite numbers, booleans and nulls"


def canonical_json(content: object) -> str:
    """Write `content` in the one form that is hashed: sorted keys, no spaces, shortest floats.

    Raises:
        ValueError: A number is NaN or infinite, or a value is no JSON value.
    """
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except TypeError as error:
        raise ValueError(f"{_RULE}; {error}") from error


def content_id(content: object) -> str:
    """Hash the canonical JSON of `content` to 20 hex digits (80 bits: 1e-12 for a collision at a million trials)."""
    return blake2b(canonical_json(content).encode(), digest_size=10).hexdigest()

"""Which files go to MLflow: those of a trial within limits, and the reports of a study when they changed."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

_MB = 1_000_000
_FEW, _MANY = (5 * _MB, 20 * _MB), (50 * _MB, 200 * _MB)
LIMITS_BYTES = {"arm": _MANY, "untuned": _MANY, "stage": _FEW, "search": _FEW}
"""Of one file and of all, by role: what a stage wrote is there for the trials that need it, not to be looked at, and a
search's configurations are many."""
_DIGITS = 12
_LONGEST_TAG = 7900


def trial_files(folder: Path, role: str) -> tuple[list[Path], list[str]]:
    """Choose the files of a trial that are mirrored, in the order of their names.

    Args:
        folder: The trial's folder of artifacts; it need not exist.
        role: Of the trial in its study.

    Returns:
        Paths relative to the folder, and a line for the log per file that is left out.
    """
    largest, room = LIMITS_BYTES[role]
    chosen, left_out = [], []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name, size = path.relative_to(folder), path.stat().st_size
        if size > largest or size > room:
            limit = f"{largest // _MB} MB a file" if size > largest else "the trial's total"
            left_out.append(f"--- not mirrored: {name} ({size / _MB:.1f} MB, over {limit}); it is in the store")
            continue
        chosen.append(name)
        room -= size
    return chosen, left_out


def changed_files(files: Sequence[Path], noted: str) -> tuple[list[Path], str]:
    """Give the files whose content is not the noted one, and the new note (a tag's value)."""
    digests = {path.name: sha256(path.read_bytes()).hexdigest()[:_DIGITS] for path in files}
    try:
        before = dict(json.loads(noted)) if noted else {}
    except ValueError:
        before = {}
    note = json.dumps({**before, **digests}, sort_keys=True, separators=(",", ":"))
    if len(note) > _LONGEST_TAG:  # too many files for a tag: all or none are sent
        note = sha256(note.encode()).hexdigest()
        return ([], note) if note == noted else (list(files), note)
    return [path for path in files if before.get(path.name) != digests[path.name]], note

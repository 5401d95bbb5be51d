"""What a machine was busy with while a trial ran: facts of the run, in a file of their own beside the curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.store.files import append_line, decode_metrics, encode_metrics

if TYPE_CHECKING:
    from ablate.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSample:
    """One look at the machine: the attempt that took it, milliseconds since 1970, and values named with their unit."""

    attempt: int
    time_ms: int
    metrics: Mapping[str, float]


def append_system(store: Store, trial_id: str, sample: SystemSample) -> None:
    """Add a sample to a trial's; those of earlier attempts stay.

    Raises:
        StoreError: The attempt was overtaken, or the store cannot be written.
    """
    store.check_attempt(trial_id, sample.attempt)
    content = {"attempt": sample.attempt, "time_ms": sample.time_ms, "metrics": encode_metrics(sample.metrics)}
    append_line(_path(store, trial_id), json.dumps(content))


def system_samples(store: Store, trial_id: str) -> dict[int, SystemSample]:
    """Give a trial's samples by their place in the file; a line that a crash tore is left out."""
    try:
        text = _path(store, trial_id).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found = {}
    for place, line in enumerate(text.split("\n")[:-1]):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        found[place] = SystemSample(**{**content, "metrics": decode_metrics(content["metrics"])})
    return found


def _path(store: Store, trial_id: str) -> Path:
    return store.folder(trial_id) / "system.jsonl"

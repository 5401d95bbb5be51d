"""What a machine was busy with while a trial ran: facts of the run, in a file of their own beside the curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.store.files import decode_metrics, encode_metrics

if TYPE_CHECKING:
    from ablate.store.store import Store

FILE = "system.jsonl"


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
    content = {"attempt": sample.attempt, "time_ms": sample.time_ms, "metrics": encode_metrics(sample.metrics)}
    store.lines(trial_id, FILE).append(sample.attempt, json.dumps(content))


def system_samples(store: Store, trial_id: str) -> dict[int, SystemSample]:
    """Give a trial's samples by their place in the file; a line that a crash tore is left out."""
    found = {}
    for place, line in enumerate(store.lines(trial_id, FILE).read()):
        try:
            content = json.loads(line)
            found[place] = SystemSample(**{**content, "metrics": decode_metrics(content["metrics"])})
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return found

"""A trial's record: what came of it, decided by the trial alone, and beside it the facts of the run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ablate.errors import StoreError
from ablate.store.files import decode_metrics, encode_metrics
from ablate.trial import Json, Outcome, Status

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Where and when an attempt ran. Nothing here may enter a result.

    Args:
        attempt: Which attempt wrote the record, from 1.
        started: Start of the attempt, ISO 8601 in UTC.
        ended: Its end.
        seconds: Wall time between the two, by a clock that is never set back.
        host: Name of the machine.
        python: Version of the interpreter.
        versions: Versions of the libraries that can change a result.
        num_stacked: How many trials ran together in its process.
    """

    attempt: int
    started: str
    ended: str
    seconds: float
    host: str
    python: str
    versions: Mapping[str, str] = field(default_factory=dict)
    num_stacked: int = 1

    @property
    def own_seconds(self) -> float:
        """Its share of the time of its process."""
        return self.seconds / self.num_stacked


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the store holds about the end of a trial's last attempt."""

    trial_id: str
    status: Status
    metrics: Mapping[str, float]
    error: str | None
    run: RunFacts

    @property
    def outcome(self) -> Outcome:
        """The record as the outcome that a worker gave."""
        return Outcome(
            trial_id=self.trial_id,
            attempt=self.run.attempt,
            status=self.status,
            metrics=dict(self.metrics),
            error=self.error,
            seconds=self.run.seconds,
        )


def record_content(outcome: Outcome, run: RunFacts) -> dict[str, Json]:
    """Write an outcome and its run as the JSON object of `record.json`."""
    return {
        "schema": SCHEMA,
        "id": outcome.trial_id,
        "status": str(outcome.status),
        "metrics": encode_metrics(outcome.metrics),
        "error": outcome.error,
        "run": {**asdict(run), "versions": dict(run.versions)},
    }


def read_record(content: Mapping[str, Json], where: object) -> Record:
    """Read the JSON object of `record.json`.

    Args:
        content: The object.
        where: Where it came from, for the message.

    Raises:
        StoreError: It was written by another version of the platform, or is no record.
    """
    schema = content.get("schema")
    if schema != SCHEMA:
        advice = "; install that version" if _is_newer(schema) else ""
        raise StoreError(f"{where}: record of schema {schema!r}, this version reads {SCHEMA}{advice}")
    try:
        return Record(
            trial_id=content["id"],
            status=Status(content["status"]),
            metrics=decode_metrics(content["metrics"]),
            error=content["error"],
            run=RunFacts(**content["run"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{where}: not a trial's record ({error!r})") from error


def is_of_newer_schema(data: bytes) -> bool:
    """Say whether a record is another version's rather than damaged: that one must find it as it left it."""
    try:
        content = json.loads(data)
    except ValueError:
        return False
    return isinstance(content, dict) and _is_newer(content.get("schema"))


def _is_newer(schema: Json) -> bool:
    return isinstance(schema, int) and schema > SCHEMA

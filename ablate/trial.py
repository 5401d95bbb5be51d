"""What travels between the driver and a worker: the trial's content goes down by its id, one outcome comes up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from ablate.ids import content_id

Json = Any
"""A JSON value: what canonical JSON can hold."""

PARENT = "parent-state"
"""Stands among what a trial needs for the trial whose last state it goes on from; no stage can be called so."""


class Status(StrEnum):
    """How an attempt at a trial ended."""

    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where and with how much a trial runs; never hashed, because at most the last bits of a result depend on it.

    The number of threads follows `num_cpus`, and with it the order of sums. `deterministic` makes torch refuse
    operations whose result varies from run to run, which some do on a GPU. An attempt that exceeds a limit fails, and
    is not tried again in that run.

    Up to `stack_seeds` trials that differ in nothing but their seed run as a stack: in one process, by one call of the
    task's companion (`run_stacked` beside `run`). A stack takes what one trial asks for, and its limits are for all of
    it. Batched sums are taken in another order, so that results equal those of separate runs within floating-point
    tolerance, not to the last bit.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    retries: int = 1
    deterministic: bool = False
    time_limit_s: float | None = None
    memory_limit_mib: float | None = None
    stack_seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """All that decides a trial's result, and the id made of it.

    Args:
        task: Import path of the callable, `package.module:name`.
        parameters: Every parameter of the task's signature but `seed` and `trial`, resolved, as JSON.
        seed: The replicate, or `None` for a task that has no `seed` parameter.
        needs: Id of the finished trial behind each stage this one needs.
        data: Fingerprints of what the parameters point at, by dotted parameter path.
        code: Fingerprint of the first-party code the task can reach.
        keeps_state: Whether its last state is part of what it gives: others go on from it. It is hashed where it is so,
            because a trial that finished without keeping its state cannot stand in for one that does.
        resources: Not part of the id.
    """

    task: str
    parameters: Mapping[str, Json]
    seed: int | None
    needs: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    keeps_state: bool = False
    resources: Resources = field(default_factory=Resources)

    @cached_property
    def id(self) -> str:
        """20 hex digits over everything but the resources."""
        return content_id(self.content())

    def content(self) -> dict[str, Json]:
        """Give the hashed part as a plain dict."""
        content = {
            "task": self.task,
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "needs": dict(self.needs),
            "data": dict(self.data),
            "code": self.code,
        }
        return content | {"keeps_state": True} if self.keeps_state else content


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One point of a running trial's curves."""

    trial_id: str
    attempt: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt. `error` is the traceback of a failed one."""

    trial_id: str
    attempt: int
    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0

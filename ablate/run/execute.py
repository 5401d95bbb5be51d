"""A plan carried out: what is finished is skipped, what is left runs on a backend, and the store says what came out."""

import logging
from collections.abc import Callable, Sequence

from ablate.analysis.replication import Replication, reached
from ablate.analysis.results import read_outcomes
from ablate.backends.backend import Backend
from ablate.plan.file import save_plan
from ablate.plan.model import Plan
from ablate.plan.proposer import PlanProposer
from ablate.plan.replication import ReplicationProposer
from ablate.plan.subjects import subjects
from ablate.records.recorder import Recorder
from ablate.run.lease import Lease
from ablate.run.recorders import Recorders
from ablate.run.searching import execute_search
from ablate.run.summary import RunSummary, summarise
from ablate.search.proposer import Proposer
from ablate.store import Store, TrialIndex
from ablate.trial import Status

_log = logging.getLogger(__name__)


def execute(
    plan: Plan,
    *,
    store: Store,
    backend: Backend,
    recorders: Sequence[Recorder] = (),
    stopping: Callable[[], bool] = lambda: False,
) -> RunSummary:
    """Run what is left of a plan. Doing it again goes on where it was interrupted, and is free when all is done.

    Where results decide how many seeds there are, what they never asked for is not counted.

    Args:
        plan: The trials.
        store: Takes their specifications first, then everything they give.
        backend: Runs them; not touched when nothing is left to run.
        recorders: Listeners; closed at the end, whatever happens. A faulty one is muted.
        stopping: Once true, running trials save their state and nothing new is started.

    Raises:
        BackendError: The backend could not be started, or broke down.
        LeaseHeldError: Another driver is at work on the study in this store.
        StoreError: The store cannot be read or written.
    """
    listeners = Recorders(recorders)
    try:
        if plan.searches:
            return execute_search(plan, store=store, backend=backend, recorders=listeners, stopping=stopping)
        cached = store.finished(plan.specs)
        if cached.issuperset(reached(plan, store).specs):
            _prepare(plan, store, cached)
        else:
            with Lease(store, plan.study.name) as lease:
                for found in store.repair(plan.specs):
                    _log.warning("%s", found)
                cached = store.finished(plan.specs)
                _prepare(plan, store, cached)
                is_ending = _either(stopping, lease.is_lost)
                backend.run(_proposer(plan, store, cached), listeners, store=store.location, stopping=is_ending)
    finally:
        listeners.close()
    return summarise(reached(plan, store), store, cached)


def _prepare(plan: Plan, store: Store, cached: set[str]) -> None:
    """Write down what is to run before anything runs."""
    for trial_id, spec in plan.specs.items():
        if trial_id not in cached:
            store.write_spec(spec)
    TrialIndex(store.location).note(subjects(plan), plan.code)
    save_plan(store.location, plan)


def _either(*reasons: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: any(reason() for reason in reasons)


def _proposer(plan: Plan, store: Store, cached: set[str]) -> Proposer:
    """Choose who says what runs: the whole plan, or results as they come. What failed before is tried again."""
    if plan.study.adaptive is None:
        return PlanProposer(plan, cached)
    ended = read_outcomes(plan, store).values()
    finished = [outcome for outcome in ended if outcome.status is Status.FINISHED]
    return ReplicationProposer(plan, cached, Replication(plan, finished))

"""A study that searches, carried out: the search, the winners, and what the store says came out."""

import logging
from collections.abc import Callable
from dataclasses import replace

from ablate.backends.backend import Backend
from ablate.plan.file import save_plan
from ablate.plan.grown import grown, num_to_come
from ablate.plan.model import Plan
from ablate.plan.search_proposer import SearchProposer
from ablate.plan.subjects import subjects
from ablate.run.lease import Lease
from ablate.run.recorders import Recorders
from ablate.run.summary import RunSummary, summarise
from ablate.store import Store, TrialIndex

_log = logging.getLogger(__name__)


def execute_search(
    plan: Plan, *, store: Store, backend: Backend, recorders: Recorders, stopping: Callable[[], bool]
) -> RunSummary:
    """Run what is left of a study's searches and of what measures their winners.

    A configuration that failed is a result: the sampler was told of it, and it is not tried again.

    Raises:
        BackendError: The backend could not be started, or broke down.
        LeaseHeldError: Another driver is at work on the study in this store.
        StoreError: The store cannot be read or written, or the search's database cannot be reached.
        StudyError: The search is to begin with another study's, which the store does not have.
    """
    before = grown(plan, store)
    cached = store.finished(before.specs)
    if num_to_come(plan, store) or not cached.issuperset(_asked(before, store)):
        with Lease(store, plan.study.name) as lease:
            for found in store.repair(before.specs):
                _log.warning("%s", found)
            cached = store.finished(before.specs)
            TrialIndex(store.location).note({}, plan.code)
            save_plan(store.location, before)
            recorders.planned(before.trials)
            proposer = SearchProposer(plan, store, recorders.planned)
            backend.run(proposer, recorders, store=store.location, stopping=lambda: stopping() or lease.is_lost())
    after = grown(plan, store)
    TrialIndex(store.location).note(subjects(after), after.code)
    save_plan(store.location, after)
    summary = summarise(after, store, cached)
    return replace(summary, num_interrupted=summary.num_interrupted + num_to_come(plan, store))


def _asked(plan: Plan, store: Store) -> set[str]:
    """Give the ids of the trials that a run would start: not those of configurations whose result is told."""
    return {trial.spec.id for trial in plan.trials if trial.role != "search"}

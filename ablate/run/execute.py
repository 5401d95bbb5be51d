"""A plan carried out: what is finished is skipped, what is left runs on a backend, and the store says what came out."""

from collections.abc import Callable, Sequence

from ablate.backends.backend import Backend
from ablate.plan.file import save_plan
from ablate.plan.model import Plan
from ablate.plan.proposer import PlanProposer
from ablate.records.recorder import Recorder
from ablate.run.recorders import Recorders
from ablate.run.summary import RunSummary, summarise
from ablate.store import Store


def execute(
    plan: Plan,
    *,
    store: Store,
    backend: Backend,
    recorders: Sequence[Recorder] = (),
    stopping: Callable[[], bool] = lambda: False,
) -> RunSummary:
    """Run what is left of a plan. Doing it again goes on where it was interrupted, and is free when all is done.

    Args:
        plan: The trials.
        store: Takes their specifications first, then everything they give.
        backend: Runs them; not touched when nothing is left to run.
        recorders: Listeners; closed at the end, whatever happens. A faulty one is muted.
        stopping: Once true, running trials save their state and nothing new is started.

    Raises:
        BackendError: The backend could not be started, or broke down.
        StoreError: The store cannot be read or written.
    """
    specs = plan.specs
    for spec in specs.values():
        store.write_spec(spec)
    save_plan(store.root, plan)
    cached = store.finished(specs)
    listeners = Recorders(recorders)
    try:
        if len(cached) < len(specs):
            backend.run(PlanProposer(plan, cached), listeners, store=store.root, stopping=stopping)
    finally:
        listeners.close()
    return summarise(plan, store, cached)

from types import SimpleNamespace

import pytest

from ablate.plan.expand import expand
from ablate.store import RunFacts, Store
from ablate.study.load import load_study
from ablate.trial import Outcome, Status


@pytest.fixture
def toy(toy_project) -> SimpleNamespace:
    """The toy study, planned, and a store."""
    store = Store(toy_project.root / "runs")
    plan = expand(load_study(toy_project.study))
    for spec in plan.specs.values():
        store.write_spec(spec)

    def ends(
        trial_id: str, status: Status = Status.FINISHED, seconds: float = 1.0, error: str | None = None
    ) -> Outcome:
        attempt = store.claim(trial_id)
        outcome = Outcome(trial_id=trial_id, attempt=attempt, status=status, seconds=seconds, error=error)
        facts = RunFacts(attempt=attempt, started="", ended="", seconds=seconds, host="", python="")
        store.finish(trial_id, attempt, outcome, facts)
        return outcome

    ids = {trial.label: trial.spec.id for trial in plan.trials}
    return SimpleNamespace(project=toy_project, plan=plan, store=store, ids=ids, ends=ends)

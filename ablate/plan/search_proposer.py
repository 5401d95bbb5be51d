"""The proposer of a study that searches: configurations while there is budget, then the winners, on test data."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ablate.errors import Fault, StudyError
from ablate.plan.file import load_plan
from ablate.plan.model import Plan, PlannedTrial
from ablate.plan.proposer import PlanProposer
from ablate.plan.tuning import Tuning, warm_entries
from ablate.search.proposer import Answer
from ablate.store import Store
from ablate.trial import Outcome, Report, TrialSpec

Planned = Callable[[Sequence[PlannedTrial]], None]


class SearchProposer:
    """Proposes the trials of configurations, the arms taking turns so that their budgets are spent side by side.

    An arm's winner is measured as soon as its own search is over. The untuned arms, which nothing waits for, fill what
    time is left. It keeps no state that could be lost: a new one over the same store goes on where this one was.

    Args:
        plan: The plan; it can make trials.
        store: Holds what was proposed before; takes the specification of each trial before it is proposed.
        on_planned: Hears of the trials that join the plan.

    Raises:
        StudyError: The search is to begin with another study's, which the store does not have.
        StoreError: The store cannot be read or written, or the search's database cannot be reached.
    """

    def __init__(self, plan: Plan, store: Store, on_planned: Planned = lambda trials: None) -> None:
        assert plan.study.search is not None
        self._store = store
        self._on_planned = on_planned
        self._queue = PlanProposer(replace(plan, trials=()), ())
        others = {name: _other_plan(plan, store, name) for name in plan.study.search.warm_start}
        self._tunings = [
            Tuning(plan, one, store, warm=list(warm_entries(plan.study.search, one, others, store)))
            for one in plan.searches
        ]
        self._untuned: tuple[PlannedTrial, ...] = plan.trials
        self._measured: set[str] = set()
        self._known: dict[str, Outcome] = {}
        for tuning in self._tunings:
            self._add(tuple(tuning.go_on()), tuning)

    def ask(self) -> TrialSpec | Answer:
        """Give the next trial, `WAIT` while what runs decides what comes next, or `DONE`."""
        while True:
            answer = self._queue.ask()
            if isinstance(answer, TrialSpec) or not self._advance():
                return answer

    def reported(self, report: Report) -> bool:
        """Hear a point, and say whether every configuration that waits for the trial is hopeless."""
        for tuning in self._tunings:
            tuning.reported(report)
        self._withdraw()
        return report.trial_id in self._idle()

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome, and tell the samplers of the configurations that it completes."""
        self._queue.tell(outcome)
        self._known[outcome.trial_id] = outcome
        for tuning in self._tunings:
            tuning.hear(outcome)
        self._withdraw()
        for tuning in self._tunings:
            tuning.settle(self._queue.unreachable)

    def _advance(self) -> bool:
        """Add what can be proposed next; say whether there was anything."""
        for tuning in sorted(self._tunings, key=lambda one: one.num_proposed):
            if tuning.may_propose:
                self._add(tuning.propose(), tuning)
                return True
        for tuning in self._tunings:
            if tuning.is_over and tuning.planned.key not in self._measured:
                self._measured.add(tuning.planned.key)
                trials = tuning.winners()
                self._add(trials)
                tuning.write_winners(trials)
                return True
        if self._untuned:
            trials, self._untuned = self._untuned, ()
            self._add(trials)
            return True
        return False

    def _add(self, trials: Sequence[PlannedTrial], tuning: Tuning | None = None) -> None:
        """Write trials down, then propose those that are not finished."""
        specs = {trial.spec.id: trial.spec for trial in trials}
        finished = self._store.finished(specs)
        for trial_id, spec in specs.items():
            if trial_id not in finished:
                self._store.write_spec(spec)
        if tuning is not None:
            tuning.began(self._known)
        self._queue.add(trials, finished)
        self._on_planned(trials)
        self._withdraw()
        for one in self._tunings:
            one.settle(self._queue.unreachable)

    def _idle(self) -> set[str]:
        """Give the trials that only hopeless configurations wait for."""
        hopeless, needed = set[str](), set[str]()
        for tuning in self._tunings:
            hopeless |= tuning.waited_for(is_hopeless=True)
            needed |= tuning.waited_for(is_hopeless=False)
        return hopeless - needed

    def _withdraw(self) -> None:
        """Take back what nothing but hopeless configurations waits for, as far as it has not begun."""
        gone = self._queue.withdraw(self._idle())
        for tuning in self._tunings:
            tuning.give_up(gone)


def _other_plan(plan: Plan, store: Store, name: str) -> Plan:
    """Read the plan of the study that a search begins with.

    Raises:
        StudyError: The store has none.
    """
    try:
        return load_plan(store.location, name)
    except StudyError as error:
        index = plan.study.search.warm_start.index(name) if plan.study.search else 0
        key = f"search.warm_start.{index}"
        fault = Fault(message=error.faults[0].message, path=plan.study.path, line=plan.study.lines.get(key), key=key)
        raise StudyError([fault]) from error

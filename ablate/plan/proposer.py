"""The plan as a proposer: every trial once, when what it needs is finished."""

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush

from ablate.plan.model import Plan, PlannedTrial
from ablate.search.proposer import DONE, WAIT, Answer
from ablate.trial import Outcome, Report, Status, TrialSpec


class PlanProposer:
    """Proposes what is planned and not finished, in the plan's order.

    A trial whose stage did not finish is never proposed: `unreachable` says why, by trial id.

    Args:
        plan: The plan.
        finished: Ids of finished trials.
        wanted: Ids of the trials to propose, with what they need; all of the plan by default. `want` changes it.
    """

    def __init__(self, plan: Plan, finished: Collection[str], wanted: Collection[str] | None = None) -> None:
        self.unreachable: dict[str, str] = {}
        self._specs = {id_: spec for id_, spec in plan.specs.items() if id_ not in finished}
        self._labels = dict(plan.labels)
        self._places = {id_: place for place, id_ in enumerate(self._specs)}
        self._missing = {id_: set(spec.needs.values()) & self._specs.keys() for id_, spec in self._specs.items()}
        self._dependants: dict[str, list[str]] = {id_: [] for id_ in self._specs}
        for id_, needs in self._missing.items():
            for need in needs:
                self._dependants[need].append(id_)
        self._running: set[str] = set()
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._lost: dict[str, str] = {}
        """Trials that did not finish or never can, each with the reason for what needs it."""
        self._wanted: Collection[str] = ()
        self._ready: list[tuple[int, str]] = []
        self.want(self._specs if wanted is None else wanted)

    def want(self, trial_ids: Iterable[str]) -> None:
        """Propose these from now on, and what they need; others that have not begun are not proposed any more."""
        waiting = [id_ for id_ in trial_ids if id_ in self._specs]
        wanted = set(waiting)
        while waiting:
            more = self._missing[waiting.pop()] - wanted
            wanted |= more
            waiting += more
        if wanted != self._wanted:
            self._wanted = wanted
            self._ready = [(self._places[id_], id_) for id_ in wanted if self._is_ready(id_)]
            heapify(self._ready)

    def add(self, trials: Iterable[PlannedTrial], finished: Collection[str]) -> None:
        """Take more trials, stages before what needs them, and propose them too; those it has already stay as they are.

        Args:
            trials: The trials.
            finished: Ids of those among them that are finished.
        """
        for trial in trials:
            spec, id_ = trial.spec, trial.spec.id
            if id_ in self._specs or id_ in finished or id_ in self._done:
                continue
            self._places[id_], self._labels[id_] = len(self._places), trial.label
            self._specs[id_], self._dependants[id_] = spec, []
            lost = next((need for need in spec.needs.values() if need in self._lost), None)
            if lost is not None:
                self.unreachable[id_] = self._lost[id_] = self._lost[lost]
            self._missing[id_] = {
                need for need in spec.needs.values() if need in self._specs and need not in self._done
            }
            for need in self._missing[id_]:
                self._dependants[need].append(id_)
            self._wanted = {*self._wanted, id_}
            if self._is_ready(id_):
                heappush(self._ready, (self._places[id_], id_))

    def ask(self) -> TrialSpec | Answer:
        """Give the next trial, `WAIT` while something that runs may free others, or `DONE`."""
        if self._ready:
            _, id_ = heappop(self._ready)
            self._running.add(id_)
            self._begun.add(id_)
            return self._specs[id_]
        return WAIT if self._running else DONE

    def withdraw(self, trial_ids: Iterable[str]) -> set[str]:
        """Propose these no more, nor stages that nothing else needs; give those that had not begun."""
        gone: set[str] = set()
        waiting = [id_ for id_ in trial_ids if id_ in self._specs and id_ not in self._begun]
        while waiting:
            id_ = waiting.pop()
            gone.add(id_)
            del self._specs[id_]
            for need in self._missing.pop(id_):
                self._dependants[need].remove(id_)
                if not self._dependants[need] and need not in self._begun:
                    waiting.append(need)
        self._wanted = set(self._wanted) - gone
        self._ready = [(place, id_) for place, id_ in self._ready if id_ not in gone]
        heapify(self._ready)
        return gone

    def reported(self, report: Report) -> bool:
        """Let every trial run to its end."""
        return False

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome: it frees the trials that waited for it, or puts them out of reach."""
        self._running.discard(outcome.trial_id)
        if outcome.status is Status.FINISHED:
            self._done.add(outcome.trial_id)
            for id_ in self._dependants[outcome.trial_id]:
                self._missing[id_].discard(outcome.trial_id)
                if id_ in self._wanted and self._is_ready(id_):
                    heappush(self._ready, (self._places[id_], id_))
            return
        reason = f"needs {self._labels[outcome.trial_id]}, which {_ENDED[outcome.status]}"
        self._lost[outcome.trial_id] = reason
        lost = list(self._dependants[outcome.trial_id])
        while lost:
            id_ = lost.pop()
            if id_ not in self.unreachable:
                self.unreachable[id_] = self._lost[id_] = reason
                lost += self._dependants[id_]

    def _is_ready(self, id_: str) -> bool:
        return not self._missing[id_] and id_ not in self._begun and id_ not in self.unreachable


_ENDED = {Status.FAILED: "failed", Status.INTERRUPTED: "was interrupted", Status.PRUNED: "was pruned"}

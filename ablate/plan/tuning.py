"""One search under way: the sampler is asked for configurations, their trials run, and it is told what came out."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING
from uuid import uuid4

from ablate.errors import Fault, StudyError
from ablate.plan.grown import configuration_name, is_over, measured
from ablate.plan.model import Plan, PlannedSearch, PlannedTrial
from ablate.plan.pruning import Pruning
from ablate.search.history import WARM, Entry, State, best, is_spent
from ablate.search.ledger import Ledger
from ablate.search.model import Search
from ablate.search.population import Breeder, is_waiting, lineage, parent_of_next
from ablate.search.space import fits
from ablate.store import Store
from ablate.trial import Outcome, Report, Status

if TYPE_CHECKING:
    from ablate.search.optuna_mirror import Mirror

JOURNAL = "optuna.journal"
"""Optuna's own storage in the study's folder of the store."""


@dataclass(slots=True)
class _Open:
    """A configuration whose trials have not all ended."""

    entry: Entry
    trials: Mapping[str, PlannedTrial]
    """Its trials less the stages, by id."""
    pruning: Pruning
    ended: dict[str, Outcome] = field(default_factory=dict)

    @property
    def waiting(self) -> set[str]:
        """Its trials that have not ended."""
        return self.trials.keys() - self.ended.keys()

    def end(self, outcome: Outcome) -> None:
        """Take what came of one of its trials."""
        self.ended[outcome.trial_id] = outcome
        if outcome.status is Status.FINISHED:
            self.pruning.look_at_end(outcome)


class Tuning:
    """One search of a plan. What it was before is read from the ledger, and nothing else is kept.

    Args:
        plan: The plan; it can make trials.
        planned: Which of its searches.
        store: Holds the ledger and the trials.
        warm: Configurations of other searches, to begin with.

    Raises:
        StoreError: The store cannot be read or written, or the search's database cannot be reached.
    """

    def __init__(self, plan: Plan, planned: PlannedSearch, store: Store, *, warm: Sequence[Entry] = ()) -> None:
        from ablate.search.optuna import Suggester

        assert plan.study.search is not None
        assert plan.configurations is not None
        self.planned = planned
        self._search: Search = plan.study.search
        self._makes = plan.configurations
        self._store = store
        self._ledger = Ledger(store, plan.study.name, planned.key)
        self._entries = self._ledger.entries()
        self._mirror, seed = _mirror(plan, planned, store, self._ledger)
        self._suggester = (
            Breeder(self._search, self._entries)
            if self._search.population
            else Suggester(self._search, self._entries, seed=seed)
        )
        self._open: dict[int, _Open] = {}
        self._stages = {trial_id for entry in self._entries for _, trial_id in entry.stages}
        self._mirror.know(self._entries)
        self._mirror.catch_up(self._entries)
        if not self._entries:
            for entry in warm:
                self._adopt(replace(entry, number=len(self._entries)))

    @property
    def num_proposed(self) -> int:
        """How many configurations there are, for taking turns."""
        return len(self._entries)

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent and everything has come out."""
        return is_over(self._search, self._entries)

    @property
    def may_propose(self) -> bool:
        """Whether there is budget for a configuration, and room among those that are out."""
        limit = self._search.parallel
        if is_waiting(self._search, self._entries):
            return False
        return not is_spent(self._search, self._entries) and (limit is None or len(self._open) < limit)

    def go_on(self) -> Iterator[PlannedTrial]:
        """Give the trials of configurations that were out when an earlier run ended."""
        for entry in self._entries:
            if entry.state is State.OPEN:
                yield from self._out(entry)

    def propose(self) -> tuple[PlannedTrial, ...]:
        """Ask the sampler for a configuration and give its trials.

        There are none where the tasks refuse it, or other drivers have spent the budget.
        """
        self._learn_from_others()
        if is_spent(self._search, self._entries):
            return ()
        number, parameters = self._suggester.ask()
        waiting = tuple(entry.number for entry in self._entries if entry.state is State.OPEN)
        parent = parent_of_next(self._search, self._entries)
        entry = Entry(number=number, parameters=parameters, parent=parent, open=waiting)
        try:
            return tuple(self._out(entry))
        except StudyError as error:
            self._keep(entry)
            self._tell(replace(entry, state=State.FAILED, reason=error.faults[0].message))
            return ()

    def began(self, known: Mapping[str, Outcome]) -> None:
        """Take note that the trials which were given are in the store, some of them perhaps finished, or known."""
        for one in self._open.values():
            if one.entry.number >= len(self._entries):
                self._keep(one.entry)
            for trial_id in [id_ for id_ in one.trials if id_ in one.waiting]:
                record = self._store.record(trial_id)
                if record is not None and record.status is Status.FINISHED:
                    one.end(record.outcome)
                elif trial_id in known:
                    self.hear(known[trial_id])

    def hear(self, outcome: Outcome) -> None:
        """Take the outcome of any trial; one that is not this search's changes nothing."""
        for one in self._open.values():
            if outcome.trial_id in one.waiting and outcome.status is not Status.INTERRUPTED:
                one.end(outcome)

    def reported(self, report: Report) -> None:
        """Take a point of any trial; one that is not this search's changes nothing."""
        for one in self._open.values():
            if report.trial_id in one.waiting:
                one.pruning.look_at_point(report.trial_id, report.step, report.metrics)

    def waited_for(self, *, is_hopeless: bool) -> set[str]:
        """Give the trials that configurations wait for: those that the pruner gave up, or the others."""
        found = (one.waiting for one in self._open.values() if one.pruning.is_hopeless is is_hopeless)
        return set().union(*found)

    def give_up(self, trial_ids: Collection[str]) -> None:
        """Take note that trials of hopeless configurations will not be run."""
        for one in self._open.values():
            for trial_id in one.waiting.intersection(trial_ids):
                one.ended[trial_id] = Outcome(trial_id=trial_id, attempt=0, status=Status.PRUNED)

    def settle(self, unreachable: Mapping[str, str]) -> bool:
        """Tell the sampler of the configurations whose trials have all ended; say whether there were any."""
        whole = [one for one in self._open.values() if one.trials.keys() <= one.ended.keys() | unreachable.keys()]
        for one in whole:
            del self._open[one.entry.number]
            self._tell(self._result(one, unreachable))
        return bool(whole)

    def winners(self) -> tuple[PlannedTrial, ...]:
        """Give the trials that measure what was found, none where no configuration came to a value."""
        found = best(self._search, self._entries)
        if found is None:
            return ()
        way = lineage(self._entries, found)[:-1]
        before = [(configuration_name(self.planned.arm, entry.number), entry.parameters) for entry in way]
        makes = [self._makes.measured(arm, found.parameters, before=before) for arm in self.planned.arms]
        trials = [trial for one in makes for trial in one]
        return tuple(trials)

    def write_winners(self, trials: Collection[PlannedTrial]) -> None:
        """Take note of the trials that measure what was found; they are in the store."""
        found = best(self._search, self._entries)
        notes = [{"role": trial.role, "name": trial.name, "id": trial.spec.id} for trial in trials]
        if found is not None and measured(self._search, self._entries, self._ledger) != notes:
            self._ledger.write_winner(found.number, notes)

    def _out(self, entry: Entry) -> Iterator[PlannedTrial]:
        arm = self.planned.arm
        name, population = configuration_name(arm, entry.number), self._search.population
        generation = population.generation_of(entry.number) if population else 0
        parents = self._parents(entry)
        trials = self._makes.tried(arm, name, entry.parameters, generation=generation, parents=parents)
        mains = {trial.spec.id: trial for trial in trials if trial.role == "search"}
        entry = replace(
            entry,
            trials={"" if one.spec.seed is None else str(one.spec.seed): id_ for id_, one in mains.items()},
            stages=tuple((trial.name, trial.spec.id) for trial in trials if trial.role == "stage"),
        )
        pruning = Pruning(self._search, mains, partial(self._suggester.report, entry.number))
        if pruning.needs_points:
            pruning.recall({trial_id: self._saved_points(trial_id) for trial_id in mains})
        self._open[entry.number] = _Open(entry, mains, pruning)
        yield from trials

    def _parents(self, entry: Entry) -> Mapping[str, str]:
        """Give the trials that those of a configuration go on from, by seed.

        Raises:
            StudyError: They came to nothing.
        """
        if entry.parent is None:
            return {}
        parent = self._entries[entry.parent]
        if parent.state is not State.TOLD:
            raise StudyError([Fault(message="no configuration of the generation before came to a value")])
        return parent.trials

    def _saved_points(self, trial_id: str) -> list[tuple[int, Mapping[str, float]]]:
        """Give the points that a trial will not report again: up to its checkpoint, or all once it is finished."""
        record = self._store.record(trial_id)
        saved = math.inf if record and record.status is Status.FINISHED else self._store.checkpoint_step(trial_id)
        points = [] if saved is None else self._store.curves(trial_id)
        return [(point.step, point.metrics) for point in points if point.step <= (saved or 0)]

    def _result(self, one: _Open, unreachable: Mapping[str, str]) -> Entry:
        """Say what came of a configuration: the means over its seeds, or why there are none."""
        entry = replace(one.entry, seconds=self._seconds(one.entry), points=one.pruning.points)
        for trial_id, trial in one.trials.items():
            outcome = one.ended.get(trial_id)
            if outcome is not None and outcome.status is Status.PRUNED:
                return _pruned(entry, one.ended)
            if outcome is None or outcome.status is not Status.FINISHED:
                reason = unreachable.get(trial_id) or (outcome.error if outcome else "") or "failed"
                return replace(entry, state=State.FAILED, reason=f"{trial.label}: {reason.strip().splitlines()[-1]}")
        values = []
        for objective in self._search.objectives:
            found = [outcome.metrics.get(objective.metric, math.nan) for outcome in one.ended.values()]
            if not all(math.isfinite(value) for value in found):
                return replace(entry, state=State.FAILED, reason=f"{objective.metric} is no finite number")
            values.append(fmean(found))
        return replace(entry, state=State.TOLD, values=tuple(values))

    def _seconds(self, entry: Entry) -> float:
        new = [trial_id for _, trial_id in entry.stages if trial_id not in self._stages]
        self._stages.update(new)
        records = [self._store.record(trial_id) for trial_id in (*entry.trials.values(), *new)]
        return sum(record.run.seconds for record in records if record is not None)

    def _tell(self, entry: Entry) -> None:
        self._keep(entry)
        self._suggester.tell(entry.number, entry.state, entry.values)

    def _keep(self, entry: Entry) -> None:
        """Write a configuration down, here and for those who look."""
        if entry.number < len(self._entries):
            self._entries[entry.number] = entry
        else:
            self._entries.append(entry)
        self._ledger.write(entry)
        self._mirror.write(entry)

    def _adopt(self, entry: Entry) -> None:
        self._suggester.adopt(entry)
        self._keep(entry)

    def _learn_from_others(self) -> None:
        for entry in self._mirror.others(len(self._entries)):
            self._adopt(entry)


def _pruned(entry: Entry, ended: Mapping[str, Outcome]) -> Entry:
    """End a configuration that was given up; trials that were never started are no part of it any more."""
    begun = {seed: id_ for seed, id_ in entry.trials.items() if id_ in ended and ended[id_].attempt}
    return replace(entry, state=State.PRUNED, trials=begun)


def _mirror(plan: Plan, planned: PlannedSearch, store: Store, ledger: Ledger) -> tuple["Mirror", int]:
    """Open the search in Optuna's storage, and give the sampler's seed: of a shared search, as it was before."""
    from ablate.search.optuna_mirror import Mirror

    assert plan.study.search is not None
    url = plan.study.search.storage
    name = f"{plan.study.name}, {planned.arm} ({planned.key[:8]})"
    if url is None:
        journal = store.root / "studies" / plan.study.name / JOURNAL
        return Mirror(plan.study.search, name, journal, driver="store"), plan.study.search.sampler.seed
    note = ledger.driver() or {"driver": uuid4().hex}
    mirror = Mirror(plan.study.search, name, url, driver=note["driver"])
    if "seed" not in note:
        note = {**note, "seed": mirror.seed}
        ledger.write_driver(note)
    return mirror, int(note["seed"])


def warm_entries(search: Search, planned: PlannedSearch, others: Mapping[str, Plan], store: Store) -> Iterator[Entry]:
    """Give what the searches of other studies were told, as far as it fits this search.

    Args:
        search: The search that begins.
        planned: Which arm it tunes: of a study with searches of several arms, the one of that name counts.
        others: Plans of the other studies, by name.
        store: Holds their ledgers.
    """
    for name, plan in others.items():
        other = plan.study.search
        if other is None or other.objectives != search.objectives:
            continue
        same = [one for one in plan.searches if one.arm == planned.arm] or list(plan.searches[:1])
        for entry in (entry for one in same for entry in Ledger(store, name, one.key).entries()):
            if entry.state is State.TOLD and fits(search.space, entry.parameters):
                yield Entry(
                    number=0,
                    parameters={
                        one.key: entry.parameters[one.key] for one in search.space if one.key in entry.parameters
                    },
                    state=State.TOLD,
                    values=entry.values,
                    origin=f"{WARM}{name}, #{entry.number}",
                )

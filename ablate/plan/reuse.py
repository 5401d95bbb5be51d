"""Which finished trials count: those of the same code, those of any code, or none."""

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

from ablate.errors import StoreError, StudyError
from ablate.plan.model import Plan, PlannedTrial
from ablate.plan.subjects import subject_with_data, subjects
from ablate.search.ledger import Ledger
from ablate.store import Store, TrialIndex
from ablate.study.settings import study_spot
from ablate.trial import Status, TrialSpec


class Reuse(StrEnum):
    """Which finished trials stand in for planned ones."""

    ANY = "any"
    SAME_CODE = "same-code"
    NONE = "none"


def apply_reuse(plan: Plan, store: Store, reuse: Reuse) -> Plan:
    """Make a plan go with what may be reused. `NONE` changes the store at once: it is for `run`, not for looking.

    Raises:
        StoreError: The store cannot be read or written.
        StudyError: A search goes on from trials of its own code only.
    """
    if plan.searches:
        return _reuse_of_search(plan, store, reuse)
    match reuse:
        case Reuse.ANY:
            return reuse_any(plan, store)
        case Reuse.NONE:
            put_aside(plan, store)
    return plan


def _reuse_of_search(plan: Plan, store: Store, reuse: Reuse) -> Plan:
    """Do what `apply_reuse` does; the notes of a search whose trials are put aside go too."""
    if reuse is Reuse.ANY:
        message = "`--reuse any` does not go with a search: its sampler learns from trials of one code only"
        raise StudyError([study_spot(plan.study, "search").fault(message)])
    if reuse is Reuse.NONE:
        put_aside(plan, store)
        for search in plan.searches:
            Ledger(store, plan.study.name, search.key).forget()
        trials = tuple(trial for trial in plan.trials if trial.role == "untuned")
        return replace(plan, trials=trials)
    return plan


def put_aside(plan: Plan, store: Store) -> None:
    """Make all trials of a plan run again from their beginning; their records stay as `replaced-<attempt>.json`.

    Raises:
        StoreError: The store cannot be read or written.
    """
    for trial_id in plan.specs:
        if store.last_attempt(trial_id):
            store.put_aside(trial_id)


def reuse_any(plan: Plan, store: Store) -> Plan:
    """Put finished trials of other code in the place of those that would run.

    Of several that are equal but for the code, the newest is taken; the data must be the same, that of the stages it
    needs included. What still runs needs the stages that were taken.

    Raises:
        StoreError: The store cannot be read.
    """
    return _Reuser(plan, store, store.finished(plan.specs)).plan()


class _Reuser:
    def __init__(self, plan: Plan, store: Store, done: Collection[str]) -> None:
        self._plan = plan
        self._store = store
        self._index = TrialIndex(store.location)
        self._subjects = subjects(plan)
        self._done = done
        self._specs = dict(plan.specs)
        """Every trial that was looked at, by id."""
        self._with_data: dict[str, str] = {}
        self._taken: dict[str, TrialSpec] = {}

    def plan(self) -> Plan:
        arms = [replace(trial, spec=self._take(trial.spec)) for trial in self._plan.trials if trial.role == "arm"]
        stages = [trial for trial in self._plan.trials if trial.role == "stage"]
        by_name: dict[str, dict[str, TrialSpec]] = {trial.name: {} for trial in stages}
        needed = {need for spec in self._plan.specs.values() for need in spec.needs.values()}
        for trial in stages:
            if trial.spec.id not in needed:
                spec = self._take(trial.spec)
                by_name[trial.name][spec.id] = spec
                self._collect(spec, by_name)
        for trial in arms:
            self._collect(trial.spec, by_name)
        first_names = {id_: name for name in reversed(by_name) for id_ in by_name[name]}
        kept = [
            PlannedTrial(spec=spec, role="stage", name=name)
            for name, specs in by_name.items()
            for id_, spec in specs.items()
            if first_names[id_] == name
        ]
        trials = (*kept, *arms)
        others = {trial.spec.code for trial in trials} - self._plan.code.keys()
        return replace(self._plan, trials=trials, code={**self._plan.code, **self._index.code_files(sorted(others))})

    def _take(self, spec: TrialSpec) -> TrialSpec:
        """Give the trial itself if it is finished, or a finished one like it, or it with the needs that were taken."""
        if spec.id in self._done:
            return spec
        if spec.id not in self._taken:
            taken = self._finished_like(spec)
            if taken is None:
                needs = {name: self._take(self._specs[need]).id for name, need in spec.needs.items()}
                taken = spec if needs == spec.needs else replace(spec, needs=needs)
            self._taken[spec.id] = self._specs[taken.id] = taken
        return self._taken[spec.id]

    def _finished_like(self, spec: TrialSpec) -> TrialSpec | None:
        found: list[tuple[str, TrialSpec]] = []
        for trial_id in self._index.trials(self._subjects[spec.id]):
            record = self._store.record(trial_id)
            if record is None or record.status is not Status.FINISHED:
                continue
            try:
                other = self._read(trial_id)
                is_like = self._data_subject(other) == self._data_subject(spec)
            except StoreError:
                continue
            if is_like:
                found.append((record.run.ended, other))
        if not found:
            return None
        _, newest = max(found, key=lambda entry: entry[0])
        return replace(newest, resources=spec.resources)

    def _data_subject(self, spec: TrialSpec) -> str:
        if spec.id not in self._with_data:
            of_needs = {need: self._data_subject(self._read(need)) for need in spec.needs.values()}
            self._with_data[spec.id] = subject_with_data(spec, of_needs)
        return self._with_data[spec.id]

    def _read(self, trial_id: str) -> TrialSpec:
        if trial_id not in self._specs:
            self._specs[trial_id] = self._store.read_spec(trial_id)
        return self._specs[trial_id]

    def _collect(self, spec: TrialSpec, by_name: dict[str, dict[str, TrialSpec]]) -> None:
        """Add all that a trial needs, each under the name of its stage."""
        for name, need in spec.needs.items():
            if need not in by_name[name]:
                by_name[name][need] = self._read(need)
                self._collect(self._read(need), by_name)

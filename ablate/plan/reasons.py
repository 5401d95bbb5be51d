"""Why each trial of a plan runs, found by comparing it to what the store has of the same subject."""

from collections.abc import Collection, Mapping
from functools import cached_property

from ablate.errors import StoreError
from ablate.plan.causes import Cause, Kind, Reason, changed_files, changed_values, last_line, need_causes
from ablate.plan.file import places_of_last_plan
from ablate.plan.model import PlaceInPlan, Plan
from ablate.plan.subjects import subjects
from ablate.store import Record, Store, TrialIndex
from ablate.trial import Status, TrialSpec

_CACHED = Reason(causes=(Cause(kind=Kind.CACHED),))
_NEW = Reason(causes=(Cause(kind=Kind.NEW),))


def reasons(plan: Plan, store: Store, finished: Collection[str] | None = None) -> dict[str, Reason]:
    """Say of each trial why it runs, or that it is cached.

    A trial that was started says how its last attempt ended. Any other is compared to the newest finished trial of
    the same subject (equal but for code and data), or else to the one in the same place of the study's last plan at
    the same scale.
    Nothing is read of what is finished.

    Args:
        plan: The plan.
        store: Where its trials are.
        finished: Ids of finished trials, where the caller knows them.

    Returns:
        The reasons by trial id, in the plan's order.

    Raises:
        StoreError: The store cannot be read.
    """
    done = store.finished(plan.specs) if finished is None else finished
    finder = _Finder(plan, store, done)
    return {id_: _CACHED if id_ in done else finder.reason(spec) for id_, spec in plan.specs.items()}


class _Finder:
    """Compares the trials of a plan to earlier ones; each comparison that several share is made once."""

    def __init__(self, plan: Plan, store: Store, done: Collection[str]) -> None:
        self._plan = plan
        self._store = store
        self._done = done
        self._index = TrialIndex(store.location)
        self._code = dict[str, Mapping[str, str] | None](plan.code)
        self._between: dict[tuple[str, str], tuple[Cause, ...]] = {}
        self._code_changes: dict[tuple[str, str], tuple[str, ...]] = {}

    def reason(self, spec: TrialSpec) -> Reason:
        started = self._started(spec.id)
        if started is not None:
            return Reason(causes=(started,))
        earlier = self._newest_of_subject(spec)
        if earlier is not None:
            record, old = earlier
            causes = self._causes(spec, old)
            if record.status is Status.FAILED:
                causes += (Cause(kind=Kind.FAILED, items=(last_line(record.error),)),)
            return Reason(causes=causes) if causes else _NEW
        compared = [self._causes(spec, old) for old in self._in_its_place(spec)]
        causes = min(filter(None, compared), key=lambda causes: len(str(causes)), default=())
        return Reason(causes=causes) if causes else _NEW

    def _started(self, trial_id: str) -> Cause | None:
        """Say how the last attempt at this very trial ended, if there was one."""
        attempt = self._store.last_attempt(trial_id)
        if not attempt:
            return None
        record = self._store.record(trial_id)
        if record is not None and record.run.attempt == attempt and record.status is Status.FAILED:
            return Cause(kind=Kind.FAILED, items=(last_line(record.error),))
        if record is not None and record.run.attempt == attempt and record.status is Status.PRUNED:
            return Cause(kind=Kind.PRUNED)
        if self._store.was_put_aside(trial_id):
            return Cause(kind=Kind.PUT_ASIDE)
        step = self._store.checkpoint_step(trial_id)
        going_on = "starts again" if step is None else f"goes on from step {step}"
        return Cause(kind=Kind.INTERRUPTED, items=(going_on,))

    def _newest_of_subject(self, spec: TrialSpec) -> tuple[Record, TrialSpec] | None:
        """Find the newest finished trial of a subject, or the newest that ended at all."""
        ended: list[tuple[bool, str, Record]] = []
        for trial_id in self._index.trials(self._subjects[spec.id]):
            record = self._store.record(trial_id) if trial_id != spec.id else None
            if record is not None:
                ended.append((record.status is Status.FINISHED, record.run.ended, record))
        for _, _, record in sorted(ended, key=lambda entry: entry[:2], reverse=True):
            old = self._spec(record.trial_id)
            if old is not None:
                return record, old
        return None

    def _in_its_place(self, spec: TrialSpec) -> list[TrialSpec]:
        """Give what the study's last plan had under the same name and seed, if it was something else."""
        found = self._last_plan.get(self._places[spec.id], [])
        return [] if any(old.id == spec.id for old in found) else found

    def _causes(self, new: TrialSpec, old: TrialSpec) -> tuple[Cause, ...]:
        """List what differs; a need that runs again for the same causes is not told on top."""
        causes: list[Cause] = []
        if new.task != old.task:
            causes.append(Cause(kind=Kind.TASK, items=(f"{old.task} -> {new.task}",)))
        if new.parameters != old.parameters:
            causes.append(Cause(kind=Kind.PARAMETERS, items=changed_values(old.parameters, new.parameters)))
        if new.code != old.code:
            causes.append(Cause(kind=Kind.CODE, items=self._changed_files(old.code, new.code)))
        if new.data != old.data:
            keys = sorted(key for key in {**new.data, **old.data} if new.data.get(key) != old.data.get(key))
            causes.append(Cause(kind=Kind.DATA, items=tuple(keys)))
        for cause in need_causes(new.needs, old.needs, state=self._state, inner=self._differences):
            if not cause.inner or not all(any(own.covers(inner) for own in causes) for inner in cause.inner):
                causes.append(cause)
        return tuple(causes)

    def _differences(self, new_id: str, old_id: str) -> tuple[Cause, ...]:
        key = (new_id, old_id)
        if key not in self._between:
            old = self._spec(old_id)
            self._between[key] = () if old is None else self._causes(self._plan.specs[new_id], old)
        return self._between[key]

    def _state(self, trial_id: str) -> str:
        return "which is another now" if trial_id in self._done else "which runs again"

    def _changed_files(self, old: str, new: str) -> tuple[str, ...]:
        if (old, new) not in self._code_changes:
            for digest in (old, new):
                if digest not in self._code:
                    self._code[digest] = self._index.code(digest)
            self._code_changes[old, new] = changed_files(self._code[old], self._code[new])
        return self._code_changes[old, new]

    def _spec(self, trial_id: str) -> TrialSpec | None:
        """Find an earlier trial; one that cannot be read any more explains nothing."""
        try:
            return self._store.read_spec(trial_id)
        except StoreError:
            return None

    @cached_property
    def _subjects(self) -> dict[str, str]:
        return subjects(self._plan)

    @cached_property
    def _last_plan(self) -> dict[PlaceInPlan, list[TrialSpec]]:
        return places_of_last_plan(self._store.location, self._plan.study.name, self._plan.scale)

    @cached_property
    def _places(self) -> dict[str, PlaceInPlan]:
        return {trial.spec.id: trial.place for trial in reversed(self._plan.trials)}

"""A study becomes a plan: one trial per arm and seed, and the stages they share, each once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import TypeVar

from ablate.errors import Fault, StudyError
from ablate.plan.binding import MAIN, Step, bind_arms, load_steps
from ablate.plan.model import Plan, PlannedTrial
from ablate.study.compose import Composition, compose_study
from ablate.study.model import Study
from ablate.study.settings import arm_spot
from ablate.target import BoundTask
from ablate.trial import TrialSpec

T = TypeVar("T")


def expand(study: Study) -> Plan:
    """Plan the trials of a study.

    Stages come before what needs them, stages with equal resources side by side (a worker is reused for an equal
    request only). Arms follow with the seeds outside, so that complete pairs are there as early as possible; where
    seeds are stacked, those of a stack stand side by side.

    Raises:
        StudyError: Every fault of the overrides and the tasks; where there is none, every fault of the parameters;
            where there is none, arms that resolve to the same trials.
    """
    composition, steps = _both(lambda: compose_study(study), lambda: load_steps(study))
    bound = bind_arms(composition, steps)
    first = composition.first_seed
    is_seeded = steps[MAIN].task.takes_seed
    seeds = tuple(range(first, first + composition.num_replicates)) if is_seeded else ()
    specs = _Specs(steps=steps, bound=bound)
    faults = list(_twins(study, specs, seeds[0] if seeds else None))
    if faults:
        raise StudyError(faults)
    return Plan(
        study=study,
        scale=composition.scale,
        seeds=seeds,
        trials=tuple(_in_order(specs, [arm.name for arm in study.arms], seeds)),
        configuration=composition.arms[study.reference],
        code={step.code.digest: step.code.files for step in steps.values()},
    )


def _both(
    compose: Callable[[], Composition], load: Callable[[], Mapping[str, Step]]
) -> tuple[Composition, Mapping[str, Step]]:
    """Do both, and tell the faults of both."""
    faults: list[Fault] = []
    composition = _kept(compose, faults)
    steps = _kept(load, faults)
    if composition is None or steps is None:
        raise StudyError(faults)
    return composition, steps


def _kept(make: Callable[[], T], faults: list[Fault]) -> T | None:
    try:
        return make()
    except StudyError as error:
        faults += error.faults
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Specs:
    """Makes the trial of a step for an arm and a seed, once each."""

    steps: Mapping[str, Step]
    bound: Mapping[str, Mapping[str, BoundTask]]
    _made: dict[tuple[str, str, int | None], TrialSpec] = field(default_factory=dict)

    def make(self, name: str, arm: str, seed: int | None) -> TrialSpec:
        """Give the trial; a stage without a seed in its signature is the same for all seeds."""
        step = self.steps[name]
        own_seed = seed if step.task.takes_seed else None
        key = (name, arm, own_seed)
        if key not in self._made:
            parts = self.bound[arm][name]
            self._made[key] = TrialSpec(
                task=step.stage.task,
                parameters=parts.parameters,
                seed=own_seed,
                needs={need: self.make(need, arm, seed).id for need in step.stage.needs},
                data=parts.fingerprints,
                code=step.code.digest,
                resources=step.stage.resources,
            )
        return self._made[key]


def _twins(study: Study, specs: _Specs, seed: int | None) -> Iterator[Fault]:
    """Find arms that resolve to the same trials: comparing them compares nothing."""
    first: dict[str, str] = {}
    for arm in study.arms:
        trial_id = specs.make(MAIN, arm.name, seed).id
        if trial_id in first:
            message = f"resolves to the same trials as arm '{first[trial_id]}': what it sets changes nothing"
            yield arm_spot(study, arm.name).fault(message)
        first.setdefault(trial_id, arm.name)


def _in_order(specs: _Specs, arms: Sequence[str], seeds: Sequence[int]) -> Iterator[PlannedTrial]:
    """List the trials: stages by level, then arms; no stage twice."""
    seen: set[str] = set()
    replicates: Sequence[int | None] = seeds or (None,)
    for name in _stage_order(specs.steps.values()):
        for seed, arm in _places(specs.steps[name], arms, replicates):
            spec = specs.make(name, arm, seed)
            if spec.id not in seen:
                seen.add(spec.id)
                yield PlannedTrial(spec=spec, role="stage", name=name)
    for seed, arm in _places(specs.steps[MAIN], arms, replicates):
        yield PlannedTrial(spec=specs.make(MAIN, arm, seed), role="arm", name=arm)


def _places(step: Step, arms: Sequence[str], seeds: Sequence[int | None]) -> Iterator[tuple[int | None, str]]:
    """List seeds and arms: as many seeds as a stack takes outside, then the arms, then each of these seeds."""
    size = step.stage.resources.stack_seeds if step.task.takes_seed else 1
    for start in range(0, len(seeds), size):
        for arm in arms:
            yield from ((seed, arm) for seed in seeds[start : start + size])


def _stage_order(steps: Iterable[Step]) -> Iterator[str]:
    """Order the stages: none before what it needs, equal resources side by side among those that are free."""
    stages = {step.stage.name: step.stage for step in steps if step.stage.name != MAIN}
    sorter = TopologicalSorter({name: stage.needs for name, stage in stages.items()})
    sorter.prepare()
    names = list(stages)

    def by_resources(name: str) -> tuple[float, float, int]:
        wanted = stages[name].resources
        return wanted.num_gpus, wanted.num_cpus, names.index(name)

    while sorter.is_active():
        free = sorter.get_ready()
        yield from sorted(free, key=by_resources)
        sorter.done(*free)

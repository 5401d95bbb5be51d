"""Trials made of bound steps: one per arm and seed, and the stages they share, each once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from ablate.errors import Fault
from ablate.plan.binding import MAIN, Step
from ablate.plan.model import PlannedTrial, Role
from ablate.study.model import Study
from ablate.study.settings import arm_spot
from ablate.target import BoundTask
from ablate.trial import PARENT, TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Specs:
    """Makes the trial of a step for an arm and a seed, once each.

    Args:
        steps: The tasks.
        bound: What each takes, by arm and by the stage's name.
        keeps_state: Whether the trials of the study's own task keep their last state.
        parents: Ids of the trials that those of the study's own task go on from, by seed; empty where they begin anew.
    """

    steps: Mapping[str, Step]
    bound: Mapping[str, Mapping[str, BoundTask]]
    keeps_state: bool = False
    parents: Mapping[int | None, str] = field(default_factory=dict)
    _made: dict[tuple[str, str, int | None], TrialSpec] = field(default_factory=dict)

    def make(self, name: str, arm: str, seed: int | None) -> TrialSpec:
        """Give the trial; a stage without a seed in its signature is the same for all seeds."""
        step = self.steps[name]
        own_seed = seed if step.task.takes_seed else None
        key = (name, arm, own_seed)
        if key not in self._made:
            parts = self.bound[arm][name]
            needs = {need: self.make(need, arm, seed).id for need in step.stage.needs}
            if name == MAIN and self.parents:
                needs[PARENT] = self.parents[own_seed]
            self._made[key] = TrialSpec(
                task=step.stage.task,
                parameters=parts.parameters,
                seed=own_seed,
                needs=needs,
                data=parts.fingerprints,
                code=step.code.digest,
                keeps_state=name == MAIN and self.keeps_state,
                resources=step.stage.resources,
            )
        return self._made[key]


def twins(study: Study, specs: Specs, seed: int | None) -> Iterator[Fault]:
    """Find arms that resolve to the same trials: comparing them compares nothing."""
    first: dict[str, str] = {}
    for arm in study.arms:
        trial_id = specs.make(MAIN, arm.name, seed).id
        if trial_id in first:
            message = f"resolves to the same trials as arm '{first[trial_id]}': what it sets changes nothing"
            yield arm_spot(study, arm.name).fault(message)
        first.setdefault(trial_id, arm.name)


def in_order(specs: Specs, arms: Sequence[str], seeds: Sequence[int], role: Role = "arm") -> Iterator[PlannedTrial]:
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
        yield PlannedTrial(spec=specs.make(MAIN, arm, seed), role=role, name=arm)


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

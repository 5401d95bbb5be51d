"""A study becomes a plan: one trial per arm and seed, and the stages they share, each once."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from ablate.errors import Fault, StudyError
from ablate.plan.binding import MAIN, Step, bind_arms, load_steps
from ablate.plan.model import Plan
from ablate.plan.searching import plan_search
from ablate.plan.specs import Specs, in_order, twins
from ablate.study.compose import Composition, compose_study
from ablate.study.model import Study

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
    if study.search is not None:
        return plan_search(study.search, composition, steps)
    bound = bind_arms(composition, steps)
    first = composition.first_seed
    is_seeded = steps[MAIN].task.takes_seed
    seeds = tuple(range(first, first + composition.num_replicates)) if is_seeded else ()
    specs = Specs(steps=steps, bound=bound)
    faults = list(twins(study, specs, seeds[0] if seeds else None))
    if faults:
        raise StudyError(faults)
    return Plan(
        study=study,
        scale=composition.scale,
        seeds=seeds,
        trials=tuple(in_order(specs, [arm.name for arm in study.arms], seeds)),
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

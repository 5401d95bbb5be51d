"""A study that searches becomes a plan: its faults, the arms as they are, and the maker of what a search proposes.

Validation and test are apart by construction. The task has one parameter that says which of the two is measured; a
search sets it, and nothing else may: `validation` in every trial that a sampler learns from, `test` in every other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from ablate.errors import Fault, StudyError
from ablate.ids import content_id
from ablate.plan.binding import MAIN, Binder, Step, bind_arms
from ablate.plan.model import NO_PARENTS, Plan, PlannedSearch, PlannedTrial
from ablate.plan.population import bind_generations, population_faults, shortened
from ablate.plan.specs import Specs, in_order, twins
from ablate.search.model import Parameter, Search
from ablate.study.compose import Composition
from ablate.study.model import Study
from ablate.study.settings import Setting, Spot, study_spot
from ablate.trial import Json
from ablate.wording import dotted

VALIDATION, TEST = "validation", "test"


def plan_search(search: Search, composition: Composition, steps: Mapping[str, Step]) -> Plan:
    """Plan a study that searches: what is known before anything has been proposed.

    Raises:
        StudyError: The task does not tell validation from test data, or something but the search says which are
            measured; where neither, every value of the space that its parameter does not take, and every key that no
            task has; where there is none, arms that resolve to the same trials.
    """
    study, task = composition.study, steps[MAIN].task
    first = composition.first_seed
    seeds = tuple(range(first, first + composition.num_replicates)) if task.takes_seed else ()
    splits = [dotted(place) for place in task.places_of(VALIDATION, TEST)]
    faults = [*_split_faults(composition, task.path, splits), *_seed_faults(search, study, task.takes_seed, seeds)]
    faults += _clashes(search, composition)
    faults += population_faults(search, study, steps)
    if faults:
        raise StudyError(faults)
    binder = Binder()
    bind_arms(_probes(search, composition, steps), steps, binder)
    bind_generations(search, composition, steps, binder)
    makes = _Makes(search=search, composition=composition, steps=steps, binder=binder, split=splits[0], seeds=seeds)
    untuned = makes.specs({arm.name: (arm.name, {}) for arm in study.arms}, TEST)
    faults += twins(study, untuned, seeds[0] if seeds else None)
    if faults:
        raise StudyError(faults)
    return Plan(
        study=study,
        scale=composition.scale,
        seeds=seeds,
        trials=tuple(in_order(untuned, [arm.name for arm in study.arms], seeds, role="untuned")),
        configuration=composition.arms[study.reference],
        code={step.code.digest: step.code.files for step in steps.values()},
        searches=tuple(_searches(search, study, makes)),
        configurations=makes,
    )


def _searches(search: Search, study: Study, makes: "_Makes") -> Iterator[PlannedSearch]:
    """List the searches, each with the key of all that decides what it proposes; its budget may grow."""
    rules = {name: value for name, value in asdict(search).items() if name not in {"budget", "parallel", "storage"}}
    if search.population is None:
        del rules["population"]
    all_arms = tuple(arm.name for arm in study.arms)
    for arm in all_arms if search.per == "arm" else (study.reference,):
        trials = [trial.spec.id for trial in makes.tried(arm, arm, {}) if trial.role == "search"]
        key = content_id({"rules": rules, "trials": trials})
        yield PlannedSearch(arm=arm, key=key, arms=(arm,) if search.per == "arm" else all_arms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Makes:
    """Makes the trials of configurations (`ablate.plan.model.Configurations`)."""

    search: Search
    composition: Composition
    steps: Mapping[str, Step]
    binder: Binder
    split: str
    seeds: tuple[int, ...]

    def tried(
        self,
        arm: str,
        name: str,
        parameters: Mapping[str, Json],
        *,
        generation: int = 0,
        parents: Mapping[str, str] = NO_PARENTS,
    ) -> tuple[PlannedTrial, ...]:
        by_seed = {int(seed) if seed else None: trial_id for seed, trial_id in parents.items()}
        specs = self._grown(self.specs({name: (arm, parameters)}, VALIDATION), generation, by_seed)
        seeds = self.search.seeds if self.steps[MAIN].task.takes_seed else ()
        return tuple(in_order(specs, [name], seeds, role="search"))

    def measured(
        self, arm: str, parameters: Mapping[str, Json], *, before: Sequence[tuple[str, Mapping[str, Json]]] = ()
    ) -> tuple[PlannedTrial, ...]:
        trials: list[PlannedTrial] = []
        parents: dict[int | None, str] = {}
        for generation, (name, given) in enumerate((*before, (arm, parameters))):
            specs = self._grown(self.specs({arm: (arm, given)}, TEST), generation, parents)
            found = tuple(in_order(specs, [arm], self.seeds))
            parents = {trial.spec.seed: trial.spec.id for trial in found if trial.role == "arm"}
            is_last = generation == len(before)
            trials += found if is_last else [_as_stage(trial, name) for trial in found]
        return tuple(trials)

    def _grown(self, specs: Specs, generation: int, parents: Mapping[int | None, str]) -> Specs:
        """Make the trials of a population's generation: as long as it trains, and going on from others."""
        population = self.search.population
        if population is None:
            return specs
        step = self.steps[MAIN]
        bound = {
            name: {**parts, MAIN: shortened(population, generation, parts[MAIN], step.task, self.binder)}
            for name, parts in specs.bound.items()
        }
        return Specs(steps=self.steps, bound=bound, keeps_state=True, parents=parents)

    def specs(self, wanted: Mapping[str, tuple[str, Mapping[str, Json]]], data: str) -> Specs:
        """Bind arms with parameters set over them, all measured on the same data."""
        study = self.composition.study
        given = {
            name: (
                arm,
                [
                    *(_setting(study, key, value, f"search.space.{key}") for key, value in parameters.items()),
                    _setting(study, self.split, data, "search"),
                ],
            )
            for name, (arm, parameters) in wanted.items()
        }
        composition = self.composition.variants(given)
        return Specs(steps=self.steps, bound=bind_arms(composition, self.steps, self.binder))


def _as_stage(trial: PlannedTrial, name: str) -> PlannedTrial:
    """Make a row of the table a stage on the way to one."""
    return replace(trial, role="stage", name=name) if trial.role == "arm" else trial


def _setting(study: Study, key: str, value: Json, place: str) -> Setting:
    return Setting(key=key, value=value, spot=study_spot(study, place), is_choice=False)


def _split_faults(composition: Composition, task: str, splits: Sequence[str]) -> Iterator[Fault]:
    """Find what keeps validation and test data from being apart."""
    if len(splits) != 1:
        found = f"it has several: {', '.join(splits)}" if splits else "it has none"
        message = (
            f'a search needs a task with one parameter of type Literal["{VALIDATION}", "{TEST}"], which says what is '
            f"measured, so that settings are never chosen on test data; {task}: {found}"
        )
        yield study_spot(composition.study, "task").fault(message)
        return
    settings = composition.settings
    for setting in (*settings.base, *settings.command, *(one for arm in settings.arms.values() for one in arm)):
        if not setting.is_choice and _sets(setting, splits[0]):
            message = f"sets {splits[0]}, which is the search's: `{VALIDATION}` while it learns, `{TEST}` for the table"
            yield setting.spot.fault(message)
    search = composition.study.search
    for parameter in search.space if search else ():
        if _overlap(parameter.key, splits[0]):
            message = f"is the search's: `{VALIDATION}` while it learns, `{TEST}` for the table"
            yield study_spot(composition.study, f"search.space.{parameter.key}").fault(message)


def _seed_faults(search: Search, study: Study, takes_seed: bool, seeds: Sequence[int]) -> Iterator[Fault]:
    place = next((key for key in ("search.seeds.first", "search.seeds") if key in study.lines), "search")
    if not takes_seed and len(search.seeds) > 1:
        yield study_spot(study, place).fault(f"task {study.task} takes no seed: every seed would give the same")
    shared = sorted(set(search.seeds) & set(seeds))
    if shared:
        message = f"seed {shared[0]} is one of the table's, {seeds[0]} to {seeds[-1]}: tune on seeds of their own"
        yield study_spot(study, place).fault(message)


def _clashes(search: Search, composition: Composition) -> Iterator[Fault]:
    """Find what arms set although it is searched: the search would undo what makes the arm."""
    told: set[Spot] = set()
    for settings in composition.settings.arms.values():
        for setting in settings:
            for parameter in search.space:
                if not setting.is_choice and _sets(setting, parameter.key) and setting.spot not in told:
                    told.add(setting.spot)
                    message = f"sets {parameter.key}, which is searched: leave it out here or in `search.space`"
                    yield setting.spot.fault(message)


def _sets(setting: Setting, key: str) -> bool:
    """Say whether a setting decides a dotted key, or a part of it."""
    leaves = [setting.key]
    values = [(setting.key, setting.value)]
    while values:
        place, value = values.pop()
        if isinstance(value, dict) and value:
            values += [(f"{place}.{name}", inner) for name, inner in value.items()]
        else:
            leaves.append(place)
    return any(_overlap(leaf, key) for leaf in leaves[1:])


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _probes(search: Search, composition: Composition, steps: Mapping[str, Step]) -> Composition:
    """Set the bounds and choices of each parameter over each arm that is tuned, to see whether its type takes them."""
    study, tasks = composition.study, [step.task for step in steps.values()]
    known = {parameter.key: parameter for parameter in search.space}
    arms = [arm.name for arm in study.arms] if search.per == "arm" else [study.reference]
    wanted: dict[str, tuple[str, Sequence[Setting]]] = {}
    for parameter in search.space:
        place = parameter.key.split(".")
        is_declared = any(task.num_declared(place) == len(place) for task in tasks)
        probes = [(f".{inner}", value) for inner, value in parameter.probes()]
        where = f"search.space.{parameter.key}"
        for inner, value in probes if is_declared else [("", probes[0][1])]:
            for arm in arms:
                given = [_setting(study, key, one, f"search.space.{key}") for key, one in _before(parameter, known)]
                given.append(_setting(study, parameter.key, value, where + inner))
                wanted[f"{arm} {where}{inner}"] = (arm, given)
    return composition.variants(wanted)


def _before(parameter: Parameter, known: Mapping[str, Parameter]) -> Iterator[tuple[str, Json]]:
    """Give the first values for which a parameter's condition holds."""
    for key, values in parameter.when.items():
        yield from _before(known[key], known)
        yield key, values[0]

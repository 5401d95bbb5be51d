"""A plan in a few lines for people: what it is, how its stages share work, what is still to run and why."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from ablate.plan.causes import Reason, cut_list
from ablate.plan.model import Plan
from ablate.plan.replication import first_round
from ablate.plan.search_lines import search_line
from ablate.plan.stacks import stack_line
from ablate.study.model import Adaptive, Arm, Design, Study

_MOST_ARMS = 12
_MOST_GROUPS = 8
_WIDTH = 120
_KINDS = {
    "factorial": "factorial",
    "leave_one_out": "leave one out",
    "one_at_a_time": "one at a time",
    "sweep": "sweep",
}


def describe(
    plan: Plan,
    finished: Collection[str],
    reasons: Mapping[str, Reason] | None = None,
    *,
    asked: Collection[str] | None = None,
) -> list[str]:
    """Say what a plan is, how much of it is done, and why the rest runs.

    Args:
        plan: The plan.
        finished: Ids of finished trials; others than the plan's do not count.
        reasons: Why each trial runs (`ablate.plan.reasons`), where that is to be told.
        asked: Where results decide how many seeds there are: ids of the trials that they ask for now. Without, those
            of the first round.

    Returns:
        Lines without ends, such as `pretrained 1 -> adapted 3 -> 24 trials (8 arms x 3 seeds)`.
    """
    return [
        f"{plan.study.name} at scale {plan.scale}, {_seeds(plan)}",
        *_graph(plan),
        *_design(plan.study.design),
        *([search_line(plan)] if plan.searches else []),
        f"arms: {cut_list([_arm(arm, plan.study) for arm in plan.study.arms], _MOST_ARMS, '; ')}",
        *_to_run(plan, finished, reasons, asked),
    ]


def trial_lines(plan: Plan, reasons: Mapping[str, Reason]) -> list[str]:
    """List the trials of a plan, one a line: id, label, and why it runs."""
    labels = plan.labels
    width = max(map(len, labels.values()), default=0)
    return [f"{id_}  {labels[id_]:{width}}  {reasons[id_]}" for id_ in plan.specs]


def _seeds(plan: Plan) -> str:
    adaptive, seeds = plan.study.adaptive, plan.seeds
    if not seeds:
        return "without seeds"
    if adaptive is not None:
        return f"{adaptive.min} to {adaptive.max} seeds until decided on {adaptive.metric}"
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _graph(plan: Plan) -> list[str]:
    """Draw the stages with their numbers of trials: the longest way to the arms, and beside it what else is needed."""
    stages = plan.study.stages  # less the way to the winner of a population, whose parts are stages of no task's own
    numbers = Counter(trial.name for trial in plan.trials if trial.role == "stage" and trial.name in stages)
    needs = {name: plan.study.stages[name].needs for name in numbers} | {"": plan.study.needs}
    words = {name: f"{name} {number}" for name, number in numbers.items()} | {"": _arm_trials(plan)}
    depth: dict[str, int] = {}
    for name, before in needs.items():  # stages stand before what needs them
        depth[name] = 1 + max((depth[need] for need in before), default=0)
    drawn: set[str] = set()
    lines = [_line("", needs, depth, words, drawn)]
    for name in reversed(numbers):
        if name not in drawn:
            lines.insert(0, _line(name, needs, depth, words, drawn))
    return lines


def _line(
    end: str, needs: Mapping[str, Sequence[str]], depth: Mapping[str, int], words: Mapping[str, str], drawn: set[str]
) -> str:
    """Draw the longest way to a stage (or to the arms) as far as it is not drawn yet."""
    way = [end]
    while needs[way[0]] and way[0] not in drawn:
        way.insert(0, max(needs[way[0]], key=lambda need: depth[need]))
    parts = [way[0] if way[0] in drawn else words[way[0]]]
    drawn.update(way)
    for before, name in pairwise(way):
        others = [need for need in needs[name] if need != before]
        shown = [need if need in drawn or needs[need] else words[need] for need in others]
        drawn.update(need for need in others if not needs[need])
        parts.append(_with(words[name], shown))
    return " -> ".join(parts)


def _with(word: str, others: Sequence[str]) -> str:
    """Add what else is needed: `adapted 3 (with court 3)`."""
    if not others:
        return word
    return f"{word[:-1]}, with {' + '.join(others)})" if word.endswith(")") else f"{word} (with {' + '.join(others)})"


def _arm_trials(plan: Plan) -> str:
    number = len({trial.spec.id for trial in plan.trials if trial.role == "arm"})
    num_arms, num_seeds = len(plan.study.arms), len(plan.seeds)
    if plan.searches:  # the winners' trials join the plan when the search is over; as many as there are seeds
        number = num_arms * max(1, num_seeds)
    trials = f"{number} trial{'s' * (number != 1)}"
    if number == 1:
        return trials
    arms = f"{num_arms} arm{'s' * (num_arms != 1)}"
    at_most = "at most " if plan.study.adaptive is not None else ""
    seeds = f" x {at_most}{num_seeds} seed{'s' * (num_seeds != 1)}" if plan.seeds else ""
    return f"{at_most}{trials} ({arms}{seeds})"


def _design(design: Design | None) -> Iterator[str]:
    if design is None:
        return
    factors = [f"{factor.name} ({cut_list(factor.levels, _MOST_GROUPS)})" for factor in design.factors]
    bases = f", from {cut_list(design.bases)}" if design.bases else ""
    yield f"design: {_KINDS[design.kind]} over {' x '.join(factors)}{bases}"
    if design.generators:
        from ablate.study.aliasing import alias_lines

        yield from alias_lines(design)


def _arm(arm: Arm, study: Study) -> str:
    if arm.name == study.reference:
        return f"{arm.name} (reference)"
    if arm.against is None or arm.against == study.reference:
        return arm.name
    return f"{arm.name} (compared to {'none' if arm.against == arm.name else arm.against})"


def _to_run(
    plan: Plan, finished: Collection[str], reasons: Mapping[str, Reason] | None, asked: Collection[str] | None
) -> Iterator[str]:
    """Count what is finished and what is to run, group the reasons, and count the stacks."""
    adaptive = plan.study.adaptive
    now = _asked_now(plan, adaptive, asked)
    waiting = [id_ for id_ in now if id_ not in finished]
    num_finished = sum(id_ in finished for id_ in plan.specs)
    counts = f"{num_finished} finished, {len(waiting)} to run"
    counts += " of those known so far" if plan.searches else ""
    if adaptive is not None:
        num_more = len(plan.specs) - num_finished - len(waiting)
        counts += f" now and at most {num_more} more until decided" if waiting else ": decided, or at the last seed"
    if reasons is None or not waiting:
        yield counts
    else:
        yield from _with_reasons(counts, Counter(reasons[id_].group for id_ in waiting))
    yield from stack_line(plan, waiting)


def _with_reasons(counts: str, reasons: Counter[str]) -> Iterator[str]:
    groups = reasons.most_common()
    shown = [f"{number} {group}" for group, number in groups[:_MOST_GROUPS]]
    if len(groups) > _MOST_GROUPS:
        shown.append(f"{sum(number for _, number in groups[_MOST_GROUPS:])} for other reasons")
    line = f"{counts}: {'; '.join(shown)}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield f"{counts}:"
        yield from (f"  {entry}" for entry in shown)


def _asked_now(plan: Plan, adaptive: Adaptive | None, asked: Collection[str] | None) -> Collection[str]:
    if adaptive is None:
        return plan.specs
    return first_round(plan).specs if asked is None else [id_ for id_ in plan.specs if id_ in asked]

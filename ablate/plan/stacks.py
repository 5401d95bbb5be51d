"""The stacks of a plan: how many trials run together with other seeds of theirs."""

from collections.abc import Collection, Iterator

from ablate.plan.model import Plan
from ablate.search.stacks import Likeness, in_stacks
from ablate.trial import TrialSpec


def stacks(plan: Plan, waiting: Collection[str]) -> list[list[TrialSpec]]:
    """Give the stacks of several trials that a run of those that wait would start, if none of them has begun."""
    chosen = set(waiting)
    left = [spec for id_, spec in plan.specs.items() if id_ in chosen]
    if all(spec.resources.stack_seeds == 1 for spec in left):
        return []
    return [stack for stack in in_stacks(left, Likeness(plan.specs.__getitem__)) if len(stack) > 1]


def stack_line(plan: Plan, waiting: Collection[str]) -> Iterator[str]:
    """Say how many trials run in stacks, if any does."""
    found = stacks(plan, waiting)
    if found:
        num_stacked, most = sum(map(len, found)), max(map(len, found))
        processes = f"{len(found)} stack{'s' * (len(found) != 1)}"
        yield f"stacked: {num_stacked} of these {len(waiting)} trials in {processes} of at most {most} seeds"

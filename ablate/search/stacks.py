"""Which trials may run as a stack: in one process, by one call, because they differ in nothing but their seed."""

from collections.abc import Callable, Iterable, Sequence

from ablate.ids import content_id
from ablate.trial import TrialSpec


class Likeness:
    """Tells trials that differ in their seed, and in what follows from it, from all others.

    What follows from it are the stages that each needs, if they differ in their seed as well, and their data: equal
    parameters of equal code point at the same.

    Args:
        read: Gives a trial by its id; asked for those that others need.
    """

    def __init__(self, read: Callable[[str], TrialSpec]) -> None:
        self._read = read
        self._without_seed: dict[str, str] = {}

    def may_join(self, spec: TrialSpec, stack: Sequence[TrialSpec]) -> bool:
        """Say whether a trial may join a stack of one trial or more."""
        first = stack[0]
        return (
            has_room(stack)
            and spec.resources == first.resources
            and spec.code == first.code
            and self._unseeded(spec) == self._unseeded(first)
        )

    def _unseeded(self, spec: TrialSpec) -> str:
        """Hash a trial without its seed, and what it needs likewise."""
        if spec.id not in self._without_seed:
            needs = {name: self._unseeded(self._read(need)) for name, need in spec.needs.items()}
            content = {"task": spec.task, "parameters": spec.parameters, "needs": needs}
            self._without_seed[spec.id] = content_id(content)
        return self._without_seed[spec.id]


def has_room(stack: Sequence[TrialSpec]) -> bool:
    """Say whether a stack may get another trial; trials without a seed are never stacked."""
    first = stack[0]
    return first.seed is not None and len(stack) < first.resources.stack_seeds


def in_stacks(specs: Iterable[TrialSpec], likeness: Likeness) -> list[list[TrialSpec]]:
    """Put trials together as a run does where all are ready and none has begun; most stacks may be of one trial."""
    stacks: list[list[TrialSpec]] = []
    for spec in specs:
        if stacks and likeness.may_join(spec, stacks[-1]):
            stacks[-1].append(spec)
        else:
            stacks.append([spec])
    return stacks

"""What a regular two-level fraction cannot tell apart: its defining relation, its resolution, its alias chains.

The level of an added factor is the product of others' (the first level counts as +1), so effects whose products of
factors are equal have the same contrast. Source: Box, Hunter and Hunter, Statistics for Experimenters, 2nd ed., ch. 6.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

from ablate.study.model import Design

_ROMAN = ((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_MOST_WORDS = 7
_MOST_GENERATORS = 10
"""Of more, the words of the defining relation (2 to this power) are not all formed."""

Word = frozenset[str]
"""Factors whose product is an effect, or is always one."""


def alias_lines(design: Design) -> list[str]:
    """Say what a fraction confounds.

    Returns:
        First the resolution and the defining relation, `resolution III; I = weights x selection x gradient`; then each
        chain of main effects and two-factor interactions that share a contrast, `gradient = weights x selection`; last
        what is free of them. Nothing for a design that is no fraction.
    """
    if not design.generators:
        return []
    order = {factor.name: index for index, factor in enumerate(design.factors)}
    chains = [chain for chain in _chains(design) if len(chain) > 1]
    words = _words(design)
    length = min(len(word) for word in words) if len(design.generators) <= _MOST_GENERATORS else None
    known = _roman(length) if length is not None else _bound(chains)
    shown = sorted(words, key=lambda word: (len(word), sorted(order[name] for name in word)))[:_MOST_WORDS]
    more = f" = ... ({len(words)} words)" if len(words) > len(shown) else ""
    lines = [f"resolution {known}; I = {' = '.join(_written(word, order) for word in shown)}{more}"]
    lines += [" = ".join(_written(word, order) for word in chain) for chain in chains]
    aliased = {word for chain in chains for word in chain}
    free = [name for name in order if frozenset({name}) not in aliased]
    if free:
        lines.append(f"free of main effects and two-factor interactions: {', '.join(free)}")
    return lines


def _chains(design: Design) -> Iterator[list[Word]]:
    """Group the main effects and two-factor interactions that have one contrast, main effects first."""
    names = [factor.name for factor in design.factors]
    basic = _basic(design)
    classes: dict[Word, list[Word]] = {}
    for size in (1, 2):
        for effect in combinations(names, size):
            contrast: Word = frozenset()
            for name in effect:
                contrast ^= basic[name]
            classes.setdefault(contrast, []).append(frozenset(effect))
    yield from classes.values()


def _basic(design: Design) -> Mapping[str, Word]:
    """Write each factor as a product of those that are not generated."""
    return {factor.name: frozenset(design.generators.get(factor.name, (factor.name,))) for factor in design.factors}


def _words(design: Design) -> list[Word]:
    """List the products of factors that are always one; only the generators' own where there are too many."""
    own = [frozenset({name}) ^ frozenset(parts) for name, parts in design.generators.items()]
    if len(own) > _MOST_GENERATORS:
        return own
    words: list[Word] = [frozenset()]
    for word in own:
        words += [word ^ other for other in words]
    return words[1:]


def _bound(chains: list[list[Word]]) -> str:
    """Tell the resolution from the chains, which show words of up to four factors."""
    lengths = [len(one) + len(other) for chain in chains for one, other in combinations(chain, 2)]
    return _roman(min(lengths)) if lengths else "V or higher"


def _written(word: Word, order: Mapping[str, int]) -> str:
    return " x ".join(sorted(word, key=order.__getitem__))


def _roman(number: int) -> str:
    text = ""
    for value, sign in _ROMAN:
        while number >= value:
            text, number = text + sign, number - value
    return text

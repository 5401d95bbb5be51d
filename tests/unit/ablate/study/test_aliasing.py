"""Aliasing against brute force: two effects are aliased exactly if their contrasts over the runs are equal."""

from itertools import combinations, product
from math import prod

import pytest

from ablate.study.aliasing import alias_lines
from ablate.study.model import Design, Factor


def design(names: str, **generators: str) -> Design:
    factors = tuple(Factor(name=name, levels=("on", "off")) for name in names)
    return Design(kind="factorial", factors=factors, generators={name: tuple(of) for name, of in generators.items()})


def test_a_half_of_three_factors_aliases_each_with_a_pair() -> None:
    names = ("weights", "selection", "gradient")
    half = Design(
        kind="factorial",
        factors=tuple(Factor(name=name, levels=("on", "off")) for name in names),
        generators={"gradient": ("weights", "selection")},
    )
    assert alias_lines(half) == [
        "resolution III; I = weights x selection x gradient",
        "weights = selection x gradient",
        "selection = weights x gradient",
        "gradient = weights x selection",
    ]


def test_resolution_four_keeps_main_effects_free() -> None:
    assert alias_lines(design("abcd", d="abc")) == [
        "resolution IV; I = a x b x c x d",
        "a x b = c x d",
        "a x c = b x d",
        "a x d = b x c",
        "free of main effects and two-factor interactions: a, b, c, d",
    ]


def test_resolution_five_aliases_nothing_of_two_factors() -> None:
    assert alias_lines(design("abcde", e="abcd")) == [
        "resolution V; I = a x b x c x d x e",
        "free of main effects and two-factor interactions: a, b, c, d, e",
    ]


def test_a_design_without_generators_has_nothing_to_say() -> None:
    assert alias_lines(design("ab")) == []


def test_a_saturated_fraction_of_fifteen_factors_is_told_without_forming_all_words() -> None:
    added = {
        "efghijklmno"[index]: "".join(of)
        for index, of in enumerate(of for size in (2, 3, 4) for of in combinations("abcd", size))
    }
    lines = alias_lines(design("abcdefghijklmno", **added))
    assert lines[0].startswith("resolution III; I = a x b x e = ")
    assert lines[0].endswith("... (11 words)")
    assert lines[1].startswith("a = b x e = ")


@pytest.mark.parametrize("generators", [{"d": "ab", "e": "ac"}, {"d": "abc", "e": "bc"}, {"e": "abcd"}])
def test_chains_are_the_effects_with_equal_contrasts(generators: dict[str, str]) -> None:
    basic = [name for name in "abcde" if name not in generators]
    runs = []
    for signs in product((1, -1), repeat=len(basic)):
        run = dict(zip(basic, signs, strict=True))
        runs.append(run | {name: prod(run[part] for part in of) for name, of in generators.items()})
    effects = [(name,) for name in "abcde"] + list(combinations("abcde", 2))
    classes: dict[tuple[int, ...], list[str]] = {}
    for effect in effects:
        contrast = tuple(prod(run[name] for name in effect) for run in runs)
        classes.setdefault(contrast, []).append(" x ".join(effect))
    expected = [" = ".join(chain) for chain in classes.values() if len(chain) > 1]
    lines = alias_lines(design("abcde", **generators))
    assert [line for line in lines[1:] if not line.startswith("free")] == expected

"""The linear model of a factorial study: coded factors, the terms its arms can tell apart, and the numbers per seed.

Coding is sum-to-zero: a factor of L levels has L - 1 columns, column j being 1 at level j + 1, -1 at the first level
(the reference's) and 0 elsewhere. For two levels this is the textbook's -1 and +1 (Box, Hunter & Hunter, Statistics for
Experimenters, 2nd ed., chapter 5). An interaction's columns are the products of its factors'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import prod

import numpy as np
from numpy.typing import NDArray

from ablate.analysis.results import Results
from ablate.study.model import Arm, Factor

Array = NDArray[np.float64]

TOLERANCE = 1e-9
"""Below this, relative to a column of ones, a column counts as made of others."""

ROUNDING = 1e-13
"""A number below this share of the metric's largest value is rounding of an exact zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A main effect (one factor) or an interaction (two) and its columns in the model's matrix."""

    factors: tuple[str, ...]
    columns: slice

    @property
    def name(self) -> str:
        """Give the term as texts name it: `a` or `a x b`."""
        return term_name(self.factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorModel:
    """What the arms of a factorial can estimate.

    Args:
        levels: Of each factor, those that an arm has, the reference's first.
        terms: In the order of the columns.
        basis: Arms x coefficients: orthonormal columns that span the coded ones; column 0 is the mean's.
        inverse: Of R in the QR decomposition of the coded matrix X: (X'X)^-1 is `inverse @ inverse.T`.
        notes: What was left out because the arms cannot tell it apart, and what that means for the rest.
    """

    levels: Mapping[str, tuple[str, ...]]
    terms: tuple[Term, ...]
    basis: Array
    inverse: Array
    notes: tuple[str, ...]

    def coefficients(self, values: Array) -> Array:
        """Fit `values` (arms, or arms x seeds) by least squares: a row per coefficient, the mean first."""
        return self.inverse @ (self.basis.T @ values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """One metric of a design's arms over the seeds that all of them have.

    Args:
        values: Arms x seeds.
        seeds: Of the columns.
        left_out: Seeds that some arm lacks.
        lacking: Arms that lack a seed that another has.
    """

    values: Array
    seeds: tuple[int | None, ...]
    left_out: tuple[int | None, ...]
    lacking: tuple[str, ...]


def term_name(factors: Sequence[str]) -> str:
    """Name a term by its factors."""
    return " x ".join(factors)


def factorial_arms(results: Results) -> tuple[Arm, ...]:
    """Give the arms that a factorial design made, in the study's order; none for a study without one."""
    design = results.study.design
    if design is None or design.kind != "factorial":
        return ()
    return tuple(arm for arm in results.study.arms if all(factor.name in arm.levels for factor in design.factors))


def responses(results: Results, arms: Sequence[Arm], metric: str) -> Responses:
    """Collect a metric over the seeds that every one of `arms` has."""
    by_name = {arm.name: arm.values.get(metric, {}) for arm in results.arms}
    columns = [by_name.get(arm.name, {}) for arm in arms]
    names = {arm.name for arm in arms}
    found = {seed for column in columns for seed in column}
    planned = {gap.seed for gap in results.gaps if gap.arm in names and gap.metric in (None, metric)}
    ordered = sorted(found | planned, key=lambda seed: (seed is not None, seed or 0))
    complete = tuple(seed for seed in ordered if all(seed in column for column in columns))
    return Responses(
        values=np.array([[column[seed] for seed in complete] for column in columns], dtype=float),
        seeds=complete,
        left_out=tuple(seed for seed in ordered if seed not in complete),
        lacking=tuple(arm.name for arm, column in zip(arms, columns, strict=True) if found - column.keys()),
    )


def without_rounding(numbers: Array, values: Array) -> Array:
    """Give `numbers`, linear in `values`, with what is only rounding set to zero."""
    return np.where(np.abs(numbers) < ROUNDING * np.abs(values).max(), 0.0, numbers)


def build_model(factors: Sequence[Factor], cells: Sequence[Mapping[str, str]]) -> FactorModel:
    """Code main effects and two-factor interactions over `cells` (one level per factor and arm).

    Terms enter in order, main effects first; one whose columns the arms cannot tell from those before is left out, and
    a note says what it is aliased with (the alias matrix: the left-out columns regressed on the kept).
    """
    levels = {factor.name: _present(factor, cells) for factor in factors}
    coded = {name: _coded(name, found, cells) for name, found in levels.items() if len(found) > 1}
    matrix = np.ones((len(cells), 1))
    basis = matrix / np.sqrt(len(cells))
    terms: list[Term] = []
    dropped: list[tuple[tuple[str, ...], Array]] = []
    for names, block in _blocks(coded):
        fresh = _directions(basis, block)
        if fresh is None:
            dropped.append((names, block))
            continue
        start = matrix.shape[1]
        terms.append(Term(factors=names, columns=slice(start, start + block.shape[1])))
        matrix, basis = np.hstack([matrix, block]), np.hstack([basis, fresh])
    alone = [name for name in levels if name not in coded]
    notes = [f"{name} has one level in these arms: it has no effect to estimate" for name in alone]
    notes += _alias_notes(terms, matrix, dropped)
    if len(coded) > 2 and len(cells) < prod(len(levels[name]) for name in coded):
        notes.append("not every combination is an arm: interactions of three and more factors are taken to be zero")
    inverse = np.linalg.inv(basis.T @ matrix)
    return FactorModel(levels=levels, terms=tuple(terms), basis=basis, inverse=inverse, notes=tuple(notes))


def _present(factor: Factor, cells: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    have = {cell[factor.name] for cell in cells}
    return tuple(level for level in factor.levels if level in have)


def _coded(name: str, levels: Sequence[str], cells: Sequence[Mapping[str, str]]) -> Array:
    codes = np.vstack([-np.ones(len(levels) - 1), np.eye(len(levels) - 1)])
    index = {level: place for place, level in enumerate(levels)}
    return np.asarray(codes[[index[cell[name]] for cell in cells]], dtype=float)


def _blocks(coded: Mapping[str, Array]) -> Iterator[tuple[tuple[str, ...], Array]]:
    for name, block in coded.items():
        yield (name,), block
    for one, other in combinations(coded, 2):
        columns = product(coded[one].T, coded[other].T)
        yield (one, other), np.column_stack([first * second for first, second in columns])


def _directions(basis: Array, block: Array) -> Array | None:
    """Give the orthonormal directions that `block` adds to `basis`, nothing if a column of it is made of others."""
    if block.shape[1] > len(block) - basis.shape[1]:
        return None
    rest = block
    for _ in range(2):  # twice is enough for orthogonality to rounding
        rest = rest - basis @ (basis.T @ rest)
    directions, sizes = np.linalg.qr(rest)
    return directions if np.abs(np.diag(sizes)).min() > TOLERANCE * np.sqrt(len(block)) else None


def _alias_notes(terms: Sequence[Term], matrix: Array, dropped: Sequence[tuple[tuple[str, ...], Array]]) -> list[str]:
    """Say what the left-out terms are aliased with: as sums where one equals one (regular fractions), else by name."""
    sums: dict[str, str] = {}
    others: list[str] = []
    for factors, block in dropped:
        name = term_name(factors)
        weights = np.linalg.lstsq(matrix, block, rcond=None)[0]
        touched = [term for term in terms if np.abs(weights[term.columns]).max() > TOLERANCE]
        alone = weights[touched[0].columns] if len(touched) == 1 else np.empty((0, 0))
        if alone.shape == (1, 1) and abs(abs(alone[0, 0]) - 1.0) < TOLERANCE:
            kept = touched[0].name
            sums[kept] = f"{sums.get(kept, kept)} {'+' if alone[0, 0] > 0.0 else '-'} {name}"
        else:
            rest = ", ".join(term.name for term in touched)
            others.append(
                f"{name} cannot be told from {rest}: it is left out, and their effects take it to be zero"
                if rest
                else f"{name} cannot be estimated from these arms: it is left out"
            )
    kept_terms = [term.name for term in terms if term.name in sums]
    return [f"{kept} is aliased: its effect is that of {sums[kept]}" for kept in kept_terms] + others

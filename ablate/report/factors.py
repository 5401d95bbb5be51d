"""What the factors of a design do, as text in rows: effects, the analysis of variance, and Shapley shares."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.analysis.effects import FactorEffects
from ablate.analysis.intervals import SIGNIFICANCE, Estimate
from ablate.analysis.shapley import Attribution
from ablate.report.numbers import decimals_for, fixed, interval, p_value, seeds_text
from ablate.report.tables import Group, MetricTable


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """One effect or share: its size, interval and p as text, and the estimate for the figure."""

    label: str
    size: str
    interval: str
    p_holm: str
    direction: str
    """`better`, `worse` or `undecided`: the class of its mark."""
    source: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class AnovaLine:
    """One line of the analysis of variance."""

    term: str
    df: str
    sum_sq: str
    f: str
    p: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorTable:
    """One metric of a study with a design. `shares` add up to `total`, from everything off to everything on."""

    metric: MetricTable
    effects: tuple[EffectRow, ...]
    anova: tuple[AnovaLine, ...]
    notes: tuple[str, ...]
    shares: tuple[EffectRow, ...] = ()
    total: str = ""


def build_factors(
    effects: Mapping[str, FactorEffects], shares: Mapping[str, tuple[Attribution, ...]], groups: tuple[Group, ...]
) -> tuple[FactorTable, ...]:
    """Lay out the effects of every metric, in the order of the tables; empty without a factorial design."""
    return tuple(
        _factor_table(metric, effects[metric.name], shares.get(metric.name, ()))
        for group in groups
        for metric in group.metrics
        if metric.name in effects
    )


def _factor_table(metric: MetricTable, found: FactorEffects, shares: tuple[Attribution, ...]) -> FactorTable:
    decimals = decimals_for([effect.estimate for effect in found.effects])
    share_decimals = decimals_for([share.estimate for share in shares])
    notes = [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    if found.left_out:
        notes.append(f"Seeds that some arm lacks take no part: {seeds_text(found.left_out)}.")
    return FactorTable(
        metric=metric,
        effects=tuple(
            _row(effect.label, effect.estimate, effect.p_holm, metric.better, decimals) for effect in found.effects
        ),
        anova=tuple(
            AnovaLine(
                term=row.term,
                df=str(row.df),
                sum_sq=f"{row.sum_sq:.4g}",
                f="" if row.f is None else f"{row.f:.3g}",
                p=p_value(row.p),
            )
            for row in found.anova
        ),
        notes=tuple(notes),
        shares=tuple(
            _row(f"{share.component}: {share.on}", _bootstrapped(share), None, metric.better, share_decimals)
            for share in shares
        ),
        total=fixed(sum(share.estimate.mean for share in shares), share_decimals, sign=True) if shares else "",
    )


def _row(label: str, found: Estimate, p_holm: float | None, better: str, decimals: int) -> EffectRow:
    decided = found.low is not None and found.high is not None and (found.low > 0.0 or found.high < 0.0)
    if p_holm is not None:
        decided = p_holm < SIGNIFICANCE
    direction = "better" if (found.mean < 0.0) == (better == "lower") else "worse"
    return EffectRow(
        label=label,
        size=fixed(found.mean, decimals, sign=True),
        interval=interval(found, decimals, sign=True),
        p_holm=p_value(p_holm),
        direction=direction if decided else "undecided",
        source=found,
    )


def _bootstrapped(share: Attribution) -> Estimate:
    """Give a share with the bootstrap's interval where there is one, else Student's."""
    found = share.estimate
    if share.bca is None:
        return found
    return Estimate(n=found.n, mean=found.mean, sd=found.sd, low=share.bca.low, high=share.bca.high)

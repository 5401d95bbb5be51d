"""What a report says of the parameters of a search: how much each matters, with intervals."""

from collections.abc import Iterator

from ablate.analysis.importance import MIN_CONFIGURATIONS, NUM_TREES, NUM_TREES_RESAMPLED, Share
from ablate.analysis.searches import SearchAnalysis
from ablate.report.search_text import TextTable, short_names

_METHODS = (
    "fANOVA: share of the variance of the values over the space that a parameter explains alone, so that shares need "
    "not add up to 1. PED-ANOVA: its share of what sets the best configurations (a tenth, but no fewer than five) "
    "apart from all; shares add up to 1."
)
_INTERVALS = (
    "A share is never negative: also a parameter without any effect has one, the larger the fewer the configurations "
    "(about 0.2 for each of four parameters, where the values of twenty are pure noise), with an interval from near "
    "zero. "
    "Ranges that are searched on a logarithmic scale are measured on it. A parameter with a condition is measured "
    "where it is searched, beside the parameters that all of those configurations have."
)


def importance_sentences(found: SearchAnalysis) -> Iterator[str]:
    """Say why nothing is told of importance, where that is so."""
    known = [one for one in found.importance if one.is_known]
    if found.importance and not known:
        most = max(one.num for one in found.importance)
        if most < MIN_CONFIGURATIONS:
            yield (
                f"Which parameters matter cannot be told: that needs {MIN_CONFIGURATIONS} configurations with a value, "
                f"and there are {most}."
            )
        else:
            notes = sorted({row.note for one in found.importance for row in one.rows if row.note})
            yield f"Which parameters matter cannot be told: {', '.join(notes)}."


def importance_tables(found: SearchAnalysis) -> Iterator[TextTable]:
    """Lay out importance, a table for each objective with the parameters of all searches, the first ones first."""
    names = short_names(parameter.key for parameter in found.search.space)
    for objective in found.search.objectives:
        known = [one for one in found.importance if one.metric == objective.metric]
        if not any(one.is_known for one in known):
            continue
        rows = []
        for one in known:
            parameters = {row.key: row for row in one.rows}
            for place, key in enumerate(one.ranked):
                row = parameters[key]
                shares = [row.note, "", "", ""] if row.note else [*_share(row.fanova), *_share(row.ped_anova)]
                rows.append((one.arm if place == 0 else "", names[key], str(row.num), *shares))
        missing = "" if all(one.has_fanova for one in known) else " fANOVA needs scikit-learn, which is not installed."
        yield TextTable(
            title=f"How much each parameter matters for {objective.metric}",
            head=("arm", "parameter", "configurations", "fANOVA", "95 % interval", "PED-ANOVA", "95 % interval"),
            rows=tuple(rows),
            caption=f"{_METHODS} Percentile intervals of {known[0].num_resamples} resamples of the configurations "
            f"with a value, on validation data ({NUM_TREES} trees, {NUM_TREES_RESAMPLED} in each resample). "
            f"{_INTERVALS} Fewer than {MIN_CONFIGURATIONS} configurations are too few.{missing}",
            num_text=2,
        )


def _share(share: Share | None) -> tuple[str, str]:
    return ("", "") if share is None else (f"{share.value:.2f}", f"[{share.low:.2f}, {share.high:.2f}]")

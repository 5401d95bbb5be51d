"""Everything that a report says of a search, as numbers."""

from ablate.analysis.importance import ParameterImportance, SearchImportance, Share
from ablate.analysis.searches import SearchAnalysis
from ablate.trial import Json


def search_json(found: SearchAnalysis | None) -> Json:
    """Give everything that a report says of a search, as numbers."""
    if found is None:
        return None
    return {
        "objectives": [{"metric": one.metric, "better": one.better} for one in found.search.objectives],
        "sampler": {"name": found.search.sampler.name, "seed": found.search.sampler.seed},
        "seeds": list(found.search.seeds),
        "searches": [
            {
                "arm": result.arm,
                "best": result.best.number if result.best else None,
                "seconds": result.seconds,
                "configurations": [
                    {
                        "number": entry.number,
                        "parameters": dict(entry.parameters),
                        "state": str(entry.state),
                        "values": list(entry.values) if entry.values else None,
                        "seconds": entry.seconds,
                        "origin": entry.origin,
                    }
                    for entry in result.entries
                ],
            }
            for result in found.results
        ],
        "importance": [_importance(one) for one in found.importance],
        "gains": [
            {
                "metric": row.metric.name,
                "arm": row.arm,
                "difference": row.difference,
                "p_holm": row.p_holm,
                "verdict": str(row.verdict),
            }
            for row in found.gains.rows
        ],
    }


def _importance(found: SearchImportance) -> Json:
    return {
        "arm": found.arm,
        "metric": found.metric,
        "configurations": found.num,
        "resamples": found.num_resamples,
        "parameters": [_parameter(row) for row in found.rows],
    }


def _parameter(row: ParameterImportance) -> Json:
    return {
        "key": row.key,
        "configurations": row.num,
        "fanova": _share(row.fanova),
        "ped_anova": _share(row.ped_anova),
        "note": row.note or None,
    }


def _share(share: Share | None) -> Json:
    return None if share is None else {"value": share.value, "low": share.low, "high": share.high}

"""What a study came to as data: two CSV files in long form, one JSON object with everything, and a short summary."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from ablate.analysis.contrasts import Contrast
from ablate.analysis.intervals import Estimate, Interval
from ablate.plan.model import Plan
from ablate.report.content import ReportContent
from ablate.report.facts import Facts
from ablate.report.search_json import search_json
from ablate.report.sentences import missing_sentences, verdict_line
from ablate.report.tables import headline_metrics
from ablate.study.model import Arm, Study
from ablate.trial import Json

SCHEMA = 1
"""Of `report.json` and `summary.json`: raised when a key changes its meaning."""

_CONTRAST_COLUMNS = (
    *("metric", "unit", "better", "arm", "reference", "n", "difference", "sd", "low", "high", "method"),
    *("bca_low", "bca_high", "p", "p_holm", "verdict", "note", "unpaired"),
    *("paper_difference", "paper_claim", "agreement", "ratio", "contradicted"),
)


def results_csv(content: ReportContent) -> str:
    """Write one row per arm, metric and seed, with the levels of the design's factors and how the trial stands."""
    study = content.study
    factors = [factor.name for factor in study.design.factors] if study.design else []
    values = {arm.name: arm.values for arm in content.analysis.results.arms}
    levels = {arm.name: arm.levels for arm in study.arms}
    head = ["study", "scale", "arm", *factors, "metric", "unit", "seed", "value", "trial_id", "status"]
    rows = [
        [
            *(study.name, content.analysis.results.scale, trial.arm),
            *(levels[trial.arm].get(factor, "") for factor in factors),
            *(metric.name, metric.unit, trial.seed, values[trial.arm][metric.name].get(trial.seed)),
            *(trial.trial_id, trial.status),
        ]
        for trial in content.facts.arm_trials
        for metric in study.metrics
    ]
    return _csv(head, rows)


def contrasts_csv(content: ReportContent) -> str:
    """Write one row per contrast and metric: difference, both intervals, p, verdict, and the paper beside it."""
    rows = []
    for metric in content.study.metrics:
        for contrast in content.analysis.contrasts[metric.name]:
            beside = content.comparisons.get((metric.name, contrast.arm))
            found, interval, bca = contrast.estimate, contrast.interval, contrast.bca
            rows.append(
                [
                    *(metric.name, metric.unit, metric.better, contrast.arm, contrast.reference),
                    *((found.n, found.mean, found.sd) if found else (0, None, None)),
                    *((interval.low, interval.high, interval.method) if interval else (None, None, None)),
                    *((bca.low, bca.high) if bca else (None, None)),
                    *(contrast.p, contrast.p_holm, str(contrast.verdict), contrast.note),
                    " ".join(str(seed) for seed in contrast.unpaired),
                    *((beside.delta, beside.claim, beside.agreement, beside.ratio) if beside else (None,) * 4),
                    "yes" if beside and beside.contradicted else "",
                ]
            )
    return _csv(_CONTRAST_COLUMNS, rows)


def report_json(content: ReportContent, plan: Plan) -> dict[str, Json]:
    """Give everything that the report says, as numbers.

    Its keys: `schema`, `study`, `scale`, `setting`, `replication`, `plan`, `data`, `arms`, `metrics`, `estimates`,
    `contrasts`, `effects`, `shapley`, `paper`, `search`, `gaps`, `missing`, `cost`, `versions`, `configuration`,
    `pictures`.
    """
    study, facts, results = content.study, content.facts, content.analysis.results
    found = {
        "schema": SCHEMA,
        "study": _study(study),
        "scale": results.scale,
        "setting": content.setting,
        "replication": {
            "sentence": content.replication,
            "seeds": list(results.seeds),
            "adaptive": asdict(study.adaptive) if study.adaptive else None,
        },
        "plan": {"version": plan.version, "trials": facts.num_trials, "finished": facts.num_finished},
        "data": _data(plan),
        "arms": [_arm(study, arm) for arm in study.arms],
        "metrics": [asdict(metric) for metric in study.metrics],
        "estimates": {
            metric: {arm: _estimate(found) for arm, found in arms.items()}
            for metric, arms in content.analysis.estimates.items()
        },
        "contrasts": {
            metric: [_contrast(content, contrast) for contrast in contrasts]
            for metric, contrasts in content.analysis.contrasts.items()
        },
        **_factors(content),
        "paper": _paper(content),
        "search": search_json(content.searches),
        "gaps": [asdict(gap) for gap in results.gaps],
        "missing": missing_sentences(content),
        "cost": {"seconds": facts.seconds, "parts": [asdict(cost) for cost in facts.costs]},
        "versions": _versions(facts),
        "configuration": dict(content.configuration),
        "pictures": [
            {"name": row.name, "seed": row.seed, "trials": {one.arm: one.trial_id for one in row.pictures}}
            for row in content.pictures
        ],
    }
    return {key: _storable(value) for key, value in found.items()}


def _study(study: Study) -> dict[str, Json]:
    return {
        "name": study.name,
        "title": study.title,
        "paper": study.paper,
        "task": study.task,
        "reference": study.reference,
        "notes": study.notes,
        "source": study.source,
        "base": list(study.base),
        "overrides": list(study.overrides),
    }


def _arm(study: Study, arm: Arm) -> dict[str, Json]:
    return {
        "name": arm.name,
        "against": study.reference if arm.against is None else arm.against,
        "overrides": dict(arm.overrides),
        "levels": dict(arm.levels),
        "paper_row": arm.paper,
    }


def _versions(facts: Facts) -> dict[str, Json]:
    return {
        "libraries": {name: list(found) for name, found in facts.versions.items()},
        "code": {task: list(found) for task, found in facts.code.items()},
        "hosts": list(facts.hosts),
        "first": facts.first,
        "last": facts.last,
    }


def summary_json(content: ReportContent) -> dict[str, Json]:
    """Give what a list of studies shows of this one, so that it need not read the records."""
    headline = headline_metrics(content.groups)
    verdicts = {metric.name: verdict_line(metric) for metric in headline}
    metric = next(iter(verdicts), "")
    return {
        "schema": SCHEMA,
        "study": content.study.name,
        "title": content.study.title,
        "paper": content.study.paper,
        "scale": content.analysis.results.scale,
        "num_finished": content.facts.num_finished,
        "num_trials": content.facts.num_trials,
        "metric": metric,
        "verdict": f"{verdicts[metric]} ({metric})" if metric else "nothing to compare",
        "verdicts": verdicts,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def _data(plan: Plan) -> dict[str, list[str]]:
    """Give every fingerprint of data, by the parameter that points at it."""
    found: dict[str, set[str]] = {}
    for spec in plan.specs.values():
        for parameter, fingerprint in spec.data.items():
            found.setdefault(parameter, set()).add(fingerprint)
    return {parameter: sorted(fingerprints) for parameter, fingerprints in sorted(found.items())}


def _estimate(found: Estimate | None) -> Json:
    return None if found is None else asdict(found)


def _interval(found: Interval | None) -> Json:
    return None if found is None else asdict(found)


def _contrast(content: ReportContent, contrast: Contrast) -> Json:
    beside = content.comparisons.get((contrast.metric, contrast.arm))
    return {
        "arm": contrast.arm,
        "reference": contrast.reference,
        "differences": {str(seed): value for seed, value in contrast.differences.items()},
        "unpaired": list(contrast.unpaired),
        "estimate": _estimate(contrast.estimate),
        "interval": _interval(contrast.interval),
        "bca": _interval(contrast.bca),
        "p": contrast.p,
        "p_holm": contrast.p_holm,
        "verdict": str(contrast.verdict),
        "note": contrast.note,
        "paper": asdict(beside) if beside else None,
    }


def _factors(content: ReportContent) -> Mapping[str, Json]:
    return {
        "effects": {
            metric: {
                "effects": [asdict(effect) for effect in found.effects],
                "anova": [asdict(row) for row in found.anova],
                "notes": list(found.notes),
                "left_out": list(found.left_out),
            }
            for metric, found in content.effects.items()
        },
        "shapley": {metric: [asdict(share) for share in shares] for metric, shares in content.shares.items()},
    }


def _paper(content: ReportContent) -> Json:
    if content.published is None:
        return None
    paper = content.paper
    return {
        "table": content.published.paper,
        "title": content.published.title,
        "dataset": content.published.dataset,
        "values": {row: dict(values) for row, values in content.published.values.items()},
        "quoted": sorted(content.published.quoted),
        "comparisons": [asdict(beside) for beside in content.comparisons.values()],
        "without_arm": [{"row": row.row, "reason": row.reason} for row in paper.others] if paper else [],
    }


def _storable(value: Json) -> Json:
    """Write numbers that JSON lacks as text, at any depth."""
    if isinstance(value, Mapping):
        return {str(key): _storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value

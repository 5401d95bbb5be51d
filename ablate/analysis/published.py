"""The paper's numbers beside ours: published tables, the arms and metrics that map to them, and how the two compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.analysis.contrasts import Analysis, Verdict
from ablate.errors import Fault, StudyError
from ablate.study.model import Study
from ablate.wording import expected_one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedContrast:
    """A difference between two rows that the paper speaks of, and the columns whose print contradicts its claim."""

    arm: str
    reference: str
    contradicted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One printed table: `values[row][column]`, `None` where nothing is printed."""

    paper: str
    title: str
    dataset: str
    columns: tuple[str, ...]
    values: Mapping[str, Mapping[str, float | None]]
    contrasts: tuple[PublishedContrast, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm on one metric beside the paper.

    Args:
        arm: Our arm.
        metric: Our metric.
        value: What the paper prints for the arm's row.
        delta: The paper's arm minus its reference; `None` for the reference itself or an unprinted number.
        same_sign: Whether our difference points where the paper's does; `None` where one of them is missing or zero.
        ratio: Our difference over the paper's.
        decided: Whether our interval excludes zero.
        contradicted: The paper's own printed numbers contradict its claim about this difference.
    """

    arm: str
    metric: str
    value: float | None
    delta: float | None = None
    same_sign: bool | None = None
    ratio: float | None = None
    decided: bool = False
    contradicted: bool = False


def compare(analysis: Analysis) -> dict[tuple[str, str], Comparison]:
    """Set every arm and metric that maps to the published table beside it, by (metric, arm).

    A study without `paper`, or without a mapped arm or metric, gives an empty answer.

    Raises:
        StudyError: The study names a table, row or column that does not exist.
    """
    study = analysis.results.study
    faults = check_published(study)
    if faults:
        raise StudyError(faults)
    table = published_table(study)
    if table is None:
        return {}
    rows = {arm.name: arm.paper for arm in study.arms}
    found: dict[tuple[str, str], Comparison] = {}
    for metric in study.metrics:
        for arm, row in rows.items():
            if metric.paper and row:
                found[metric.name, arm] = _beside(
                    analysis, table, (metric.name, arm), (row, rows[study.reference], metric.paper)
                )
    return found


def check_published(study: Study) -> list[Fault]:
    """Find every name of a table, row or column that the published numbers do not have, each with what is allowed."""
    try:
        table = published_table(study)
    except StudyError as error:
        return error.faults
    if table is None:
        mapped = [f"paper_rows.{arm.name}" for arm in study.arms if arm.paper]
        mapped += [f"metrics.{index}.paper" for index, metric in enumerate(study.metrics) if metric.paper]
        message = "points into a published table, but the study names none in `paper`"
        return [_fault(study, key, message) for key in mapped]
    faults = [
        _fault(study, f"paper_rows.{arm.name}", _unknown(f"row of {study.paper}", arm.paper, table.values))
        for arm in study.arms
        if arm.paper and arm.paper not in table.values
    ]
    faults += [
        _fault(study, f"metrics.{index}.paper", _unknown(f"column of {study.paper}", metric.paper, table.columns))
        for index, metric in enumerate(study.metrics)
        if metric.paper and metric.paper not in table.columns
    ]
    return faults


def published_table(study: Study) -> PublishedTable | None:
    """Read the table the study names in `paper`, or nothing if it names none.

    Raises:
        StudyError: There is no such file or no such table in it; the text lists what there is.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if study.paper is None:
        return None
    key, _, table_id = study.paper.partition("/")
    folder = study.path.parent / "papers"
    file = folder / f"{key}.yaml"
    if not file.is_file():
        papers = sorted(path.stem for path in folder.glob("*.yaml"))
        raise StudyError([_fault(study, "paper", f"{_unknown('paper', key, papers)} (looked in {folder})")])
    try:
        tables = {table["id"]: table for table in YAML(typ="safe").load(file)["tables"]}
        if table_id in tables:
            return _table(study.paper, tables[table_id])
    except (YAMLError, KeyError, TypeError, AttributeError) as error:
        place = f"{file} is no file of published numbers: {type(error).__name__}: {' '.join(str(error).split())}"
        raise StudyError([_fault(study, "paper", f"{place}; expected `tables` as in the other files")]) from error
    raise StudyError([_fault(study, "paper", _unknown(f"table of {key}", table_id, tables))])


def _table(paper: str, raw: Mapping[str, Any]) -> PublishedTable:
    return PublishedTable(
        paper=paper,
        title=raw["title"],
        dataset=raw["dataset"],
        columns=tuple(column["name"] for column in raw["columns"]),
        values={row["name"]: row["values"] for row in raw["rows"]},
        contrasts=tuple(
            PublishedContrast(
                arm=contrast["arm"],
                reference=contrast["reference"],
                contradicted=tuple(contrast["contradicted_by_print"]),
            )
            for contrast in raw["contrasts"]
        ),
    )


def _beside(
    analysis: Analysis, table: PublishedTable, ours: tuple[str, str], theirs: tuple[str, str | None, str]
) -> Comparison:
    """Compare `ours` (metric, arm) with `theirs` (row, reference row, column)."""
    (metric, arm), (row, reference_row, column) = ours, theirs
    value = table.values[row].get(column)
    base = table.values[reference_row].get(column) if reference_row else None
    contrast = analysis.contrast(metric, arm)
    if contrast is None or value is None or base is None:
        return Comparison(arm=arm, metric=metric, value=value)
    delta = round(value - base, 9)  # as printed: 80.5 - 66.9 is 13.6
    mean = contrast.estimate.mean if contrast.estimate else None
    comparable = mean is not None and mean != 0.0 and delta != 0.0
    return Comparison(
        arm=arm,
        metric=metric,
        value=value,
        delta=delta,
        same_sign=math.copysign(1.0, mean) == math.copysign(1.0, delta) if comparable and mean is not None else None,
        ratio=mean / delta if mean is not None and delta != 0.0 else None,
        decided=contrast.verdict is not Verdict.UNDECIDED,
        contradicted=any(
            {claim.arm, claim.reference} == {row, reference_row} and column in claim.contradicted
            for claim in table.contrasts
        ),
    )


def _unknown(what: str, name: str | None, allowed: Iterable[str]) -> str:
    return f"unknown {what}: '{name}'; {expected_one_of(name, list(allowed))}"


def _fault(study: Study, key: str, message: str) -> Fault:
    line = study.lines.get(key, study.lines.get(key.split(".", maxsplit=1)[0]))
    return Fault(message=message, path=study.path, line=line, key=key)

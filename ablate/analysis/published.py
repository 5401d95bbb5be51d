"""The paper's numbers beside ours: published tables, the arms and metrics that map to them, and how the two compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.analysis.contrasts import Analysis, Contrast, Verdict
from ablate.errors import Fault, StudyError
from ablate.study.model import Metric, Study
from ablate.study.yaml_file import shown_path
from ablate.wording import expected_one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedContrast:
    """A difference between two rows that the paper speaks of, and the columns whose print contradicts its claim.

    `sign[column]` is the claim about arm minus reference: `+`, `-`, or `0` for alike.
    """

    arm: str
    reference: str
    contradicted: tuple[str, ...]
    sign: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One printed table: `values[row][column]`, `None` where nothing is printed.

    `quoted` are the rows that the paper took from others: they are shown, and never run.
    """

    paper: str
    title: str
    dataset: str
    columns: tuple[str, ...]
    values: Mapping[str, Mapping[str, float | None]]
    contrasts: tuple[PublishedContrast, ...]
    quoted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm on one metric beside the paper.

    Args:
        arm: Our arm.
        metric: Our metric.
        row: The arm's row in the paper's table.
        value: What the paper prints for it.
        delta: The paper's arm minus its reference; `None` for an arm compared to nothing or an unprinted number.
        claim: What the paper says of that difference: `+`, `-`, `0` for alike, `None` where it is silent.
        same_sign: Whether our difference points where the paper's does; `None` where one of them is missing or zero.
        agreement: The comparison in words, empty where there is none. Signs are compared, and open where ours is
            undecided; a claim of `0` is met by equivalence alone.
        ratio: Our difference over the paper's.
        decided: Whether our verdict says that there is a difference.
        contradicted: The paper's own printed numbers contradict its claim about this difference.
    """

    arm: str
    metric: str
    row: str
    value: float | None
    delta: float | None = None
    claim: str | None = None
    same_sign: bool | None = None
    agreement: str = ""
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
        if not metric.paper:
            continue
        contrasts = {contrast.arm: contrast for contrast in analysis.contrasts[metric.name]}
        for arm, row in rows.items():
            contrast = contrasts.get(arm)
            if row and contrast:
                found[metric.name, arm] = _beside(table, contrast, metric, (row, rows[contrast.reference]))
            elif row:
                value = table.values[row].get(metric.paper)
                found[metric.name, arm] = Comparison(arm=arm, metric=metric.name, row=row, value=value)
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
    own = [row for row in table.values if row not in table.quoted]
    faults += [
        _fault(study, f"paper_rows.{arm.name}", _quoted(arm.paper, own))
        for arm in study.arms
        if arm.paper and arm.paper in table.quoted
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
                sign=contrast.get("sign", {}),
            )
            for contrast in raw["contrasts"]
        ),
        quoted=frozenset(row["name"] for row in raw["rows"] if not row.get("own", True)),
    )


def _beside(table: PublishedTable, contrast: Contrast, metric: Metric, rows: tuple[str, str | None]) -> Comparison:
    """Compare a contrast of ours with two rows of the paper, the arm's and its reference's."""
    (row, reference_row), column = rows, metric.paper or ""
    value = table.values[row].get(column)
    base = table.values[reference_row].get(column) if reference_row else None
    if value is None or base is None:
        return Comparison(arm=contrast.arm, metric=metric.name, row=row, value=value)
    delta = round(value - base, 9)  # as printed: 80.5 - 66.9 is 13.6
    mean = contrast.estimate.mean if contrast.estimate else None
    claim, contradicted = _claim(table, rows, column)
    draft = Comparison(
        arm=contrast.arm,
        metric=metric.name,
        row=row,
        value=value,
        delta=delta,
        claim=claim,
        same_sign=math.copysign(1.0, mean) == math.copysign(1.0, delta) if mean and delta else None,
        ratio=mean / delta if mean is not None and delta != 0.0 else None,
        decided=contrast.verdict in (Verdict.BETTER, Verdict.WORSE),
        contradicted=contradicted,
    )
    return draft if mean is None else replace(draft, agreement=_agreement(draft, contrast, metric))


def _claim(table: PublishedTable, rows: tuple[str, str | None], column: str) -> tuple[str | None, bool]:
    """Give what the paper says of the difference between two rows, and whether its print contradicts it."""
    for claim in table.contrasts:
        if {claim.arm, claim.reference} == set(rows):
            sign = claim.sign.get(column)
            if sign is not None and claim.arm != rows[0]:
                sign = {"+": "-", "-": "+"}.get(sign, sign)
            return sign, column in claim.contradicted
    return None, False


def _agreement(beside: Comparison, contrast: Contrast, metric: Metric) -> str:
    """Say in words whether ours and the paper's difference agree."""
    equivalent = contrast.verdict is Verdict.EQUIVALENT
    if beside.claim == "0":
        return "same" if equivalent else "differs" if beside.decided else "open"
    if beside.same_sign is None:
        return ""
    if equivalent:
        is_small = beside.delta is not None and abs(beside.delta) <= (metric.equivalent_within or 0.0)
        return "same: both within the margin" if is_small else "differs: ours is equivalent"
    word = "same sign" if beside.same_sign else "opposite sign"
    return word if beside.decided else f"{word} (open)"


def _quoted(row: str, own: list[str]) -> str:
    return f"'{row}' is quoted by the paper from others: never run; {expected_one_of(row, own)}"


def _unknown(what: str, name: str | None, allowed: Iterable[str]) -> str:
    return f"unknown {what}: '{name}'; {expected_one_of(name, list(allowed))}"


def _fault(study: Study, key: str, message: str) -> Fault:
    place = key if key in study.lines else key.split(".", maxsplit=1)[0]
    line, column = study.lines.get(place), study.columns.get(place)
    return Fault(message=message, path=shown_path(study.path), line=line, column=column, key=key)

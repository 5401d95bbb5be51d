"""`compare`: two arms, two studies, or two versions of one study, and what lies between them."""

import math
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import PIPED_WIDTH, StoreOption, complete_studies, named
from ablate.errors import ExitCode, Fault, StudyError
from ablate.wording import expected_one_of

if TYPE_CHECKING:
    from rich.table import Table

    from ablate.analysis.comparison import ComparisonRow, StudyComparison
    from ablate.analysis.results import Results
    from ablate.plan.model import Plan

_SIDE = re.compile(r"(?P<study>[^:@]+)(?:@(?P<version>[^:@]*))?(?::(?P<arm>.+))?", re.DOTALL)
_COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "dim"}

FirstSide = Annotated[
    str,
    typer.Argument(
        metavar="A",
        help="STUDY:ARM, STUDY, or STUDY@VERSION (`previous`, or as `ablate list --versions STUDY` shows them).",
        show_default=False,
        autocompletion=complete_studies,
    ),
]
SecondSide = Annotated[
    str,
    typer.Argument(
        metavar="B",
        help="What A is compared to, written likewise; another arm of A's study by its name alone.",
        show_default=False,
        autocompletion=complete_studies,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison: a plan with its results, and the arm that is meant, if one is."""

    label: str
    plan: "Plan"
    results: "Results"
    arm: str | None


def compare(a: FirstSide, b: SecondSide, store: StoreOption = None, as_json: JsonOption = False) -> ExitCode:
    """Contrast two arms, two studies or two versions of one study.

    Differences are A minus B, paired by seed where both have the seeds.
    """
    ours = _side(a, store)
    theirs = _side(b, store, beside=ours)
    if (ours.plan.study.name, ours.plan.version, ours.arm) == (
        theirs.plan.study.name,
        theirs.plan.version,
        theirs.arm,
    ):
        raise StudyError([Fault(message=f"{a} and {b} are the same: there is nothing to compare")])
    if (ours.arm is None) != (theirs.arm is None):
        whole = b if theirs.arm is None else a
        message = f"an arm cannot be compared to a whole study: give {whole} an arm, as in {whole}:ARM"
        raise StudyError([Fault(message=message)])
    found = compared(ours, theirs)
    changes = between(ours, theirs)
    if as_json:
        print_json({"changes": changes, "comparison": found})
        return ExitCode.DONE
    _show(found, changes)
    return ExitCode.DONE


def compared(a: Side, b: Side) -> "StudyComparison":
    """Compare two sides: arm to arm, or every arm that both studies have."""
    from ablate.analysis.comparison import compare_arms, compare_results

    if a.arm is None or b.arm is None:
        return compare_results(a.results, b.results, labels=(a.label, b.label))
    if a.plan.version == b.plan.version and a.plan.study.name == b.plan.study.name:
        return compare_arms(a.results, a.arm, b.arm)
    name = a.arm if a.arm == b.arm else f"{a.arm} / {b.arm}"
    alone = [replace(side.results, arms=(replace(side.results.arm(str(side.arm)), name=name),)) for side in (a, b)]
    return compare_results(alone[0], alone[1], labels=(a.label, b.label))


def between(a: Side, b: Side) -> list[str]:
    """Say what lies between two sides, apart from their numbers."""
    from ablate.cli.versions import arm_changes, plan_changes

    if a.arm is not None and b.arm is not None:
        return arm_changes(a.plan, a.arm, b.plan, b.arm)
    return plan_changes(a.plan, b.plan)


def _side(text: str, store: str | None, *, beside: Side | None = None) -> Side:
    """Find what one side means.

    Raises:
        StudyError: There is no such study, version or arm; names those there are.
    """
    from ablate.analysis.replication import reached
    from ablate.analysis.results import gather
    from ablate.plan.file import load_plan
    from ablate.store import Store

    if beside is not None and beside.arm is not None and text in _arms(beside.plan):
        return replace(beside, arm=text, label=text)
    match = _SIDE.fullmatch(text)
    if match is None or match["version"] == "":
        raise StudyError([Fault(message=f"expected STUDY:ARM, STUDY or STUDY@VERSION, got '{text}'")])
    meant = named(match["study"], store)
    plan = load_plan(meant.store, meant.name, match["version"])
    arm = match["arm"]
    if arm is not None and arm not in _arms(plan):
        message = f"study '{meant.name}' has no arm '{arm}'; {expected_one_of(arm, _arms(plan))}"
        raise StudyError([Fault(message=message)])
    trials = Store(meant.store)
    plan_so_far = reached(plan, trials)
    label = text if match["version"] != "previous" else text.replace("@previous", f"@{plan.version}")
    return Side(label=label, plan=plan, results=gather(plan_so_far, trials), arm=arm)


def _arms(plan: "Plan") -> list[str]:
    return [arm.name for arm in plan.study.arms]


def _show(found: "StudyComparison", changes: list[str]) -> None:
    from rich.console import Console

    for line in (f"A: {found.a}", f"B: {found.b}", *changes):
        print(line)
    console = Console(file=sys.stdout)
    wide = Console(file=sys.stdout, width=PIPED_WIDTH) if not console.is_terminal else console
    wide.print(comparison_table(found))
    print("A - B with its 95 % interval; p adjusted by Holm; the verdict is of A, seen from B")
    if len(_bases(found)) == 1:
        print(f"all from {_bases(found)[0]}")
    for side, arms in (("A", found.only_a), ("B", found.only_b)):
        if arms:
            print(f"only in {side}: {'; '.join(arms)}")
    for metric, reason in found.only_metrics.items():
        print(f"not compared: {metric}: {reason}")


def comparison_table(found: "StudyComparison") -> "Table":
    """Lay out the rows: both means, the difference with its interval, and the verdict."""
    from rich.table import Table
    from rich.text import Text

    bases = _bases(found)
    table = Table()
    has_arms = len({row.arm for row in found.rows}) > 1
    table.add_column("metric", overflow="fold")
    if has_arms:
        table.add_column("arm", overflow="fold")
    for head in ("A", "B", "A - B", "95 % interval", "p"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    if len(bases) > 1:
        table.add_column("", overflow="fold")
    last = ""
    for row in found.rows:
        unit = "" if row.metric.unit == "1" else f" [{row.metric.unit}]"
        metric = "" if row.metric.name == last else f"{row.metric.name}{unit}"
        last = row.metric.name
        verdict = Text(str(row.verdict), style=_COLOURS[str(row.verdict)])
        more = [_basis(row)] if len(bases) > 1 else []
        table.add_row(metric, *([Text(row.arm)] if has_arms else []), *_numbers(row), verdict, *more)
    return table


def _numbers(row: "ComparisonRow") -> list[str]:
    decimals = _decimals(row)
    interval = row.interval
    return [
        "missing" if row.a is None else f"{row.a.mean:.{decimals}f}",
        "missing" if row.b is None else f"{row.b.mean:.{decimals}f}",
        "" if row.difference is None else f"{row.difference:+.{decimals}f}",
        "" if interval is None else f"{interval.low:+.{decimals}f} to {interval.high:+.{decimals}f}",
        "" if row.p_holm is None else f"{row.p_holm:.2g}",
    ]


def _decimals(row: "ComparisonRow") -> int:
    """Choose decimals by what is uncertain: two digits of half the interval, three of the means without one."""
    half = (row.interval.high - row.interval.low) / 2.0 if row.interval else 0.0
    if half > 0.0:
        return max(0, min(8, 1 - math.floor(math.log10(half))))
    sizes = [abs(side.mean) for side in (row.a, row.b) if side is not None and side.mean]
    return max(0, min(8, 2 - math.floor(math.log10(min(sizes))))) if sizes else 0


def _bases(found: "StudyComparison") -> list[str]:
    return list(dict.fromkeys(_basis(row) for row in found.rows))


def _basis(row: "ComparisonRow") -> str:
    basis = f"{row.n} pairs of seeds" if row.paired else "seeds that are not paired" if row.n else ""
    return "; ".join(part for part in (basis, row.note) if part)

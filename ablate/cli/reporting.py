"""`report`: the study's report from what the store holds, and the gate for continuous integration."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ablate.cli.ending import complain
from ablate.cli.gate import FailOnOption, MetricOption, check_metrics, unmet
from ablate.cli.output import JsonOption, plain, print_json
from ablate.cli.places import PIPED_WIDTH, StoreOption, StudyName, named, shown
from ablate.errors import ExitCode, Fault, StudyError

if TYPE_CHECKING:
    from ablate.plan.model import Plan
    from ablate.report.build import ReportFiles
    from ablate.store import Store

SUFFIXES = (".md", ".html", ".tex", ".csv", ".json")

OutputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Also write it here, as its ending says: .md, .html, .tex (the table), .csv or .json; repeatable.",
        show_default=False,
    ),
]


def report(
    study: StudyName,
    *,
    output: OutputOption = None,
    fail_on: FailOnOption = None,
    metric: MetricOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Write the report of what is done, and show its table."""
    from ablate.plan.file import load_plan
    from ablate.store import Store

    _check_suffixes(output or [])
    meant = named(study, store)
    plan = load_plan(meant.store, meant.name)
    trials = Store(meant.store)
    written = show_report(plan, trials, to=sys.stderr if as_json else sys.stdout)
    analysis = written.content.analysis
    check_metrics(analysis, metric or [])
    for path in output or []:
        for file in write_as(plan, trials, written, path):
            print(f"written: {shown(file)}", file=sys.stderr if as_json else sys.stdout)
    unmet_sentences = unmet(analysis, fail_on or [], metric or [])
    if as_json:
        print_json(report_content(written) | {"unmet": unmet_sentences})
    for sentence in unmet_sentences:
        complain(sentence)
    return ExitCode.GATE_NOT_MET if unmet_sentences else ExitCode.DONE


def show_report(plan: "Plan", store: "Store", *, to: TextIO = sys.stdout) -> "ReportFiles":
    """Write a study's reports into its store, print the table, and say where they lie."""
    from rich.console import Console

    from ablate.report.build import write_report
    from ablate.report.terminal import summary_table

    written = write_report(plan, store)
    console = Console(file=to)
    # Where nobody looks at it, the table keeps its full width.
    wide = Console(file=to, width=PIPED_WIDTH) if not console.is_terminal else console
    wide.print(summary_table(written.content.analysis, written.content.comparisons))
    print(f"report: {shown(written.html)} and {shown(written.markdown)}", file=to, flush=True)
    return written


def write_as(plan: "Plan", store: "Store", written: "ReportFiles", path: Path) -> tuple[Path, ...]:
    """Write the report once more, in the format that a path's ending says; `.tex` is the table, for a paper.

    Returns:
        The file, and what goes with it: the figures of `.md`, the contrasts of `.csv`.

    Raises:
        StudyError: The file cannot be written.
        StoreError: The file cannot be written.
    """
    if path.suffix == ".md":
        from ablate.report.build import write_markdown

        return write_markdown(plan, store, path)
    sources = {".html": written.html, ".tex": written.latex_table, ".csv": written.results, ".json": written.data}
    copies = {path: sources[path.suffix]}
    if path.suffix == ".csv":
        copies[path.with_stem(f"{path.stem}_contrasts")] = written.contrasts
    for target, source in copies.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        except OSError as error:
            raise StudyError([Fault(message=f"cannot be written: {error.strerror or error}", path=target)]) from error
    return tuple(copies)


def report_content(written: "ReportFiles") -> dict[str, object]:
    """Give a study's answer for programs: what the table shows, and where the reports lie."""
    analysis = written.content.analysis
    results = analysis.results
    return {
        "study": results.study.name,
        "scale": results.scale,
        "reference": results.study.reference,
        "estimates": analysis.estimates,
        "contrasts": [_contrast_entry(contrast) for found in analysis.contrasts.values() for contrast in found],
        "gaps": results.gaps,
        "files": written.files,
    }


def _contrast_entry(contrast: object) -> object:
    """Give a contrast less its seeds, which the JSON report has."""
    entry = plain(contrast)
    entry.pop("differences")
    return entry


def _check_suffixes(paths: list[Path]) -> None:
    faults = [
        Fault(message=f"expected a file that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}", path=path)
        for path in paths
        if path.suffix not in SUFFIXES
    ]
    if faults:
        raise StudyError(faults)

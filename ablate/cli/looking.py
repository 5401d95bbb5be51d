"""`status` and `list`: what the store knows, answered at once and without the heavy libraries."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ablate.cli.places import StoreOption, StudyName, heading, named, project_folder, shown, store_root
from ablate.errors import ExitCode


def status(study: StudyName, store: StoreOption = None) -> ExitCode:
    """Say how far the last plan of a study has come."""
    from ablate.plan.file import load_plan
    from ablate.run.summary import summarise
    from ablate.store import Store

    meant = named(study, store)
    plan = load_plan(meant.store, meant.name)
    trials = Store(meant.store)
    finished = trials.finished(plan.specs)
    summary = summarise(plan, trials, finished)
    print(f"{plan.study.name}: {plan.study.title} ({plan.scale} scale)")
    done = Counter(trial.name for trial in plan.trials if trial.spec.id in finished)
    total = Counter(trial.name for trial in plan.trials)
    print(*columns((name, f"{done[name]}/{total[name]}") for name in total), sep="\n")
    counts = {
        "finished": summary.num_cached,
        "failed": summary.num_failed,
        "never started, because what they need failed": summary.num_unreachable,
        "running or still to run": summary.num_interrupted,
    }
    print("; ".join(f"{number} {state}" for state, number in counts.items() if number))
    for failure in summary.failures:
        print(f"FAILED {failure.label}: {failure.reason}; log: {shown(failure.log)}")
    return ExitCode.DONE


def list_studies(store: StoreOption = None) -> ExitCode:
    """List the studies here and in the store."""
    from ablate.plan.file import planned_studies

    root = store_root(store, Path.cwd())
    planned = planned_studies(root)
    rows: dict[str, tuple[str, str, str]] = {}
    for path in sorted((project_folder(Path.cwd()) / "studies").glob("*.y*ml")):
        found = heading(path)
        if found is not None:
            rows[found.name] = (
                found.name,
                _progress(root, found.name) if found.name in planned else "not run",
                f"{shown(path)}  {found.title}".rstrip(),
            )
    for name in planned:
        rows.setdefault(name, (name, _progress(root, name), f"only in {shown(root)}"))
    if rows:
        print(*columns(rows.values()), sep="\n")
    else:
        print(f"no studies in {shown(project_folder(Path.cwd()) / 'studies')} or {shown(root)}")
    return ExitCode.DONE


def columns(rows: Iterable[Iterable[str]]) -> list[str]:
    """Align the cells of each row under each other; the last one is left as it is."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _progress(root: Path, name: str) -> str:
    from ablate.plan.file import load_plan
    from ablate.store import Store

    specs = load_plan(root, name).specs
    return f"{len(Store(root).finished(specs))}/{len(specs)} done"

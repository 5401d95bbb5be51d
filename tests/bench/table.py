"""The table in `tests/bench/README.md`: written from saved runs, never by hand.

A run renews the comparisons it measured and leaves the others: each row says by a number which run it is of, and the
runs are listed below the table. So the text itself is all that is kept; it is read, renewed and written again.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.bench.machine import described

BEGIN, END = "<!-- table: written by `make bench` -->", "<!-- end of the table -->"
HEADER = (
    "| comparison | peer | wall time, median [quartiles] | processor time | rate | wall time to the first | "
    "processor time to the first | rounds | run |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
)
Sections = dict[str, dict[str, list[tuple[str, str]]]]
"""By file and comparison: the rows, each with the line that describes its run."""


def renewed(text: str, run: Mapping[str, Any]) -> str:
    """Give the text with the run's comparisons in its table.

    Args:
        text: Of the file; its table lies between the two markers.
        run: A saved run, as pytest-benchmark writes it to JSON.

    Raises:
        ValueError: The markers are not there.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"the text has no place for the table: it needs the lines {BEGIN!r} and {END!r}")
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    sections = parsed(old)
    for name, groups in measured(run).items():
        sections.setdefault(name, {}).update(groups)
    return f"{before}{BEGIN}\n{written(sections)}{END}{after}"


def measured(run: Mapping[str, Any]) -> Sections:
    """Give the rows of a saved run; benchmarks that are under no contract have none."""
    sections: Sections = {}
    line = described(dict(run))
    entries = [entry for entry in run["benchmarks"] if "peer" in entry["extra_info"]]
    for entry in sorted(entries, key=lambda entry: int(entry["extra_info"]["place"])):
        section = sections.setdefault(entry["extra_info"]["section"], {})
        section.setdefault(entry["group"], []).append((_row(entry), line))
    return sections


def parsed(table: str) -> Sections:
    """Read back what `written` wrote."""
    runs = dict(re.findall(r"^- run (\d+): (.*)$", table, flags=re.MULTILINE))
    sections: Sections = {}
    for name, body in re.findall(r"^### (.*)\n((?:(?!###).*\n?)*)", table, flags=re.MULTILINE):
        for row, group, number in re.findall(r"^(\| (?!comparison)(.*?) \| .*) \| (\d+) \|$", body, flags=re.MULTILINE):
            sections.setdefault(name, {}).setdefault(group, []).append((row, runs[number]))
    return sections


def written(sections: Sections) -> str:
    """Write the table: files and comparisons in the order of their names, numbers within them by size."""
    numbers: dict[str, int] = {}
    text = ""
    for name in sorted(sections):
        text += f"\n### {name}\n\n{HEADER}"
        for group in sorted(sections[name], key=natural):
            for row, line in sections[name][group]:
                text += f"{row} | {numbers.setdefault(line, len(numbers) + 1)} |\n"
    runs = "".join(f"- run {number}: {line}\n" for line, number in numbers.items())
    return f"{text}\n{runs}" if runs else text


def natural(text: str) -> list[tuple[int, float, str]]:
    """Give a key that sorts `2 views` before `16 views`."""
    return [
        (0, float(part.replace(",", "")), "") if part[0].isdigit() else (1, 0.0, part)
        for part in re.findall(r"\d[\d,]*|\D+", text)
    ]


def _row(entry: Mapping[str, Any]) -> str:
    info = entry["extra_info"]
    wall_s, low_s, high_s = info["wall_s"]
    cells = [
        entry["group"],
        info["peer"],
        f"{seconds(wall_s)} [{seconds(low_s)}, {seconds(high_s)}]",
        seconds(info["cpu_s"][0]),
        rate(info["amount"] / wall_s, info["unit"]),
        *(_ratio(info["ratios"][name], is_first=info["place"] == 0) for name in ("wall", "cpu")),
        str(info["rounds"]),
    ]
    return "| " + " | ".join(cells)


def _ratio(ratio: Iterable[float], *, is_first: bool) -> str:
    middle, low, high = ratio
    if is_first:
        return "1"
    return f"{rounded(middle)} [{rounded(low)}, {rounded(high)}]" if math.isfinite(middle) else "-"


def seconds(value: float) -> str:
    """Write a time with three digits and the unit that suits it."""
    if not math.isfinite(value) or value <= 0.0:
        return "-"
    factor, unit = next((one for one in ((1.0, "s"), (1e3, "ms")) if value * one[0] >= 1.0), (1e6, "us"))
    return f"{rounded(value * factor)} {unit}"


def rate(value: float, unit: str) -> str:
    """Write how much is done in a second."""
    factor, prefix = next((one for one in ((1e6, "M "), (1e3, "k ")) if value >= one[0]), (1.0, ""))
    return f"{rounded(value / factor)} {prefix}{unit}/s"


def rounded(value: float) -> str:
    """Write a number with three significant digits, without an exponent."""
    shown = float(f"{value:.3g}")
    digits = 2 - math.floor(math.log10(abs(shown))) if shown else 0
    return f"{shown:.{max(digits, 0)}f}"

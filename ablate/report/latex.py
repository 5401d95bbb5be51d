"""The tables in LaTeX: booktabs to be read into a paper, and a small document around them that compiles by itself."""

import re
from collections.abc import Iterable, Iterator, Sequence

from ablate.report.content import ReportContent
from ablate.report.sentences import reading_sentences
from ablate.report.tables import ArmCell, ArmRow, Group, MetricTable

TABLE_FILE = "table.tex"
_MAX_COLUMNS = 6
"""Columns of numbers that a page bears; metrics beyond them go to a table of their own."""
_MAX_ROWS = 40
"""Rows of one table, so that it fits a page; more are split."""

_MAX_FLOATS = 12
"""Tables that LaTeX has to find a place for at a time."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "\u00a0": "~",
    "\n": " ",
    "\t": " ",
    "\u2013": r"\textendash{}",
    "\u2014": r"\textemdash{}",
    "\u2212": r"\ensuremath{-}",
    "\u00b1": r"\ensuremath{\pm}",
    "\u00d7": r"\ensuremath{\times}",
    "\u00b2": r"\ensuremath{^2}",
    "\u00b3": r"\ensuremath{^3}",
    "\u00b5": r"\ensuremath{\mu}",
    "\u00b0": r"\ensuremath{^\circ}",
    "\u00b7": r"\ensuremath{\cdot}",
    "\u2264": r"\ensuremath{\le}",
    "\u2265": r"\ensuremath{\ge}",
    "\u2192": r"\ensuremath{\to}",
    "\u221e": r"\ensuremath{\infty}",
    "\u2026": r"\dots{}",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma tau upsilon phi "
    "chi psi omega"
)
_SPECIAL.update({chr(0x3B1 + place): rf"\ensuremath{{\{name}}}" for place, name in enumerate(_GREEK.split())})
_SPECIAL["\u03bf"] = "o"
_LETTERS = {
    *map(chr, range(0x20, 0x7F)),
    *map(chr, range(0xC0, 0x100)),
    *"ąćčďęěğıİłňńőřśšşťűůźżžĄĆČĎĘĚĞŁŇŃŐŘŚŠŞŤŰŮŹŻŽ",
}
"""What the T1 fonts have and LaTeX reads as it is."""

_DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage[margin=2cm]{geometry}
\begin{document}
\section*{%(title)s}
%(lead)s

\input{%(table)s}

\subsection*{How to read the tables}
%(reading)s
\end{document}
"""


def render_table(content: ReportContent) -> str:
    """Give every table as booktabs, to be read into a document that loads `booktabs` and T1 fonts."""
    parts = ["% Written by `ablate report`. Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}."]
    for group in content.groups:
        parts += _main_tables(content, group)
        parts += [text for metric in group.metrics if metric.contrasts for text in _contrast_tables(content, metric)]
    for place in range(_MAX_FLOATS, len(parts), _MAX_FLOATS):
        parts[place] += "\n\\clearpage"
    return "\n\n".join(parts) + "\n"


def render_document(content: ReportContent) -> str:
    """Give a document that reads `table.tex` beside it and compiles with any LaTeX."""
    study = content.study
    facts = content.facts
    lead = f"Study {study.name}: {content.caption} {facts.num_finished} of {facts.num_trials} trials finished."
    return _DOCUMENT % {
        "title": escaped(study.title),
        "lead": escaped(lead),
        "table": TABLE_FILE,
        "reading": escaped(" ".join(reading_sentences(content)).replace("`", "")),
    }


def escaped(text: str) -> str:
    """Write text so that LaTeX prints it as it is; a letter that its T1 fonts lack is named by its number."""
    found = "".join(
        _SPECIAL.get(letter) or (letter if letter in _LETTERS else f"{{[}}U+{ord(letter):04X}{{]}}") for letter in text
    )
    return found.replace("--", "-{}-")


def _main_tables(content: ReportContent, group: Group) -> Iterator[str]:
    """Lay out the arms; metrics that would be too many columns for a page, and rows too many, go to further tables."""
    for places in _pages(group):
        metrics = [group.metrics[place] for place in places]
        heads = ["arm", "$n$"]
        for metric in metrics:
            heads += [_head(metric), *(["paper"] if metric.has_paper else [])]
        rows = [_arm_row(group, row, places) for row in group.rows]
        caption = f"{group.title.capitalize()}: mean and half of its 95 % interval. {content.caption}"
        yield from _tables(heads, rows, caption, align="l" + "r" * (len(heads) - 1))


def _pages(group: Group) -> list[list[int]]:
    pages: list[list[int]] = [[]]
    used = 0
    for place, metric in enumerate(group.metrics):
        width = 2 if metric.has_paper else 1
        if used + width > _MAX_COLUMNS:
            pages.append([])
            used = 0
        pages[-1].append(place)
        used += width
    return pages


def _arm_row(group: Group, row: ArmRow, places: Sequence[int]) -> list[str]:
    is_marked = row.is_reference and len(group.rows) > 1
    cells = [rf"\textbf{{{escaped(row.arm)}}}" if is_marked else escaped(row.arm), row.n]
    for place in places:
        cells += [
            _value(row.cells[place]),
            *([_number(row.cells[place].paper)] if group.metrics[place].has_paper else []),
        ]
    return cells


def _value(cell: ArmCell) -> str:
    return rf"${_math(cell.mean)} \pm {_math(cell.half)}$" if cell.half else _number(cell.mean)


def _contrast_tables(content: ReportContent, metric: MetricTable) -> Iterator[str]:
    heads = [
        "arm",
        *([] if metric.reference else ["against"]),
        "difference",
        r"95\,\% interval",
        "$p$ (Holm)",
        "verdict",
    ]
    heads += ["paper", "agreement"] if metric.has_paper else []
    rows = []
    for row in metric.contrasts:
        verdict = f"{row.verdict} ({row.source.note})" if row.source.note else row.verdict
        cells = [escaped(row.arm), *([] if metric.reference else [escaped(row.reference)])]
        cells += [_number(row.difference), _number(row.interval), _number(row.p_holm), escaped(verdict)]
        cells += [_number(row.paper), escaped(row.agreement)] if metric.has_paper else []
        rows.append(cells)
    unit = f" in {metric.unit}" if metric.unit else ""
    caption = f"{metric.name}: difference to {metric.versus}{unit}, paired by seed, {metric.better} is better. "
    texts = 1 if metric.reference else 2
    align = "l" * texts + "rrrl" + ("rl" if metric.has_paper else "")
    yield from _tables(heads, rows, f"{caption}{content.caption}", align=align)


def _tables(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, align: str) -> Iterator[str]:
    for start in range(0, max(len(rows), 1), _MAX_ROWS):
        part = rows[start : start + _MAX_ROWS]
        more = f" Rows {start + 1} to {start + len(part)} of {len(rows)}." if len(rows) > _MAX_ROWS else ""
        yield "\n".join(
            [
                r"\begin{table}[htbp]",
                r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
                rf"\caption{{{escaped(caption + more)}}}",
                rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
                r"\toprule",
                _line(heads),
                r"\midrule",
                *(_line(row) for row in part),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _head(metric: MetricTable) -> str:
    unit = f" {{[}}{escaped(metric.unit)}{{]}}" if metric.unit else ""
    return escaped(metric.short) + unit


def _number(text: str) -> str:
    """Set a number, an interval or a p value in math, so that a minus is one; other text as it is."""
    number, _, mark = text.partition(" (")
    if not number or not any(letter.isdigit() for letter in number):
        return escaped(text)
    marked = rf" {escaped(f'({mark}')}" if mark else ""
    return f"${_math(number)}${marked}"


def _math(number: str) -> str:
    """Write `1.5e-07` as a power of ten."""
    return re.sub(r"e([+-]\d+)", lambda found: rf" \cdot 10^{{{int(found.group(1))}}}", number)

"""LaTeX: what is written compiles where there is a LaTeX, and is well formed where there is none."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from ablate.report.build import write_report
from ablate.report.latex import escaped
from ablate.study.model import Arm

ENGINE = next((name for name in ("pdflatex", "lualatex", "tectonic") if shutil.which(name)), None)


@pytest.fixture
def tables(plan, store):
    return write_report(plan, store).latex_table.read_text()


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)&", line.removesuffix(r"\\"))


def check_structure(text: str) -> int:
    """Check environments, braces and the number of cells of every row; give the number of tables."""
    body = re.sub(r"(?m)(?<!\\)%.*$", "", text)
    open_ = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if kind == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert open_ == []
    plain = body.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    found = re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}\n(.*?)\\end\{tabular\}", body, flags=re.DOTALL)
    for columns, rows in found:
        lines = [line for line in rows.splitlines() if line.endswith(r"\\")]
        assert len(lines) > 1
        assert {len(cells(line)) for line in lines} == {len(columns)}
        assert [rule for rule in ("top", "mid", "bottom") if rf"\{rule}rule" in rows] == ["top", "mid", "bottom"]
    return len(found)


def test_every_table_has_its_rules_and_as_many_cells_as_columns(tables):
    assert check_structure(tables) == 2 + 3


def test_the_document_reads_the_tables(plan, store):
    files = write_report(plan, store)
    text = files.latex.read_text()
    assert check_structure(text) == 0
    assert r"\input{table.tex}" in text
    assert r"Weighting \textless{}the\textgreater{} views" in text


def test_numbers_are_in_math_and_the_reference_is_bold(tables):
    assert re.search(r"\\textbf\{ours\} & 3 & \$\d+\.\d+ \\pm \d", tables)
    assert re.search(r"without weights & \$\+1\d\.\d+\$ & \$\[\+1\d\.\d+, \+1\d\.\d+\]\$", tables)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"a_b^2 & 5 %", r"a\_b\textasciicircum{}2 \& 5 \%"),
        (r"#1 {x} ~ $ \y", r"\#1 \{x\} \textasciitilde{} \$ \textbackslash{}y"),
        ("[13] a|b <c>", r"{[}13{]} a\textbar{}b \textless{}c\textgreater{}"),
        ('"d" `e`', r"\textquotedbl{}d\textquotedbl{} \textasciigrave{}e\textasciigrave{}"),
        ("\u03c3 = 5 \u00b1 1 mm\u00b2", r"\ensuremath{\sigma} = 5 \ensuremath{\pm} 1 mm\ensuremath{^2}"),
        ("M\u00fcller -- \u6f22", "M\u00fcller -{}- {[}U+6F22{]}"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_is_escaped(text, written):
    assert escaped(text) == written


def test_any_name_leaves_the_tables_well_formed(make_plan, make_study, finish_trial, store):
    arms = make_study().arms
    odd = replace(arms[1], name=r"50 % & {more} \\ \end{tabular} $x_1$")
    plan = make_plan(arms=(arms[0], odd))
    for trial in plan.trials:
        finish_trial(trial)
    assert check_structure(write_report(plan, store).latex_table.read_text()) == 2 + 3


def test_long_tables_are_split_and_floats_are_cleared(make_plan, finish_trial, store):
    plan = make_plan(num_seeds=2, arms=tuple(Arm(name=f"arm {index}", overrides={}) for index in range(90)), paper=None,
                     reference="arm 0", metrics=tuple(make_plan().study.metrics[1:2]))  # fmt: skip
    for trial in plan.trials:
        finish_trial(trial)
    text = write_report(plan, store).latex_table.read_text()
    assert check_structure(text) == 3 + 3
    assert "Rows 81 to 90 of 90." in text


@pytest.mark.skipif(ENGINE is None, reason="there is no LaTeX on this machine: the structure is checked instead")
def test_the_document_compiles(plan, store):
    files = write_report(plan, store)
    options = [] if ENGINE == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run(
        [str(ENGINE), *options, files.latex.name],
        cwd=files.latex.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]

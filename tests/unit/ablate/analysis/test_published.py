"""Published tables: what is read, how ours compares, and what a wrong name is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis.contrasts import analyse
from ablate.analysis.published import check_published, compare, published_table
from ablate.errors import StudyError
from ablate.study.model import Arm, Metric

STUDIES = Path(__file__).parents[4] / "studies"
FILE = """\
tables:
- id: table3
  title: Weights
  dataset: court
  columns: [{name: mv}]
  rows:
  - {name: Ours, values: {mv: 66.9}}
  - {name: Uniform, values: {mv: 80.5}}
  - {name: Quoted, values: {mv: null}, missing: {mv: not_reported}}
  contrasts:
  - {arm: Ours, reference: Uniform, contradicted_by_print: [mv]}
"""


@pytest.fixture
def make_study_with_paper(tmp_path, make_study):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "roy.yaml").write_text(FILE)

    def make(paper="roy/table3", rows=("Ours", "Uniform", None), column="mv"):
        return make_study(
            ["ours", "uniform", "control"],
            (Metric(name="m", unit="mm", better="lower", paper=column),),
            path=tmp_path / "toy.yaml",
            paper=paper,
            arms=tuple(
                Arm(name=name, overrides={}, paper=row)
                for name, row in zip(("ours", "uniform", "control"), rows, strict=True)
            ),
            lines={"paper": 3, "paper_rows.uniform": 9, "metrics": 12},
        )

    return make


@pytest.fixture
def make_comparisons(make_study_with_paper, make_results):
    def make(shift=7.0, **names):
        study = make_study_with_paper(**names)
        ours = {0: 10.0, 1: 12.0, 2: 11.0}
        arms = {
            "ours": {"m": ours},
            "uniform": {"m": {seed: value + shift + 0.1 * seed for seed, value in ours.items()}},
            "control": {"m": ours},
        }
        kept = {name: getattr(study, name) for name in ("path", "paper", "arms", "lines")}
        return compare(analyse(make_results(arms, metrics=study.metrics, **kept)))

    return make


def test_value_difference_sign_and_ratio_stand_beside_ours(make_comparisons):
    found = make_comparisons()["m", "uniform"]
    assert (found.value, found.delta, found.same_sign, found.decided) == (80.5, 13.6, True, True)
    assert found.ratio == pytest.approx(7.1 / 13.6, rel=1e-9)


def test_an_opposite_sign_is_seen(make_comparisons):
    assert make_comparisons(shift=-7.0)["m", "uniform"].same_sign is False


def test_a_difference_that_the_print_contradicts_is_marked_whichever_way_it_is_stated(make_comparisons):
    assert make_comparisons()["m", "uniform"].contradicted


def test_the_reference_has_a_value_and_no_difference(make_comparisons):
    found = make_comparisons()["m", "ours"]
    assert (found.value, found.delta, found.same_sign) == (66.9, None, None)


def test_an_unprinted_value_compares_to_nothing(make_comparisons):
    found = make_comparisons(rows=("Ours", "Quoted", None))["m", "uniform"]
    assert (found.value, found.delta, found.ratio) == (None, None, None)


@pytest.fixture
def agreement(make_study_with_paper, make_results, tmp_path):
    """What is said of `uniform` when our difference is `shift` and the paper claims `sign` and prints `printed`."""

    def make(shift, sign, printed=80.5, margin=None, reverse=False):
        pair = ("Ours", "Uniform") if reverse else ("Uniform", "Ours")
        claim = f"  - {{arm: {pair[0]}, reference: {pair[1]}, sign: {{mv: '{sign}'}}, contradicted_by_print: []}}\n"
        head = FILE.replace("80.5", str(printed)).partition("  contrasts:\n")[0]
        study = make_study_with_paper()
        (tmp_path / "papers" / "roy.yaml").write_text(f"{head}  contrasts:\n{claim}")
        ours = {0: 10.0, 1: 12.0, 2: 11.0}
        arms = {
            "ours": {"m": ours},
            "uniform": {"m": {seed: value + shift + 0.1 * seed for seed, value in ours.items()}},
            "control": {"m": ours},
        }
        metric = Metric(name="m", unit="mm", better="lower", paper="mv", equivalent_within=margin)
        kept = {name: getattr(study, name) for name in ("path", "paper", "arms", "lines")}
        return compare(analyse(make_results(arms, metrics=(metric,), **kept)))["m", "uniform"]

    return make


@pytest.mark.parametrize(
    ("shift", "margin", "said"),
    [(0.1, 1.0, "same"), (7.0, 1.0, "differs"), (-0.1, None, "open"), (-7.0, None, "differs")],
)
def test_a_claim_of_no_difference_is_met_by_equivalence_alone(agreement, shift, margin, said):
    found = agreement(shift, "0", margin=margin)
    assert (found.claim, found.agreement) == ("0", said)


@pytest.mark.parametrize(
    ("shift", "margin", "printed", "said"),
    [
        (7.0, None, 80.5, "same sign"),
        (-7.0, None, 80.5, "opposite sign"),
        (-0.15, None, 80.5, "opposite sign (open)"),
        (0.1, 1.0, 80.5, "differs: ours is equivalent"),
        (0.1, 1.0, 67.5, "same: both within the margin"),
    ],
)
def test_a_claimed_difference_is_compared_by_sign(agreement, shift, margin, printed, said):
    assert agreement(shift, "+", printed=printed, margin=margin).agreement == said


def test_a_claim_stated_the_other_way_round_is_turned(agreement):
    assert agreement(7.0, "-", reverse=True).claim == "+"


def test_an_arm_that_has_another_reference_is_compared_to_that_ones_row(make_study_with_paper, make_results):
    study = make_study_with_paper(rows=("Ours", None, "Uniform"))
    arms = tuple(replace(arm, against="uniform" if arm.name == "control" else None) for arm in study.arms)
    values = {name: {"m": {0: 1.0, 1: 2.0 + place}} for place, name in enumerate(("ours", "uniform", "control"))}
    kept = {name: getattr(study, name) for name in ("path", "paper", "lines")}
    found = compare(analyse(make_results(values, metrics=study.metrics, arms=arms, **kept)))
    assert (found["m", "control"].value, found["m", "control"].delta) == (80.5, None)


def test_a_row_that_the_paper_quotes_is_never_run(make_study_with_paper, tmp_path):
    study = make_study_with_paper()
    path = tmp_path / "papers" / "roy.yaml"
    path.write_text(path.read_text().replace("{name: Uniform, values", "{name: Uniform, own: false, values"))
    (fault,) = check_published(study)
    assert str(fault).endswith(
        "toy.yaml:9: paper_rows.uniform: 'Uniform' is quoted by the paper from others: never run; "
        "expected one of Ours, Quoted"
    )


@pytest.mark.parametrize(
    "file",
    [file for file in sorted(STUDIES.glob("*.yaml")) if "\npaper:" in file.read_text()],
    ids=lambda file: file.stem,
)
def test_no_shipped_study_runs_a_quoted_row(file, make_study):
    from ruamel.yaml import YAML

    raw = YAML(typ="safe").load(file)
    table = published_table(make_study(["a"], (), path=file, paper=raw["paper"]))
    assert not table.quoted & set(raw.get("paper_rows", {}).values())


def test_an_arm_without_row_is_left_out(make_comparisons):
    assert ("m", "control") not in make_comparisons()


def test_a_study_without_paper_compares_to_nothing(make_results):
    assert compare(analyse(make_results({"ours": {"m": {0: 1.0}}}))) == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"rows": ("Ours", "Unifrom", None)},
            "toy.yaml:9: paper_rows.uniform: unknown row of roy/table3: 'Unifrom'; "
            "expected one of Ours, Uniform, Quoted -- did you mean 'Uniform'?",
        ),
        ({"column": "sv"}, "toy.yaml:12: metrics.0.paper: unknown column of roy/table3: 'sv'; expected mv"),
        ({"paper": "roy/table9"}, "toy.yaml:3: paper: unknown table of roy: 'table9'; expected table3"),
        ({"paper": "boy/table3"}, "toy.yaml:3: paper: unknown paper: 'boy'; expected roy -- did you mean 'roy'?"),
        ({"paper": None}, "toy.yaml:9: paper_rows.uniform: points into a published table, but the study names none"),
    ],
)
def test_a_wrong_name_is_a_fault_with_what_is_allowed(make_study_with_paper, names, message):
    faults = [str(fault) for fault in check_published(make_study_with_paper(**names))]
    assert any(message in fault for fault in faults), faults


def test_right_names_are_no_fault(make_study_with_paper):
    assert check_published(make_study_with_paper()) == []


def test_a_file_that_is_no_table_is_a_fault(make_study_with_paper, tmp_path):
    (tmp_path / "papers" / "roy.yaml").write_text("tables: [1, 2\n")
    with pytest.raises(StudyError, match="no file of published numbers"):
        published_table(make_study_with_paper())


@pytest.mark.parametrize("file", sorted((STUDIES / "papers").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_table_agrees_with_itself(file, make_study):
    """Every printed difference follows from the rows, and every contradiction from difference and claim."""
    from ruamel.yaml import YAML

    tables = YAML(typ="safe").load(file)["tables"]
    assert tables
    for table in tables:
        study = make_study(["a"], (), path=STUDIES / "any.yaml", paper=f"{file.stem}/{table['id']}")
        values = published_table(study).values
        for contrast in table["contrasts"]:
            arm, reference = values[contrast["arm"]], values[contrast["reference"]]
            printed = {column: delta for column, delta in contrast["printed_delta"].items() if delta is not None}
            for column, delta in printed.items():
                assert arm[column] - reference[column] == pytest.approx(delta, abs=1e-6)
                claim = {"+": 1.0, "-": -1.0, "0": None}[contrast["sign"][column]]
                if claim is not None:
                    assert (delta * claim <= 0.0) == (column in contrast["contradicted_by_print"])

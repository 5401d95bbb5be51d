"""Which arms a design makes, what each is called, what it sets, and what it is compared to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.study.load import load_study
from ablate.study.model import Adaptive, Factor, Study

HEAD = """\
study: s
title: t
task: core.tasks.x:run
metrics: [{name: a, unit: mm, better: lower, equivalent_within: 2}, {name: b, unit: mm, better: lower}]
"""
TWO = "  factors: {w: {levels: {on: {}, off: {m.w: no}}}, s: {levels: {on: {m.s: 1}, off: {m.s: 0}}}}\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Study]:
    def loads(text: str) -> Study:
        path = tmp_path / "s.yaml"
        path.write_text(HEAD + text)
        return load_study(path)

    return loads


def overrides(study: Study) -> dict[str, dict[str, object]]:
    return {arm.name: dict(arm.overrides) for arm in study.arms}


def test_a_factorial_makes_every_combination(load) -> None:
    study = load("design:\n  kind: factorial\n" + TWO)
    assert overrides(study) == {
        "w=on, s=on": {"m.s": 1},
        "w=on, s=off": {"m.s": 0},
        "w=off, s=on": {"m.w": "no", "m.s": 1},
        "w=off, s=off": {"m.w": "no", "m.s": 0},
    }
    assert study.reference == "w=on, s=on"
    assert study.arms[2].levels == {"w": "off", "s": "on"}
    assert study.arms[2].spots == {
        "m.w": "design.factors.w.levels.off.m.w",
        "m.s": "design.factors.s.levels.on.m.s",
    }
    assert all(spot in study.lines for arm in study.arms for spot in arm.spots.values())
    assert study.design is not None
    assert study.design.factors == (Factor(name="w", levels=("on", "off")), Factor(name="s", levels=("on", "off")))


def test_a_factorial_from_an_arm_keeps_its_name_and_place(load) -> None:
    study = load(
        "arms:\n  plain: {m.w: never}\n  ours: {m.x: 3}\npaper_rows: {}\n"
        "design:\n  kind: factorial\n  from: ours\n" + TWO
    )
    assert list(overrides(study)) == ["plain", "ours", "w=on, s=off", "w=off, s=on", "w=off, s=off"]
    assert study.reference == "ours"
    assert overrides(study)["ours"] == {"m.x": 3, "m.s": 1}
    assert overrides(study)["w=off, s=off"] == {"m.x": 3, "m.w": "no", "m.s": 0}
    assert {arm.name: bool(arm.levels) for arm in study.arms}["plain"] is False
    assert study.design is not None
    assert study.design.bases == ("ours",)


def test_a_fraction_holds_the_reference_and_sets_its_factor_to_the_product(load) -> None:
    study = load(
        "design:\n  kind: factorial\n  generators: {c: [a, b]}\n  factors:\n"
        "    a: {key: m.a, values: [0, 1]}\n    c: {key: m.c, values: [0, 1]}\n    b: {key: m.b, values: [0, 1]}\n"
    )
    assert list(overrides(study)) == ["a=0, c=0, b=0", "a=0, c=1, b=1", "a=1, c=1, b=0", "a=1, c=0, b=1"]
    assert overrides(study)["a=1, c=0, b=1"] == {"m.a": 1, "m.c": 0, "m.b": 1}
    assert study.design is not None
    assert study.design.generators == {"c": ("a", "b")}


def test_leave_one_out_turns_each_factor_off_in_turn(load) -> None:
    study = load("design:\n  kind: leave_one_out\n" + TWO)
    assert overrides(study) == {
        "full": {"m.s": 1},
        "without w": {"m.w": "no", "m.s": 1},
        "without s": {"m.s": 0},
    }
    assert study.reference == "full"


def test_one_at_a_time_goes_through_each_factor_from_the_reference(load) -> None:
    study = load(
        "design:\n  kind: one_at_a_time\n  factors:\n    s: {key: m.s, values: [20, 10, 4e1]}\n"
        "    w: {levels: {on: {}, off: {m.w: no}}}\n"
    )
    assert overrides(study) == {
        "reference": {"m.s": 20},
        "s=10": {"m.s": 10},
        "s=4e1": {"m.s": 40.0},
        "w=off": {"m.s": 20, "m.w": "no"},
    }
    assert study.arms[2].spots == {"m.s": "design.factors.s.values.2"}
    assert study.design is not None
    assert study.design.factors[0] == Factor(name="s", levels=("20", "10", "4e1"), numbers=(20.0, 10.0, 40.0))


def test_values_of_every_kind_are_named_as_the_file_writes_them(load) -> None:
    values = "[1e-3, 1.0, true, ~, 'two words', [8, 8], {x: 1.5}]"
    study = load(f"design: {{kind: sweep, factors: {{k: {{key: m.k, values: {values}}}}}}}\n")
    assert list(overrides(study)) == [
        "k=1e-3",
        "k=1.0",
        "k=true",
        "k=~",
        "k=two words",
        "k=[8, 8]",
        'k={"x": 1.5}',
    ]
    assert study.design is not None
    assert study.design.factors[0].numbers is None


def test_a_sweep_compares_every_point_to_the_first(load) -> None:
    study = load("design: {kind: sweep, factors: {n: {levels: {'2': {m.n: a}, '4': {m.n: b}, '6': {m.n: c}}}}}\n")
    assert [study.reference_of(arm.name) for arm in study.arms] == [None, "n=2", "n=2"]
    assert study.design is not None
    assert study.design.factors[0].numbers == (2.0, 4.0, 6.0)
    named = load("reference: x\narms: {x: {}}\ndesign: {kind: sweep, factors: {n: {key: m.n, values: [1, 2, 3]}}}\n")
    assert {arm.name: named.reference_of(arm.name) for arm in named.arms} == {
        "x": None,
        "n=1": None,
        "n=2": "n=1",
        "n=3": "n=1",
    }


SWEEP = """\
arms: {ours: {m.w: yes}, plain: {m.w: no}, alone: {m.x: 1}}
design: {kind: sweep, from: [ours, plain], factors: {n: {key: m.n, values: [0, 5]}, v: {key: m.v, values: [2, 4]}}}
"""


@pytest.mark.parametrize(
    ("reference", "found", "base"),
    [
        ("", "ours, n=0, v=2", "ours"),
        ("reference: plain\n", "plain, n=0, v=2", "plain"),
        ("reference: 'plain, n=5, v=2'\n", "plain, n=5, v=2", "plain"),
        ("reference: alone\n", "alone", "ours"),
    ],
)
def test_a_sweep_of_several_arms_compares_them_point_by_point(load, reference: str, found: str, base: str) -> None:
    study = load(SWEEP + reference)
    assert study.reference == found
    assert [arm.name for arm in study.arms][:2] == ["alone", "ours, n=0, v=2"]
    assert len(study.arms) == 9
    other = {"ours": "plain", "plain": "ours"}[base]
    for point in ("n=0, v=2", "n=0, v=4", "n=5, v=2", "n=5, v=4"):
        assert study.reference_of(f"{other}, {point}") == f"{base}, {point}"
        assert study.reference_of(f"{base}, {point}") is None
    assert overrides(study)["plain, n=5, v=4"] == {"m.w": "no", "m.n": 5, "m.v": 4}


def test_rules_leave_combinations_out(load) -> None:
    factors = "  factors: {a: {key: m.a, values: [0, 1, 2]}, b: {levels: {on: {}, off: {m.b: no}}}}\n"
    study = load(f"design:\n  kind: factorial\n{factors}  exclude: [{{a: [1.0, '2'], b: off}}]\n")
    assert list(overrides(study)) == ["a=0, b=on", "a=0, b=off", "a=1, b=on", "a=2, b=on"]
    study = load(f"design:\n  kind: factorial\n{factors}  only: [{{a: 0}}, {{b: on}}]\n  exclude: [{{a: 2}}]\n")
    assert list(overrides(study)) == ["a=0, b=on", "a=0, b=off", "a=1, b=on"]


def test_a_rule_can_leave_the_reference_to_the_file(load) -> None:
    rule = "  exclude: [{w: on, s: on}]\nreference: 'w=off, s=off'\n"
    study = load("design:\n  kind: factorial\n" + TWO + rule)
    assert study.reference == "w=off, s=off"
    assert len(study.arms) == 3


def test_made_arms_have_paper_rows_and_curves(load, tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "p.yaml").write_text("")
    study = load(
        "paper: p/t\npaper_rows: {full: All, without w: None}\n"
        "curves: [{title: c, metrics: [a], arms: [without s]}]\ndesign:\n  kind: leave_one_out\n" + TWO
    )
    assert {arm.name: arm.paper for arm in study.arms} == {"full": "All", "without w": "None", "without s": None}


def test_arms_inherit_what_they_do_not_set(load) -> None:
    study = load(
        "reference: ours\narms:\n"
        "  both: {from: without w, m.s: 0}\n  ours: {m.s: 1, data: {n: 9, f: {x: 1, y: 2}}}\n"
        "  without w: {from: ours, m.w: no, data: {f: {y: 3}}, against: both}\n  empty:\n"
        "  chosen: {from: ours, data: dots}\n  valued: {from: chosen, data: {n: 8}}\n"
    )
    found = overrides(study)
    assert list(found) == ["both", "ours", "without w", "empty", "chosen", "valued"]
    assert found["both"] == {"m.w": "no", "m.s": 0, "data.n": 9, "data.f.x": 1, "data.f.y": 2, "data": {"f": {"y": 3}}}
    assert list(found["both"])[-1] == "m.s"
    assert study.arms[0].spots["m.s"] == "arms.both.m.s"
    assert study.arms[0].spots["m.w"] == "arms.without w.m.w"
    assert study.arms[0].spots["data.f.x"] == "arms.ours.data.f.x"
    assert found["chosen"] == {"m.s": 1, "data.n": 9, "data.f.x": 1, "data.f.y": 2, "data": "dots"}
    assert found["valued"] == {"m.s": 1, "data.n": 8, "data.f.x": 1, "data.f.y": 2, "data": "dots"}
    assert study.reference_of("without w") == "both"
    assert study.reference_of("both") == "ours"


def test_replicates_can_be_adaptive(load) -> None:
    study = load("arms: {a: {}}\nreplicates: {min: 3, max: 20, until: decided, step: 2, metric: b}\n")
    assert study.num_replicates == 20
    assert study.adaptive == Adaptive(min=3, max=20, step=2, metric="b")
    assert load("arms: {a: {}}\nreplicates: {min: 3, max: 9}\n").adaptive == Adaptive(min=3, max=9, step=1, metric="a")
    assert load("arms: {a: {}}\nreplicates: 4\n").adaptive is None
    assert study.metrics[0].equivalent_within == 2.0


def test_ten_thousand_arms_are_made_in_order(load) -> None:
    factors = "".join(f"    f{index}: {{key: m.k{index}, values: [{', '.join('0123456789')}]}}\n" for index in range(4))
    study = load(f"design:\n  kind: factorial\n  factors:\n{factors}")
    assert len(study.arms) == 10_000
    assert study.arms[1234].overrides == {"m.k0": 1, "m.k1": 2, "m.k2": 3, "m.k3": 4}

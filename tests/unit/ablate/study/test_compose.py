import pytest

from ablate.errors import StudyError
from ablate.study.compose import Composition, compose_study
from ablate.study.load import load_study
from ablate.study.settings import arm_spot


@pytest.fixture
def compose(toy_project):
    def composes(*overrides: str) -> Composition:
        return compose_study(load_study(toy_project.study, overrides))

    return composes


@pytest.fixture
def faults_of(compose):
    def faults(*overrides: str) -> list[str]:
        with pytest.raises(StudyError) as raised:
            compose(*overrides)
        return str(raised.value).splitlines()

    return faults


def test_arms_start_from_the_base_and_set_their_own(compose) -> None:
    arms = compose().arms
    assert arms["ours"] == {"method": {"sigma_mm": 5, "kind": "plain"}, "data": {"num_samples": 4}}
    assert arms["rough"]["method"] == {"sigma_mm": 20, "kind": "plain"}


def test_arms_win_over_the_command_line_which_wins_over_the_base(compose, toy_project) -> None:
    toy_project.edit("data=dots]", "data=dots, method.sigma_mm=1, method.num_steps=1]")
    arms = compose("method.sigma_mm=2").arms
    assert arms["ours"]["method"] == {"sigma_mm": 2, "kind": "plain", "num_steps": 1}
    assert arms["rough"]["method"]["sigma_mm"] == 20


def test_an_arm_can_choose_a_group_and_gets_its_numbers(compose, toy_project) -> None:
    toy_project.edit("{method.sigma_mm: 20}", "{method: sharp, data: {num_samples: 9}}")
    arms = compose("scale=standard").arms
    assert arms["rough"] == {"method": {"sigma_mm": 1.5}, "data": {"num_samples": 9}}
    assert arms["ours"]["method"] == {"sigma_mm": 5, "kind": "plain", "num_steps": 40}


def test_a_scale_changes_replicates_and_the_numbers_of_the_method(compose, toy_project) -> None:
    toy_project.edit("replicates: 2\n", "")
    quick, standard = compose(), compose("scale=standard")
    assert (quick.scale, quick.num_replicates, quick.first_seed) == ("quick", 3, 0)
    assert (standard.scale, standard.num_replicates) == ("standard", 8)
    assert "num_steps" not in quick.arms["ours"]["method"]
    assert standard.arms["ours"]["method"]["num_steps"] == 40
    assert compose("scale=standard", "method.num_steps=7").arms["ours"]["method"]["num_steps"] == 7
    assert compose("scale=paper").arms["ours"] == quick.arms["ours"]


def test_the_scale_can_be_chosen_in_the_base(compose, toy_project) -> None:
    toy_project.edit("data=dots]", "data=dots, scale=standard]")
    assert compose().arms["ours"]["method"]["num_steps"] == 40


def test_method_and_data_need_not_be_chosen(compose, toy_project) -> None:
    toy_project.edit("base: [method=smooth, data=dots]\n", "")
    assert compose().arms == {
        "ours": {},
        "rough": {"method": {"sigma_mm": 20}},
        "by weight": {"method": {"kind": "weighted"}},
    }


def test_the_study_sets_the_replicates_and_the_command_line_wins(compose) -> None:
    assert compose().num_replicates == 2
    composition = compose("replicates=7", "first_seed=3")
    assert (composition.num_replicates, composition.first_seed) == (7, 3)
    assert set(composition.arms["ours"]) == {"method", "data"}


def test_interpolations_are_resolved(compose, toy_project) -> None:
    toy_project.edit("kind: plain", "num_steps: ${data.num_samples}", name="conf/method/smooth.yaml")
    assert compose("data.num_samples=11").arms["ours"]["method"]["num_steps"] == 11


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        (
            "method=smoth",
            "command line: method: conf/method has no option 'smoth'; expected one of sharp, smooth -- did ",
        ),
        ("method=3", "command line: method: conf/method has no option 3; expected one of sharp, smooth"),
        ("method=null", "command line: method: conf/method has no option null; expected one of sharp, smooth"),
        ("scale=huge", "command line: scale: conf/scale has no option 'huge'; expected one of paper, quick, standard"),
        (
            "model/net=x",
            "command line: model/net: there is no group 'model/net' in conf; expected one of data, method, ",
        ),
        ("method", "command line: expected key=value, as in `method.sigma_mm=20`, got 'method'"),
        ("~method", "command line: expected key=value, got the deletion '~method': "),
        ("data.num_samples=1,2", "command line: expected one value, got several in 'data.num_samples=1,2'"),
        ("replicates=0", "command line: replicates: expected an integer >= 1, got 0"),
        ("replicates=many", "command line: replicates: expected an integer >= 1, got 'many'"),
        ("first_seed=-1", "command line: first_seed: expected an integer >= 0, got -1"),
        ("method.sigma_mm=nan", "command line: method.sigma_mm: expected a finite number, got nan"),
        ("method.sigma_mm=${nope}", "command line: method.sigma_mm: Interpolation key 'nope' not found"),
        ("method@x=smooth", "command line: method@x: expected a dotted key such as "),
    ],
)
def test_a_wrong_override_is_refused(faults_of, override: str, fault: str) -> None:
    assert faults_of(override)[0].startswith(fault)


def test_a_wrong_base_entry_is_told_with_its_line(faults_of, toy_project) -> None:
    toy_project.edit("[method=smooth, data=dots]", "\n  - method=smooth\n  - data=dot")
    assert faults_of() == [
        "studies/toy.yaml:6:5: data: conf/data has no option 'dot'; expected dots -- did you mean 'dots'?"
    ]


def test_an_arm_must_not_set_what_all_arms_share(faults_of, toy_project) -> None:
    toy_project.edit("method.sigma_mm: 20", "replicates: 20")
    (fault,) = faults_of()
    assert fault.startswith("studies/toy.yaml:12:11: arms.rough.replicates: all arms share 'replicates'")


def test_a_broken_file_in_conf_is_named(faults_of, toy_project) -> None:
    toy_project.write("conf/method/smooth.yaml", "sigma_mm: 1\nkind: [")
    assert faults_of()[0].startswith("conf/method/smooth.yaml:2:8: is not YAML: ")


def test_a_number_that_is_nan_in_conf_is_told_with_its_line(faults_of, toy_project) -> None:
    toy_project.write("conf/method/smooth.yaml", "kind: plain\nsigma_mm: .nan\n")
    assert "conf/method/smooth.yaml:2:1: method.sigma_mm: expected a finite number, got nan" in faults_of()


def test_a_study_without_conf_is_refused(toy_project) -> None:
    (toy_project.root / "conf" / "config.yaml").unlink()
    with pytest.raises(StudyError, match=r"there is no conf/config.yaml in studies or in a folder above it"):
        compose_study(load_study(toy_project.study))


def test_conf_without_scales_leaves_the_replicates_to_the_study(compose, faults_of, toy_project) -> None:
    toy_project.write("conf/config.yaml", "defaults: [_self_, method: null, data: null]\n")
    composition = compose()
    assert (composition.scale, composition.num_replicates, composition.first_seed) == ("unscaled", 2, 0)
    toy_project.edit("replicates: 2\n", "")
    assert faults_of()[0].startswith("studies/toy.yaml: replicates: missing: ")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("method.sigma_mm", "studies/toy.yaml:12:11: arms.rough.method.sigma_mm: "),
        ("method.kind", "conf/method/smooth.yaml:2:1: method.kind: "),
        ("data.num_samples", "command line: data.num_samples: "),
        ("method.sizes.0", "studies/toy.yaml:4:34: method.sizes: "),
        ("method.num_steps", "conf/scale/method/smooth/standard.yaml:1:1: method.num_steps: "),
        ("data.folder", "studies/toy.yaml:4:1: data.folder: "),
    ],
)
def test_a_key_is_traced_to_where_it_was_set(compose, toy_project, key: str, place: str) -> None:
    toy_project.edit("data=dots]", "data=dots, 'method.sizes=[1,2]']")
    composition = compose("data.num_samples=1", "scale=standard")
    assert str(composition.spot("rough", key).fault("")).startswith(place.replace("sizes: ", "sizes"))


def test_hydra_in_use_elsewhere_is_left_as_it_was(compose, toy_project) -> None:
    from hydra import compose as outer_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(version_base=None, config_dir=str(toy_project.root / "conf")):
        assert compose().scale == "quick"
        assert outer_compose("config", overrides=["scale=paper"]).scale == "paper"


ODD_ARMS = """\
arms:
  ours: {}
  values: {method.sigma_mm: 20, method.kind: weighted, extra.deep.key: 3, method.more: [1, 2]}
  mappings: {method: {sigma_mm: 2, more: {x: 1}}, data.more: {y: [1]}, data.none: ~}
  a mapping over nothing: {data.none: {z: 1}, method.sizes: [3]}
  into a list: {method.sizes.1: 9}
  a list over a list: {method.sizes: [4, 5, 6]}
  a value over a mapping: {method.nested: 3}
  a mapping over a value: {method.sigma_mm: {x: 1}}
  through a value: {method.sigma_mm.deeper: 1}
  another choice: {method: sharp, method.kind: plain}
  computed: {method.sigma_mm: "${data.num_samples}"}
  escaped: {method.kind: "\\\\${data}"}
"""


def test_plain_values_are_set_as_omegaconf_sets_them(compose, toy_project, monkeypatch) -> None:
    toy_project.write("conf/method/smooth.yaml", "sigma_mm: 5\nkind: plain\nsizes: [1, 2]\nnested: {a: 1, b: {c: 2}}\n")
    text = toy_project.study.read_text()
    arms = text[text.index("arms:") : text.index("reference:")]
    toy_project.edit(arms, ODD_ARMS)
    found = compose().arms
    calls: list[object] = []
    monkeypatch.setattr("ablate.study.compose.with_values", lambda *given: calls.append(given))
    assert compose().arms == found
    assert len(calls) == len(found) == 12
    assert found["computed"]["method"]["sigma_mm"] == 4
    assert found["values"]["extra"] == {"deep": {"key": 3}}
    assert found["ours"]["method"]["nested"] == {"a": 1, "b": {"c": 2}}


def test_a_value_that_conf_leaves_to_the_arms_must_be_set_by_each(compose, faults_of, toy_project) -> None:
    toy_project.edit("base: [method=smooth, data=dots]", "base: [data=dots]")
    toy_project.write("conf/method/smooth.yaml", "sigma_mm: ???\nkind: plain\n")
    arms = "ours: {method: smooth, method.sigma_mm: 1}\n  rough: {method: smooth, method.sigma_mm: 20}"
    toy_project.edit("ours: {}\n  rough: {method.sigma_mm: 20}", arms)
    assert [arm.get("method", {}).get("sigma_mm") for arm in compose().arms.values()] == [1, 20, None]
    toy_project.edit("ours: {method: smooth, method.sigma_mm: 1}", "ours: {method: smooth}")
    assert faults_of()[0].startswith("conf/method/smooth.yaml:1:1: method.sigma_mm: Missing mandatory value")


DESIGN = """\
design:
  kind: factorial
  from: ours
  factors:
    sigma: {key: method.sigma_mm, values: [5, 10]}
    method: {levels: {smooth: {}, sharp: {method: sharp, data: {num_samples: 9}}}}
"""


@pytest.mark.parametrize(
    ("arm", "key", "place"),
    [
        ("sigma=10, method=smooth", "method.sigma_mm", "studies/toy.yaml:18:47: design.factors.sigma.values.1: "),
        (
            "sigma=10, method=sharp",
            "data.num_samples",
            "studies/toy.yaml:19:65: design.factors.method.levels.sharp.data.num_samples: ",
        ),
        ("sigma=10, method=sharp", "method", "studies/toy.yaml:19:43: design.factors.method.levels.sharp.method: "),
        ("sigma=10, method=smooth", "method.kind", "conf/method/smooth.yaml:2:1: method.kind: "),
    ],
)
def test_a_key_of_a_made_arm_is_traced_to_its_level(compose, toy_project, arm: str, key: str, place: str) -> None:
    toy_project.edit("reference: ours\n", DESIGN)
    assert str(compose().spot(arm, key).fault("")) == place


def test_an_arm_stands_where_it_is_named_and_a_made_one_at_its_design(toy_project) -> None:
    toy_project.edit("reference: ours\n", DESIGN)
    study = load_study(toy_project.study)
    assert str(arm_spot(study, "rough").fault("no")) == "studies/toy.yaml:12:3: arms.rough: no"
    made = "studies/toy.yaml:14:1: design: sigma=10, method=sharp: no"
    assert str(arm_spot(study, "sigma=10, method=sharp").fault("no")) == made


def test_a_wrong_level_is_told_once_for_all_its_arms(faults_of, toy_project) -> None:
    toy_project.edit("reference: ours\n", DESIGN.replace("method: sharp", "method: shrap, replicates: 3"))
    assert [fault.split("; ")[0] for fault in faults_of()] == [
        "studies/toy.yaml:19:43: design.factors.method.levels.sharp.method: conf/method has no option 'shrap'",
        "studies/toy.yaml:19:58: design.factors.method.levels.sharp.replicates: all arms share 'replicates': "
        "set it in `base` or on the command line",
    ]

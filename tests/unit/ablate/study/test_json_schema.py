"""The JSON Schema takes what `check` takes, as far as the file's shape goes."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ablate.study.json_schema import study_schema
from ablate.study.schema import StudyFile
from ablate.study.yaml_file import read_yaml

STUDIES = sorted((Path(__file__).parents[4] / "studies").glob("*.yaml"))
RIGHT = {
    "study": "s",
    "title": "t",
    "task": "core.x:run",
    "arms": {"ours": None, "b": {"from": "ours", "against": "ours", "method.x": 1}},
    "metrics": [{"name": "a", "unit": "1", "better": "higher"}],
}
DESIGN = {"kind": "factorial", "factors": {"w": {"levels": {"on": None, "off": {"m.w": 0}}}}}
WRONG = {
    "no arms": {"arms": None},
    "unknown key": {"arm": {}},
    "an arm that is a number": {"arms": {"ours": 3}},
    "blanks around a name": {"arms": {" ours": {}}},
    "a circle of the wrong type": {"arms": {"ours": {"from": ["ours"]}}},
    "a kind of design there is not": {"design": DESIGN | {"kind": "fractional"}},
    "a factor with a comma": {"design": {"kind": "sweep", "factors": {"a, b": {"key": "m.a", "values": [1]}}}},
    "an unknown key of a factor": {"design": {"kind": "sweep", "factors": {"a": {"value": [1]}}}},
    "seeds that are text": {"replicates": "three"},
    "a rule without a maximum": {"replicates": {"min": 3}},
    "an equivalence of nothing": {"metrics": [{"name": "a", "unit": "1", "better": "higher", "equivalent_within": 0}]},
    "no metrics": {"metrics": []},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(study_schema())
    return Draft202012Validator(study_schema())


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_projects_studies_fit(validator: Draft202012Validator, path: Path) -> None:
    assert [error.message for error in validator.iter_errors(read_yaml(path).data)] == []


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"design": DESIGN | {"from": "ours", "exclude": [{"w": ["off", 3]}]}, "replicates": 3},
        {"replicates": {"min": 2, "max": 5}},
    ],
)
def test_right_files_fit(validator: Draft202012Validator, change: dict[str, object]) -> None:
    StudyFile.model_validate(RIGHT | change)
    validator.validate(RIGHT | change)


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_wrong_files_do_not_fit(validator: Draft202012Validator, change: dict[str, object]) -> None:
    content = {key: value for key, value in (RIGHT | change).items() if value is not None}
    assert not validator.is_valid(content)


def test_every_key_is_described() -> None:
    schema = study_schema()
    entries = [schema, *schema["$defs"].values()]
    missing = [
        (entry["title"], key) for entry in entries for key, of in entry["properties"].items() if "description" not in of
    ]
    assert missing == []


def test_the_schema_is_as_reviewed(golden) -> None:
    golden("study_schema.json", json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n")

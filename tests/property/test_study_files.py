"""Whatever a study file holds, it is read, or refused with faults; how it is written does not change what it means."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from ablate.errors import StudyError
from ablate.plan.expand import expand
from ablate.study.load import load_study
from ablate.study.model import Study

STUDY = TypeAdapter(Study)
once = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

VALID = """\
study: toy
title: A toy
plugins: [toy]
base: [method=smooth, data=dots]
stages:
  pretrained: {task: "toy.tasks:pretrain"}
  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}
task: toy.tasks:run
needs: [adapted]
arms:
  ours: {}
  rough: {from: ours, method.sigma_mm: 20, against: ours}
design:
  kind: factorial
  from: ours
  factors:
    sigma: {key: method.sigma_mm, values: [5, 10, 4e1]}
    kind: {levels: {plain: {}, weighted: {method.kind: weighted}}}
  exclude: [{sigma: 10, kind: weighted}]
reference: ours
replicates: {min: 2, max: 4, until: decided, metric: error}
metrics:
  - {name: error, unit: mm, better: lower, equivalent_within: 0.5}
resources: {num_cpus: 1}
curves: [{title: Error, metrics: [error], arms: [ours]}]
"""
FRACTION = """\
study: toy
title: A fraction
plugins: [toy]
task: toy.tasks:quick
design:
  kind: factorial
  factors:
    a: {levels: {on: {}, off: {method.kind: weighted}}}
    b: {key: method.sigma_mm, values: [5, 10]}
    c: {key: method.num_steps, values: [4, 8]}
  generators: {c: [a, b]}
metrics: [{name: error, unit: mm, better: lower}]
replicates: 2
"""

SYNTAX = ["[", "]", "{", "}", ":", " ", "\n", "  ", "- ", "? ", "|", "%", "#", '"', "\t", "\x00", "\u2028", ", "]
VALUES = ["&a ", "*a", "!!int ", "~", ".nan", "1e999", "2020-01-01", "<<: ", "from: ours", "from: rough", "exclude: "]
snippets = st.sampled_from(SYNTAX + VALUES) | st.text(max_size=4)
edits = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 12), snippets), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies") / "s.yaml"


def read_or_refused(path: Path) -> Study | None:
    """Read a file; anything but faults with their place fails the test."""
    try:
        return load_study(path)
    except StudyError as error:
        assert error.faults
        assert all(fault.path is not None and fault.message for fault in error.faults)
        return None


@given(st.sampled_from([VALID, FRACTION]), edits)
@settings(once, max_examples=1000)
def test_a_file_with_changed_text_is_read_or_refused_with_faults(path: Path, text: str, changes) -> None:
    for place, num_dropped, inserted in changes:
        at = place % len(text)
        text = text[:at] + inserted + text[at + num_dropped :]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    study = read_or_refused(path)
    assert study is None or study.arms


WORDS = ["ours", "rough", "error", "toy", "method", "method.sigma_mm", "method.kind", "data", "sigma", "kind", "a", "b"]
WORDS += [
    "from",
    "against",
    "levels",
    "values",
    "key",
    "factors",
    "design",
    "scale",
    "sigma=10, kind=plain",
    "",
    " ",
    ".",
]
leaves = st.sampled_from(
    [None, True, 0, -1, 1, 2, 0.5, 1e300, 10**400, "sweep", "leave_one_out", "one_at_a_time", "${x}", "???", "dots"]
) | st.sampled_from(WORDS)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=4,
)
kinds = st.sampled_from(["drop", "set", "rename", "add", "wrap", "copy"])
mutations = st.lists(st.tuples(kinds, st.integers(0, 10**6), values, st.sampled_from(WORDS)), min_size=1, max_size=3)


def containers(value: Any) -> Iterator[tuple[Any, Any]]:
    """List every place in a tree as its container and its key or index."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from containers(value[key])


def mutate(data: Any, mutation: tuple[str, int, Any, str]) -> None:
    """Change one place of a tree."""
    kind, number, value, word = mutation
    places = list(containers(data))
    if not places:
        return
    container, key = places[number % len(places)]
    if kind == "drop":
        del container[key]
    elif kind == "wrap":
        container[key] = [container[key]]
    elif kind == "copy":
        other, other_key = places[number // 7 % len(places)]
        container[key] = deepcopy(other[other_key])
    elif kind == "set" or isinstance(container, list):
        container[key] = value
    elif kind == "rename":
        container[word] = container.pop(key)
    else:
        container[word] = value


def mutated(text: str, changes: list[tuple[str, int, Any, str]]) -> str:
    data = YAML(typ="safe").load(text)
    for change in changes:
        mutate(data, change)
    return json.dumps(data)


@given(st.sampled_from([VALID, FRACTION]), mutations)
@settings(once, max_examples=1000)
def test_a_file_with_changed_entries_is_read_or_refused_with_faults(path: Path, text: str, changes) -> None:
    path.write_text(mutated(text, changes))
    read_or_refused(path)


@given(st.sampled_from([VALID, FRACTION]), mutations)
@settings(once, max_examples=200)
def test_a_changed_file_is_checked_to_the_end_or_refused_with_faults(toy_project, text: str, changes) -> None:
    toy_project.study.write_text(mutated(text, changes))
    try:
        found = expand(load_study(toy_project.study))
    except StudyError as error:
        assert error.faults
    else:
        assert found.trials


numbers = st.sampled_from([0, 1, 2, 5, 10, 0.5, 2.5, 1e-3, 1e20])
overrides = st.fixed_dictionaries(
    {},
    optional={
        "method.sigma_mm": numbers,
        "method.kind": st.sampled_from(["plain", "weighted"]),
        "data": st.just("dots") | st.fixed_dictionaries({"num_samples": st.integers(1, 9)}),
        "method.sizes": st.lists(st.integers(1, 9), min_size=1, max_size=3),
        "method": st.sampled_from(["smooth", "sharp"]),
    },
)
ARM_NAMES = ["ours", "rough", "two words", "a.b", "x: y", "ünï", "null", "3"]


@st.composite
def arm_entries(draw: Any) -> dict[str, Any]:
    """Draw arms that inherit from earlier ones, in any order."""
    names = draw(st.lists(st.sampled_from(ARM_NAMES), min_size=1, max_size=4, unique=True))
    arms: dict[str, Any] = {}
    for index, name in enumerate(names):
        arm = draw(overrides)
        if index and draw(st.booleans()):
            arm["from"] = draw(st.sampled_from(names[:index]))
        if draw(st.booleans()):
            arm["against"] = draw(st.sampled_from(names))
        arms[name] = arm or None
    order = draw(st.permutations(names))
    return {name: arms[name] for name in order}


@st.composite
def design_entries(draw: Any) -> dict[str, Any]:
    """Draw a design of up to three factors over keys that no arm of these tests sets."""
    kind = draw(st.sampled_from(["factorial", "leave_one_out", "one_at_a_time", "sweep"]))
    num_levels = 2 if kind == "leave_one_out" else draw(st.integers(2, 3))
    factors: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["f", "g h", "i.j"]), min_size=1, max_size=2, unique=True)):
        if draw(st.booleans()):
            levels = draw(
                st.lists(numbers | st.sampled_from(["x", "y"]), min_size=num_levels, max_size=num_levels, unique=True)
            )
            factors[name] = {"key": f"extra.{name[0]}", "values": levels}
        else:
            factors[name] = {"levels": {f"l{index}": {f"extra.{name[0]}": index} for index in range(num_levels)}}
    design: dict[str, Any] = {"kind": kind, "factors": factors}
    if kind == "factorial" and num_levels == 2 and len(factors) == 2 and draw(st.booleans()):
        factors["k"] = {"key": "extra.k", "values": [True, False]}
        design["generators"] = {"k": list(factors)[:2]}
    return design


@st.composite
def study_entries(draw: Any) -> dict[str, Any]:
    """Draw the entries of a right study file."""
    arms = draw(arm_entries())
    entries: dict[str, Any] = {"study": "toy", "title": "t: #1", "task": "core.x:run", "arms": arms}
    entries["reference"] = draw(st.sampled_from(list(arms)))
    if draw(st.booleans()):
        entries["design"] = draw(design_entries())
        if draw(st.booleans()):
            del entries["reference"]
            entries["design"]["from"] = draw(st.sampled_from(list(arms)))
            for arm in (arm for arm in arms.values() if arm):
                arm.pop("against", None)
    entries["replicates"] = draw(st.none() | st.integers(1, 9) | st.just({"min": 2, "max": 7, "step": 2}))
    entries["metrics"] = [{"name": "error", "unit": "mm", "better": "lower"}]
    entries["metrics"][0] |= draw(st.fixed_dictionaries({}, optional={"equivalent_within": st.floats(1e-3, 10)}))
    entries["resources"] = {"num_cpus": draw(st.sampled_from([1, 0.5]))}
    entries["notes"] = draw(st.text("ab \n#:'\"", max_size=9))
    return entries


def as_yaml(entries: dict[str, Any]) -> str:
    """Write blocks of YAML with their keys in order."""
    stream = StringIO()
    yaml = YAML(typ="rt")
    yaml.allow_unicode = True
    yaml.dump(entries, stream)
    return "# a comment\n" + stream.getvalue()


def meaning(study: Study) -> Study:
    """Leave out where things stand in the text."""
    return replace(study, source="", lines={}, columns={})


@given(study_entries(), st.randoms(use_true_random=False))
@settings(once, max_examples=200)
def test_a_right_file_is_the_same_study_however_it_is_written(path: Path, entries, shuffle: random.Random) -> None:
    path.write_text(json.dumps(entries))
    study = load_study(path)
    keys = list(entries)
    shuffle.shuffle(keys)
    path.write_text("".join(as_yaml({key: entries[key]}) for key in keys))
    assert meaning(load_study(path)) == meaning(study)
    assert STUDY.validate_json(json.dumps(STUDY.dump_python(study, mode="json"))) == study


SPELLINGS = {5: ["5", "5.0", "5e0", "0.5e1"], 20: ["20", "20.0", "2e1", "+20"], 40: ["40", "40.0", "4e1", "400e-1"]}
SIGMA = "{key: method.sigma_mm, values: [5, 10, 4e1]}"
BLOCKS = VALID.replace(SIGMA, "SIGMA").replace("_mm: 20", "_mm: TWENTY").replace("\n  ", "\0  ").splitlines()


@st.composite
def spellings(draw: Any) -> str:
    """Write the valid study in another way: order of keys, comments, numbers."""
    numbers = {number: draw(st.sampled_from(texts)) for number, texts in SPELLINGS.items()}
    parts = draw(st.permutations(["key: method.sigma_mm", f"values: [{numbers[5]}, 10, {numbers[40]}]"]))
    ends = st.sampled_from(["", "  # why", "\n# and\n"])
    text = "".join(f"{block}{draw(ends)}\n" for block in draw(st.permutations(BLOCKS)))
    text = text.replace("SIGMA", f"{{{', '.join(parts)}}}").replace("TWENTY", numbers[20])
    return text.replace("\0", "\n")


@given(spellings(), st.booleans())
@settings(once, max_examples=60)
def test_ids_do_not_depend_on_how_the_file_is_written_nor_from_where(toy_project, text: str, is_elsewhere) -> None:
    expected = toy_project.root / "expected"
    if not expected.exists():
        toy_project.study.write_text(VALID)
        expected.write_text("\n".join(sorted(expand(load_study(toy_project.study)).specs)))
    toy_project.study.write_text(text)
    os.chdir(toy_project.root.parent if is_elsewhere else toy_project.root)
    try:
        found = expand(load_study(toy_project.study)).specs
    finally:
        os.chdir(toy_project.root)
    assert "\n".join(sorted(found)) == expected.read_text()


PROGRAM = """
import json, sys
from pathlib import Path
from ablate.plan.expand import expand
from ablate.study.load import load_study
print(json.dumps(list(expand(load_study(Path(sys.argv[1]))).specs)))
"""


def test_ids_and_their_order_do_not_depend_on_the_hash_seed_nor_the_process(toy_project) -> None:
    toy_project.study.write_text(VALID)
    expected = list(expand(load_study(toy_project.study)).specs)
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(toy_project.study)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=toy_project.root.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == expected

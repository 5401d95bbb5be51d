"""Whatever a study file holds, it is read, or refused with faults: never anything else."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.errors import StudyError
from ablate.study.load import load_study

VALID = """\
study: toy
title: A toy
plugins: [toy]
base: [method=smooth, data=dots]
stages:
  pretrained: {task: "toy.tasks:pretrain"}
task: toy.tasks:run
needs: [pretrained]
arms:
  ours: {}
  rough: {method.sigma_mm: 20}
reference: ours
replicates: 2
metrics:
  - {name: error, unit: mm, better: lower}
resources: {num_cpus: 1}
curves: [{title: Error, metrics: [error]}]
"""

SYNTAX = ["[", "]", "{", "}", ":", " ", "\n", "  ", "- ", "? ", "|", "%", "#", '"', "\t", "\x00", "\u2028"]
VALUES = ["&a ", "*a", "!!int ", "~", ".nan", "1e999", "2020-01-01", "<<: "]
snippets = st.sampled_from(SYNTAX + VALUES)
edits = st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), snippets | st.text(max_size=4)), max_size=4)


def edited(text: str, changes: list[tuple[int, int, str]]) -> str:
    for place, num_dropped, inserted in changes:
        text = text[:place] + inserted + text[place + num_dropped :]
    return text


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies") / "s.yaml"


@given(edits)
@settings(max_examples=300, deadline=None)
def test_a_mutated_file_is_read_or_refused_with_faults(path: Path, changes) -> None:
    path.write_bytes(edited(VALID, changes).encode("utf-8", "surrogatepass"))
    try:
        study = load_study(path)
    except StudyError as error:
        assert error.faults
        assert all(fault.path is not None and fault.message for fault in error.faults)
    else:
        assert study.arms


BLOCKS = VALID.replace("\n  ", "\0  ").splitlines()


@given(st.permutations(BLOCKS))
@settings(max_examples=30, deadline=None)
def test_the_order_of_keys_does_not_matter(path: Path, blocks: list[str]) -> None:
    path.write_text(VALID)
    expected = load_study(path)
    path.write_text("\n".join(blocks).replace("\0", "\n"))
    found = load_study(path)
    assert replace(found, source="", lines={}) == replace(expected, source="", lines={})

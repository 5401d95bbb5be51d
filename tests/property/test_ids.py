"""Ids depend on content alone: not on the order of keys, nor on how a number is spelt."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ablate.ids import canonical_json, content_id
from ablate.trial import Resources, TrialSpec

floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | floats | st.text("abc.\u00e4")


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner)


values = st.recursive(scalars, nested, max_leaves=8)
mappings = st.dictionaries(st.text("abc", min_size=1), values, max_size=4)
specs = st.builds(
    TrialSpec,
    task=st.just("toy.tasks:run"),
    parameters=mappings,
    seed=st.none() | st.integers(0, 99),
    needs=st.dictionaries(st.sampled_from(["first", "second"]), st.text("0123456789abcdef", min_size=20, max_size=20)),
)


def reordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


@given(values)
def test_ids_do_not_depend_on_the_order_of_keys(value) -> None:
    assert content_id(reordered(value)) == content_id(value)


@given(values)
def test_canonical_json_reads_back_as_the_same_content(value) -> None:
    assert repr(reordered(json.loads(canonical_json(value)))) == repr(reordered(_sorted(value)))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


@given(values, values)
def test_different_content_has_different_ids(one, other) -> None:
    assert (content_id(one) == content_id(other)) == (canonical_json(one) == canonical_json(other))


@given(specs)
def test_a_trials_id_leaves_its_resources_out(spec) -> None:
    assert replace(spec, resources=Resources(num_cpus=7.0, retries=3)).id == spec.id


@given(specs, st.integers(100, 200))
def test_a_trials_id_covers_its_seed(spec, seed) -> None:
    assert replace(spec, seed=seed).id != spec.id

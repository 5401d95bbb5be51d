import subprocess
import sys

import pytest

from ablate.ids import canonical_json, content_id


def test_content_is_written_in_one_form() -> None:
    assert canonical_json({"b": [1, 2.0, None], "a": {"d": True, "c": "\u00e4"}}) == (
        '{"a":{"c":"\u00e4","d":true},"b":[1,2.0,null]}'
    )


def test_an_id_is_20_hex_digits_and_stays_what_it_was() -> None:
    assert content_id({"task": "toy.tasks:run", "seed": 0}) == "d8f8023b7e7b08c500be"


def test_an_integer_and_a_float_are_different_content() -> None:
    assert content_id({"x": 1}) != content_id({"x": 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), {"a": {1: 2}.keys()}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"content must be made of|JSON compliant"):
        content_id({"x": value})


def test_ids_do_not_depend_on_the_hash_seed() -> None:
    program = "from ablate.ids import content_id; print(content_id({k: k for k in 'abcdef'}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(found) == 1

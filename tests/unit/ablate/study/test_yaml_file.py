from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.study.yaml_file import YamlFile, read_yaml


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def reads(text: str) -> YamlFile:
        (tmp_path / "x.yaml").write_text(text)
        return read_yaml(tmp_path / "x.yaml")

    return reads


def test_yaml_1_2_reads_1e_3_as_a_number_and_no_as_text(read) -> None:
    assert read("a: 1e-3\nb: no\nc: 0x1F\nd: ~\n").data == {"a": 0.001, "b": "no", "c": 31, "d": None}


def test_every_key_and_entry_knows_its_line(read) -> None:
    file = read("a:\n  b: 1\n  c.d: 2\ne:\n  - f: 1\n")
    assert file.lines == {"a": 1, "a.b": 2, "a.c.d": 3, "e": 4, "e.0": 5, "e.0.f": 5}
    assert file.columns == {"a": 1, "a.b": 3, "a.c.d": 3, "e": 1, "e.0": 5, "e.0.f": 5}
    assert str(file.fault("a.c.d", "no")) == "x.yaml:3:3: a.c.d: no"
    assert str(file.fault("a.b.unknown.deeper", "no")) == "x.yaml:2:3: a.b.unknown.deeper: no"
    assert str(file.fault("unknown", "no")) == "x.yaml: unknown: no"


def test_numbers_booleans_and_nulls_keep_their_spelling(read) -> None:
    assert read("a: [1e-3, 1.0, 0x1F, ~, true, text]").texts == {
        "a.0": "1e-3",
        "a.1": "1.0",
        "a.2": "0x1F",
        "a.3": "~",
        "a.4": "true",
    }


def test_aliases_that_multiply_are_refused(read) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(StudyError, match=r"stands for more than 300,000 values: aliases repeat what holds aliases"):
        read("\n".join(rows))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: a: doubled key; it is already given on line 1"),
        ("a: [.nan]", "x.yaml:1:5: a.0: expected a finite number, got .nan"),
        ("a: 1e400", "x.yaml:1:4: a: expected a finite number, got 1e400"),
        ("a: 2020-01-01", "x.yaml:1:4: a: expected text or a number, got the date 2020-01-01: put it in quotes"),
        ("a: {1: x}", "x.yaml:1:5: a: a key must be text, got 1: put it in quotes"),
        ("? [a]\n: 3", "x.yaml:1:3: a key must be text, got a list or a mapping: put it in quotes"),
        ("a: &a [*a]", "x.yaml:1:4: a.0: refers to itself"),
        ("a: !foo 3", "x.yaml:1:4: a: cannot be read as a value: could not determine a constructor for the tag '!foo'"),
        ("a: !!int", "x.yaml:1:4: a: cannot be read as a value: string index out of range"),
        ("a: 0x1FFFFFFFFFFFFFFFF", "x.yaml:1:4: a: expected an integer of at most 64 bits"),
        ("a: !!int x", "x.yaml:1:4: a: cannot be read as a value: invalid literal for int() with base 10: 'x'"),
    ],
)
def test_a_value_that_json_lacks_is_a_fault_with_its_line(read, text: str, fault: str) -> None:
    assert [str(found) for found in read(text).faults] == [fault]


@pytest.mark.filterwarnings("error")
def test_an_anchor_may_be_set_anew(read) -> None:
    assert read("{a: &x 1, b: *x, c: &x 2, d: *x}").data == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_a_merge_key_is_a_key_like_any_other(read) -> None:
    assert read("<<: {a: 1}").data == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1", "x.yaml:1:6: is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb: c: d", "x.yaml:2:5: is not YAML: mapping values are not allowed here"),
        ("a: *nope", "x.yaml:1:4: is not YAML: found undefined alias 'nope'"),
        ("a: 1\nb: \x01", "x.yaml:2:4: is not YAML: the character U+0001 is not allowed"),
        ("[" * 2000, "x.yaml: is nested too deeply to be read"),
    ],
)
def test_what_is_no_yaml_is_refused(read, text: str, fault: str) -> None:
    with pytest.raises(StudyError) as raised:
        read(text)
    assert str(raised.value) == fault


def test_a_missing_file_a_folder_and_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    for path, reason in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "bytes.yaml", "is not UTF-8 text: byte 3 is wrong"),
    ]:
        with pytest.raises(StudyError, match=reason):
            read_yaml(path)

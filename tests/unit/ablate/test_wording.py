import pytest

from ablate.wording import did_you_mean, expected_one_of, quoted, without_password


def test_the_nearest_name_is_suggested_and_no_far_one() -> None:
    assert did_you_mean("sgima_mm", ["sigma_mm", "kind"]) == " -- did you mean 'sigma_mm'?"
    assert did_you_mean("xyz", ["sigma_mm", "kind"]) == ""


def test_what_is_allowed_is_listed() -> None:
    assert expected_one_of("c", ["alpha", "beta"]) == "expected one of alpha, beta"
    assert expected_one_of("alpa", ["alpha"]) == "expected alpha -- did you mean 'alpha'?"
    assert expected_one_of("x", []) == "nothing is expected here"
    assert expected_one_of("9", ["1", "2", "3"], most=2) == "expected one of 1, 2 ... (3 in all)"
    assert expected_one_of("z", ["a, b", "c"]) == "expected one of a, b; c"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (True, "true"), (False, "false"), ("a", "'a'"), (1.5, "1.5"), ("x" * 99, f"'{'x' * 56}...")],
)
def test_values_are_shown_as_yaml_has_them_and_cut(value: object, shown: str) -> None:
    assert quoted(value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:s3cret@host:5432/name", "postgresql+psycopg://...@host:5432/name"),
        ("postgresql://me:s3/cr@et@host/name", "postgresql://...@host/name"),
        ("postgresql://host/name?user=me&password=s3cret&x=1", "postgresql://host/name?user=me&password=...&x=1"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
        ("runs/a@b", "runs/a@b"),
    ],
)
def test_an_address_is_shown_without_who_logs_in_there(url: str, shown: str) -> None:
    assert without_password(url) == shown

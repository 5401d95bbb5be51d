"""What MLflow is told, without MLflow."""

from ablate.records.mlflow_content import fitting, flat, log_tail, milliseconds


def test_parameters_are_flat_and_short():
    values = {"method": {"weighting": "uniform", "sizes": [8, 16], "loss": {"alpha": 0.5}, "extra": {}}, "on": True}
    assert dict(flat(values)) == {
        "method.weighting": "uniform",
        "method.sizes": "8, 16",
        "method.loss.alpha": "0.5",
        "method.extra": "{}",
        "on": "true",
    }


def test_a_value_that_mlflow_would_refuse_is_cut():
    assert len(dict(flat({"long": "x" * 9000}))["long"]) == 250


def test_a_description_too_long_is_cut_between_tables_and_says_so():
    table = "| a |\n" * 500
    text = fitting("\n\n".join([table] * 5))
    assert len(text) < 8000
    assert text.startswith(table)
    assert text.endswith("(cut: the whole table is in the report among the artifacts)")
    assert fitting(table) == table


def test_the_end_of_a_log_is_kept(tmp_path):
    path = tmp_path / "log.txt"
    assert log_tail(path) == ""
    path.write_bytes(b"start" + b"." * 100_000 + b"end\xff")
    tail = log_tail(path)
    assert len(tail) == 65_536
    assert tail.endswith("end\N{REPLACEMENT CHARACTER}")


def test_times_are_milliseconds():
    assert milliseconds("1970-01-01T00:00:01.5+00:00") == 1500

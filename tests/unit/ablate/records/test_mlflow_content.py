"""What MLflow is told, without MLflow."""

import pytest

from ablate.records.mlflow_content import DatasetInput, dataset_inputs, fitting, flat, log_tail, milliseconds
from ablate.records.mlflow_files import changed_files, trial_files
from ablate.trial import TrialSpec


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


def test_a_name_that_mlflow_would_refuse_is_mended():
    assert dict(flat({"a b": {"c*(d)": 1}})) == {"a b.c__d_": "1"}


def spec(parameters, **more):
    return TrialSpec(task="toy:run", parameters=parameters, seed=0, **more)


@pytest.mark.parametrize(
    ("configured", "source"),
    [
        ("/somewhere/else/recordings", "recordings"),
        ("recordings/one", "recordings/one"),
        (None, ""),
        ({"root": "/somewhere/else/shelf", "skipped": None, "match_px": 50.0}, "root: shelf, match_px: 50.0"),
    ],
)
def test_what_is_fingerprinted_is_a_dataset_without_the_folders_of_this_machine(configured, source):
    found = dataset_inputs(spec({"data": {"folder": configured}}, data={"data.folder": "f" * 40}))
    assert found == (DatasetInput(name="data.folder", digest="f" * 36, source=source, kind="files"),)


def test_results_of_stages_are_datasets_beside_what_is_fingerprinted():
    found = dataset_inputs(spec({"data": None}, data={"data": "f"}, needs={"court": "0123"}))
    assert [(one.name, one.digest, one.kind) for one in found] == [("data", "f", "files"), ("court", "0123", "stage")]


def test_data_that_a_trial_makes_itself_is_known_by_its_settings():
    (ours,) = dataset_inputs(spec({"data": {"noise": 2}}))
    (same,) = dataset_inputs(spec({"data": {"noise": 2}, "method": {"alpha": 1}}))
    (other,) = dataset_inputs(spec({"data": {"noise": 3}}))
    assert (ours.name, ours.source, ours.kind) == ("data", "noise: 2", "generated")
    assert ours == same
    assert ours.digest != other.digest


def test_a_trial_without_data_names_none():
    assert dataset_inputs(spec({"method": {"alpha": 1}})) == ()


def test_links_and_a_folder_that_is_not_there_are_no_files(tmp_path):
    assert trial_files(tmp_path / "none", "arm") == ([], [])
    (tmp_path / "outside.txt").write_text("not the trial's")
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    assert trial_files(folder, "arm") == ([], [])


def test_a_stage_s_own_files_are_mirrored_only_when_small(tmp_path):
    with (tmp_path / "weights.pt").open("wb") as file:
        file.truncate(6_000_000)
    (path,), skipped = trial_files(tmp_path, "arm")
    assert (path.name, skipped) == ("weights.pt", [])
    assert trial_files(tmp_path, "stage") == (
        [],
        ["--- not mirrored: weights.pt (6.0 MB, over 5 MB a file); it is in the store"],
    )


def test_more_files_than_a_tag_can_note_are_sent_together(tmp_path):
    files = [tmp_path / f"{'figure' * 5}{index}.svg" for index in range(300)]
    for path in files:
        path.write_text("<svg/>")
    changed, note = changed_files(files, "")
    assert changed == files
    assert changed_files(files, note) == ([], note)
    files[7].write_text("<svg></svg>")
    assert changed_files(files, note)[0] == files

import pytest

from ablate.errors import StoreError
from ablate.store import TrialIndex


def test_trials_are_found_by_their_subject(tmp_path):
    index = TrialIndex(tmp_path)
    assert index.trials("s1") == []
    index.note({"t1": "s1", "t2": "s2"}, {})
    index.note({"t3": "s1", "t1": "s1"}, {})
    assert index.trials("s1") == ["t1", "t3"]
    assert TrialIndex(tmp_path).trials("s2") == ["t2"]


def test_the_files_of_code_are_kept_by_its_digest(tmp_path):
    index = TrialIndex(tmp_path)
    index.note({}, {"c1": {"a.py": "1"}})
    index.note({}, {"c1": {"a.py": "1"}, "c2": {"a.py": "2"}})
    assert index.code("c2") == {"a.py": "2"}
    assert index.code("c3") is None
    assert index.code_files(["c1", "c3"]) == {"c1": {"a.py": "1"}}


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "subjects").write_text("a file")
    with pytest.raises(StoreError, match=r"subjects.*: cannot be written: Not a directory"):
        TrialIndex(tmp_path).note({"t1": "s1"}, {})

import json

import numpy as np
import pytest
import torch

from ablate.store.checkpoints import Checkpoints
from ablate.store.local import LocalMedium


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(LocalMedium(tmp_path), "c")


def _file(folder, step):
    (path,) = folder.glob(f"c/{step}-*.pt")
    return path


def test_a_state_comes_back_bit_for_bit(checkpoints):
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimiser.step()
    generator = torch.Generator().manual_seed(5)
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "best": 1 / 3,
        "order": [3, 1, 2],
        "place": (1, "x", None, True),
    }
    checkpoints.save(7, state)
    found = checkpoints.load()
    assert found.step == 7
    assert torch.equal(found.state["model"]["weight"], model.weight)
    assert torch.equal(found.state["generator"], generator.get_state())
    assert (found.state["best"], found.state["order"], found.state["place"]) == (1 / 3, [3, 1, 2], (1, "x", None, True))
    torch.optim.Adam(model.parameters()).load_state_dict(found.state["optimiser"])


def test_without_a_checkpoint_there_is_nothing(checkpoints):
    assert checkpoints.load() is None
    assert checkpoints.latest_step() is None


def test_the_last_two_are_kept(checkpoints, tmp_path):
    for step in (1, 2, 3, 4):
        checkpoints.save(step, {"step": step})
    assert sorted(path.name.partition("-")[0] for path in tmp_path.glob("c/*.pt")) == ["3", "4"]
    assert checkpoints.latest_step() == 4


@pytest.mark.parametrize("damage", ["torn", "corrupted", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(checkpoints, tmp_path, damage):
    checkpoints.save(1, {"step": 1})
    checkpoints.save(2, {"step": 2})
    path = _file(tmp_path, 2)
    data = path.read_bytes()
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "corrupted":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    else:
        path.unlink()
    with pytest.warns(UserWarning, match=r"2-.*\.pt: checkpoint .* the one before is used"):
        assert checkpoints.load().state == {"step": 1}


def test_a_crash_before_the_pointer_leaves_the_checkpoint_before(checkpoints, tmp_path, monkeypatch):
    checkpoints.save(1, {"step": 1})
    write = LocalMedium.write
    monkeypatch.setattr(LocalMedium, "write", lambda self, name, data: name.endswith(".pt") and write(self, name, data))
    checkpoints.save(2, {"step": 2})
    assert checkpoints.load().step == 1


def test_after_a_damaged_one_the_next_stands_beside_the_last_good_one(checkpoints, tmp_path):
    for step in (1, 2):
        checkpoints.save(step, {"step": step})
    _file(tmp_path, 2).write_bytes(b"")
    checkpoints.save(2, {"step": 2})
    names = [entry["name"] for entry in json.loads((tmp_path / "c" / "latest.json").read_text())["checkpoints"]]
    assert names == [_file(tmp_path, 2).name, _file(tmp_path, 1).name]
    assert checkpoints.load().step == 2


@pytest.mark.parametrize(
    ("value", "kind"),
    [(np.zeros(2), "numpy.ndarray"), (np.float64(1.0), "numpy.float64"), (object(), "builtins.object")],
)
def test_what_cannot_be_read_back_safely_is_refused_when_it_is_saved(checkpoints, tmp_path, value, kind):
    with pytest.raises(TypeError, match=rf"state\['deep'\]\[0\] is a {kind}"):
        checkpoints.save(1, {"deep": [value]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"checkpoints": [{"name": "1.pt"}]}', b'{"checkpoints": null}']
)
def test_a_damaged_pointer_is_set_aside_and_the_files_speak_for_themselves(checkpoints, tmp_path, content):
    for step in (1, 2):
        checkpoints.save(step, {"step": step})
    pointer = tmp_path / "c" / "latest.json"
    pointer.write_bytes(content)
    assert checkpoints.latest_step() == 2
    with pytest.warns(UserWarning, match=r"pointer .* is damaged .* renamed to latest\.json\.damaged-1"):
        assert checkpoints.load().state == {"step": 2}
    assert pointer.with_name("latest.json.damaged-1").read_bytes() == content
    assert checkpoints.load().step == 2
    checkpoints.save(3, {"step": 3})
    assert [entry["step"] for entry in json.loads(pointer.read_text())["checkpoints"]] == [3, 2]


def test_with_the_pointer_and_the_newest_damaged_the_one_before_is_used(checkpoints, tmp_path):
    for step in (1, 2):
        checkpoints.save(step, {"step": step})
    (tmp_path / "c" / "latest.json").write_text("{")
    _file(tmp_path, 2).write_bytes(b"torn")
    with pytest.warns(UserWarning, match="torn or corrupted"):
        assert checkpoints.load().step == 1
    _file(tmp_path, 1).write_bytes(b"torn")
    with pytest.warns(UserWarning, match="torn or corrupted"):
        assert checkpoints.load() is None


def test_checkpoints_of_earlier_versions_are_read(checkpoints, tmp_path):
    for step in (1, 2):
        checkpoints.save(step, {"step": step})
        _file(tmp_path, step).rename(tmp_path / "c" / f"{step}.pt")
    pointer = tmp_path / "c" / "latest.json"
    entries = [entry | {"name": f"{entry['step']}.pt"} for entry in json.loads(pointer.read_text())["checkpoints"]]
    pointer.write_text(json.dumps({"checkpoints": entries}))
    assert checkpoints.load().state == {"step": 2}
    checkpoints.save(3, {"step": 3})
    checkpoints.save(4, {"step": 4})
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "c").glob("*.pt")) == ["3", "4"]


def test_all_are_dropped(checkpoints, tmp_path):
    checkpoints.save(1, {"step": 1})
    checkpoints.drop()
    assert list((tmp_path / "c").iterdir()) == []
    assert checkpoints.load() is None

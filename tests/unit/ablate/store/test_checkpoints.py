import json

import numpy as np
import pytest
import torch

from ablate.store.checkpoints import Checkpoints


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path)


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
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["3.pt", "4.pt"]
    assert checkpoints.latest_step() == 4


@pytest.mark.parametrize("damage", ["torn", "corrupted", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(checkpoints, tmp_path, damage):
    checkpoints.save(1, {"step": 1})
    checkpoints.save(2, {"step": 2})
    path = tmp_path / "2.pt"
    data = path.read_bytes()
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "corrupted":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    else:
        path.unlink()
    with pytest.warns(UserWarning, match=r"2\.pt: checkpoint .* the one before is used"):
        assert checkpoints.load().state == {"step": 1}


def test_a_crash_before_the_pointer_leaves_the_checkpoint_before(checkpoints, tmp_path, monkeypatch):
    checkpoints.save(1, {"step": 1})
    monkeypatch.setattr("ablate.store.checkpoints.write_json", lambda *_: None)
    checkpoints.save(2, {"step": 2})
    assert checkpoints.load().step == 1


def test_after_a_damaged_one_the_next_stands_beside_the_last_good_one(checkpoints, tmp_path):
    for step in (1, 2):
        checkpoints.save(step, {"step": step})
    (tmp_path / "2.pt").write_bytes(b"")
    checkpoints.save(2, {"step": 2})
    names = [entry["name"] for entry in json.loads((tmp_path / "latest.json").read_text())["checkpoints"]]
    assert names == ["2.pt", "1.pt"]
    assert checkpoints.load().step == 2


@pytest.mark.parametrize(
    ("value", "kind"),
    [(np.zeros(2), "numpy.ndarray"), (np.float64(1.0), "numpy.float64"), (object(), "builtins.object")],
)
def test_what_cannot_be_read_back_safely_is_refused_when_it_is_saved(checkpoints, tmp_path, value, kind):
    with pytest.raises(TypeError, match=rf"state\['deep'\]\[0\] is a {kind}"):
        checkpoints.save(1, {"deep": [value]})
    assert list(tmp_path.iterdir()) == []

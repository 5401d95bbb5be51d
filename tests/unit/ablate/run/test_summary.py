from ablate.run.summary import find_unreachable, summarise
from ablate.trial import Status, TrialSpec


def spec(name: str, *needs: str) -> TrialSpec:
    return TrialSpec(task=name, parameters={}, seed=None, needs={need: need for need in needs})


def test_what_needs_a_failed_trial_through_others_is_out_of_reach() -> None:
    specs = {
        name: spec(name, *needs) for name, needs in {"a": "", "b": "a", "c": "b", "d": "bx", "x": "", "e": "x"}.items()
    }
    assert find_unreachable(specs, {"b"}) == {"c", "d"}
    assert find_unreachable(specs, {"a", "x"}) == {"b", "c", "d", "e"}
    assert find_unreachable(specs, set()) == set()


def test_a_finished_trial_of_a_failed_stage_counts_once(toy) -> None:
    toy.ends(toy.ids["ours seed 0"])
    toy.ends(toy.ids["adapted seed 0"], Status.FAILED, error="KeyError: 'x'")
    found = summarise(toy.plan, toy.store, set())
    assert (found.num_finished, found.num_failed, found.num_unreachable, found.num_interrupted) == (1, 1, 2, 5)
    assert [(failure.label, failure.reason) for failure in found.failures] == [("adapted seed 0", "KeyError: 'x'")]

"""Many trials are asked about before they are planned; what `plan` says is in tests/e2e."""

import pytest

from ablate.cli.planning import MANY_TRIALS, ask_about, make_plan
from ablate.errors import StudyError


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A terminal, and what is asked on it; the answer is the first entry put in beforehand."""
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return asked[0] == "yes"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", confirm)
    return asked


def test_few_trials_are_not_asked_about() -> None:
    ask_about(MANY_TRIALS, "toy")


def test_where_nobody_can_answer_many_trials_need_a_yes() -> None:
    with pytest.raises(StudyError, match="toy has 1,001 trials: give --yes if you mean it"):
        ask_about(MANY_TRIALS + 1, "toy")


def test_a_terminal_is_asked(answers: list[str]) -> None:
    answers.append("yes")
    ask_about(2000, "toy")
    assert answers == ["yes", "toy has 2,000 trials. Go on?"]
    answers[0] = "no"
    with pytest.raises(StudyError, match="2,000 trials are not wanted"):
        ask_about(2000, "toy")


def test_the_question_comes_before_the_plan_is_made(toy_project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.plan.expand.expand", lambda _: pytest.fail("it was expanded"))
    with pytest.raises(StudyError, match="toy has 300,000 trials"):
        make_plan(toy_project.study, ["replicates=100000"], yes=False)


def test_stages_count_once_the_plan_is_made(toy_project) -> None:
    with pytest.raises(StudyError, match="toy has 1,333 trials"):
        make_plan(toy_project.study, ["replicates=333", "data.num_samples=4"], yes=False)

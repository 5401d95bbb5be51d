"""Which planned trials adaptive replication asks for: a pure function of the plan and of what has ended.

Every arm gets its first `min` seeds. An arm whose contrast is then undecided gets `step` more, and so does the arm it
is compared to, until the contrast is decided or `max` is reached; then the next are asked for when the last have ended.

Contrasts are tested with anytime-valid p values on the seeds in their order, so a decision holds whenever it is looked
at, and however far other arms are: at all times p is at least its value at the end of all seeds, where Holm's
adjustment keeps the study's error at 5 %. A running p never rises and the family is always the whole study, so no
adjusted p rises either (see `holm`) and no interval widens: what is decided stays decided, unless the differences
contradict the model (see `ConfidenceSequence`) or a failed trial is run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from ablate.analysis.contrasts import DETERMINISTIC, PairedTest, Seed, Verdict, adjusted, references_of
from ablate.analysis.intervals import estimate
from ablate.analysis.results import has_ended, number_of, read_outcomes
from ablate.analysis.sequence import ConfidenceSequence
from ablate.store import Store
from ablate.study.model import Adaptive
from ablate.trial import Outcome, Status, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import Plan


def wanted(plan: Plan, store: Store) -> frozenset[str]:
    """Give the ids of the trials that are asked for so far, stages included; all of them if nothing is adaptive."""
    return Replication(plan, read_outcomes(plan, store).values()).wanted()


def reached(plan: Plan, store: Store) -> Plan:
    """Restrict a plan to the trials that are asked for so far; the same plan if nothing is adaptive."""
    if plan.study.adaptive is None:
        return plan
    asked = wanted(plan, store)
    return replace(plan, trials=tuple(trial for trial in plan.trials if trial.spec.id in asked))


class Replication:
    """Follows a study while it runs: tell it outcomes, ask it what is wanted.

    It gives what `wanted` gives on a store with the same outcomes, in whatever order they came; each is worked in once.
    A failed trial counts as ended, so that another seed takes its place. Whoever runs failed trials again leaves their
    old outcomes out.

    Args:
        plan: All trials up to `max` seeds.
        outcomes: What has ended before.
    """

    def __init__(self, plan: Plan, outcomes: Iterable[Outcome] = ()) -> None:
        self._plan = plan
        self._outcomes = {outcome.trial_id: outcome for outcome in outcomes}
        self._trials: dict[str, dict[Seed, str]] = {arm.name: {} for arm in plan.study.arms}
        for trial in plan.trials:
            if trial.role == "arm":
                self._trials[trial.name][trial.spec.seed] = trial.spec.id
        self._contrasts = self._start()
        self._verdicts: dict[str, Verdict] = {}
        self._asked: dict[str, int] = {}
        self._wanted: frozenset[str] = frozenset()
        self._is_current = False

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome of any trial; one that is not of the plan changes nothing."""
        if has_ended(outcome.trial_id, self._plan.specs, self._outcomes):
            self._contrasts, self._asked = self._start(), {}  # run again: what was worked in is another number now
        self._outcomes[outcome.trial_id] = outcome
        if outcome.trial_id not in self._wanted:
            self._is_current = False

    def wanted(self) -> frozenset[str]:
        """Give the ids of all trials asked for so far, finished ones and stages included."""
        adaptive = self._plan.study.adaptive
        if adaptive is None:
            return frozenset(self._plan.specs)
        self._follow(adaptive)
        if not self._is_current:
            self._wanted = self._with_needs()
            self._is_current = True
        return self._wanted

    def verdicts(self) -> dict[str, Verdict]:
        """Give the verdict so far of every arm that is compared, on the metric that decides; adaptive studies only."""
        if self._plan.study.adaptive is not None:
            self._follow(self._plan.study.adaptive)
        return dict(self._verdicts)

    def _follow(self, adaptive: Adaptive) -> None:
        """Work in what has ended, and decide anew if that is anything."""
        advanced = [one.advance(self._plan.specs, self._outcomes, adaptive.metric) for one in self._contrasts.values()]
        if self._asked and not any(advanced):
            return
        metric = next(one for one in self._plan.study.metrics if one.name == adaptive.metric)
        tests = [contrast.test() for contrast in self._contrasts.values()]
        self._verdicts = {
            arm: test.verdict(p_holm, metric)
            for (arm, _), test, p_holm in zip(self._contrasts, tests, adjusted(tests), strict=True)
        }
        asked = self._num_asked(adaptive)
        self._is_current = self._is_current and asked == self._asked
        self._asked = asked

    def _num_asked(self, adaptive: Adaptive) -> dict[str, int]:
        """Give how many seeds are asked for so far, by arm."""
        asked = {arm: min(adaptive.min, len(trials)) for arm, trials in self._trials.items()}
        for (arm, reference), contrast in self._contrasts.items():
            number = contrast.num_asked(adaptive, is_open=self._verdicts[arm] is Verdict.UNDECIDED)
            for one in (arm, reference):
                asked[one] = max(asked[one], number)
        return asked

    def _with_needs(self) -> frozenset[str]:
        """Give each arm's first seeds, all that has finished, and the stages behind either."""
        specs = self._plan.specs
        by_seeds = chain.from_iterable(
            list(trials.values())[: self._asked[arm]] for arm, trials in self._trials.items()
        )
        finished = (one.trial_id for one in self._outcomes.values() if one.status is Status.FINISHED)
        found: set[str] = set()
        left = [*by_seeds, *(trial_id for trial_id in finished if trial_id in specs)]
        while left:
            trial_id = left.pop()
            if trial_id not in found:
                found.add(trial_id)
                left += specs[trial_id].needs.values()
        return frozenset(found)

    def _start(self) -> dict[tuple[str, str], _Contrast]:
        pairs = references_of(self._plan.study).items()
        return {
            (arm, reference): _Contrast(dict(_pairs(self._trials[arm], self._trials[reference])))
            for arm, reference in pairs
        }


class _Contrast:
    """One contrast, as far as the seeds of both arms have ended without a hole.

    Args:
        pairs: Ids of the arm's and the reference's trial, by seed in the plan's order.
    """

    __slots__ = ("_exact", "_num_ended", "_pairs", "_sequence")

    def __init__(self, pairs: Mapping[Seed, tuple[str, str]]) -> None:
        self._pairs = list(pairs.items())
        self._num_ended = 0
        self._sequence = ConfidenceSequence()
        self._exact: float | None = None

    def advance(self, specs: Mapping[str, TrialSpec], outcomes: Mapping[str, Outcome], metric: str) -> bool:
        """Work in the pairs that have ended since; say whether there were any."""
        before = self._num_ended
        while self._num_ended < len(self._pairs):
            seed, pair = self._pairs[self._num_ended]
            if not all(has_ended(trial_id, specs, outcomes) for trial_id in pair):
                break
            self._num_ended += 1
            ours, theirs = (number_of(outcomes.get(trial_id), metric) for trial_id in pair)
            if ours is None or theirs is None:
                continue
            self._sequence.add(ours - theirs)
            if seed is None:
                self._exact = ours - theirs
        return self._num_ended > before

    def test(self) -> PairedTest:
        """Give what `paired_test` gives on the same differences, but for the estimate and the note."""
        if self._exact is not None:
            found = estimate([self._exact])
            return PairedTest(estimate=found, interval=None, p=None, note=DETERMINISTIC, is_exact=True)
        return PairedTest(estimate=None, interval=self._sequence.interval, p=self._sequence.p)

    def num_asked(self, adaptive: Adaptive, *, is_open: bool) -> int:
        """Give how many seeds it asks for: the step that its ended seeds fill, or the next one if it is still open.

        Where the first `min` seeds gave no pair of numbers, an arm is broken, and more seeds would be too.
        """
        goes_on = is_open and (self._num_ended < adaptive.min or self._sequence.n > 0)
        beyond = self._num_ended - adaptive.min + (1 if goes_on else 0)
        steps = -(-max(beyond, 0) // adaptive.step)
        return min(adaptive.min + steps * adaptive.step, adaptive.max, len(self._pairs))


def _pairs(ours: Mapping[Seed, str], theirs: Mapping[Seed, str]) -> Iterator[tuple[Seed, tuple[str, str]]]:
    for seed, trial_id in ours.items():
        if seed in theirs:
            yield seed, (trial_id, theirs[seed])

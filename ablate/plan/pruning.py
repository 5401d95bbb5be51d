"""What a pruner sees of one configuration, and whether it gave it up."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean

from ablate.search.model import OVER_SEEDS, Search
from ablate.trial import Outcome

Judge = Callable[[int, float], bool]
"""Takes a configuration's value at a step, and says whether it is hopeless."""


class Pruning:
    """Looks at the trials of one configuration.

    Its value at a step is the mean over its seeds, once all of them have come to that step. For a pruner over seeds the
    steps are the seeds: their values are looked at as they end.

    Args:
        search: Which pruner, and which metric it looks at.
        trial_ids: The configuration's trials, in the order of their seeds.
        judge: The pruner.
    """

    def __init__(self, search: Search, trial_ids: Collection[str], judge: Judge) -> None:
        self._pruner = search.pruner
        self._objective = search.objectives[0].metric
        self._places = {trial_id: place for place, trial_id in enumerate(trial_ids)}
        self._judge = judge
        self._values: dict[int, dict[str, float]] = {}
        self.points: dict[int, float] = {}
        """The values that the pruner looked at, by step."""
        self.is_hopeless = False

    @property
    def needs_points(self) -> bool:
        """Whether the pruner looks at what running trials report."""
        return self._pruner.name not in ("none", OVER_SEEDS)

    def look_at_point(self, trial_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Take a point of a trial's curves; a step that was heard before says nothing new."""
        if not self.needs_points or self._pruner.metric not in metrics or step in self.points:
            return
        values = self._values.setdefault(step, {})
        values[trial_id] = metrics[self._pruner.metric]
        if len(values) == len(self._places):
            del self._values[step]
            self._look(step, [values[one] for one in self._places])

    def look_at_end(self, outcome: Outcome) -> None:
        """Take what came of a trial that ran to its end."""
        if self._pruner.name == OVER_SEEDS:
            self._look(self._places[outcome.trial_id], [outcome.metrics.get(self._objective, math.nan)])

    def recall(self, curves: Mapping[str, Iterable[tuple[int, Mapping[str, float]]]]) -> None:
        """Take what was reported before, by trial."""
        for trial_id, points in curves.items():
            for step, metrics in points:
                self.look_at_point(trial_id, step, metrics)

    def _look(self, step: int, values: Sequence[float]) -> None:
        value = fmean(values)
        self.points[step] = value
        self.is_hopeless = self._judge(step, value) or self.is_hopeless

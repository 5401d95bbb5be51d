"""Stages that render the simulated court and the detector's pre-training domain."""

from core.interfaces import Trial
from core.simulator import dataset, pretraining
from core.simulator.court import CourtConfig
from core.simulator.pretraining import PretrainingDomain

COURT = "court"
"""Artifact of `render`: open it with `core.simulator.dataset.open_court`."""
PRETRAINING = "pretraining"
"""Artifact of `render_pretraining`: open it with `core.simulator.pretraining.open_pretraining`."""


def render(*, data: CourtConfig, seed: int, trial: Trial) -> dict[str, float]:
    """Render the recording of one seed, all splits, into the artifact `court`; one report for each split."""
    return dataset.render_court(data, seed, trial.artifact(COURT), progress=trial.report)


def render_pretraining(*, data: PretrainingDomain, trial: Trial) -> dict[str, float]:
    """Render the pre-training domain, one for all seeds, into the artifact `pretraining`; one report for each hall."""
    return pretraining.render_pretraining(data, trial.artifact(PRETRAINING), progress=trial.report)

"""MLflow brought to what the store has: after a run, or from nothing. Done twice, the second time changes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.errors import AblateError
from ablate.records.mlflow_client import default_tracking_uri
from ablate.records.mlflow_faults import is_passing, reason
from ablate.records.mlflow_known import Tally
from ablate.records.mlflow_runs import StudyRuns, SyncCounts
from ablate.wording import without_password

if TYPE_CHECKING:
    from ablate.plan.model import Plan
    from ablate.store import Store

_PAUSES_SECONDS = (0.5, 1.0)  # before a second and a third try
_LONGEST_TRY_SECONDS = 15.0  # what fails only after that hangs: nobody should wait for it again


def sync_study(
    plan: Plan,
    store: Store,
    tracking_uri: str | None,
    *,
    description: str | None,
    files: Sequence[Path] = (),
    is_current: bool = True,
) -> SyncCounts:
    """Mirror every trial of a plan that the store has a record of, and the study's run.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        tracking_uri: A server or database; `None` is SQLite under the store's root.
        description: The result table in Markdown, for the study's run; `None` leaves the one that is there.
        files: The reports, for the artifacts of the study's run; sent where they changed.
        is_current: Whether it is the study's latest plan. Earlier ones are mirrored before it, and rename nothing.

    Returns:
        How many runs were created, updated and left alone.

    Raises:
        AblateError: MLflow cannot be reached, or does not take something.
        StoreError: The store cannot be read.
    """
    uri = tracking_uri or default_tracking_uri(store.root)
    tally = Tally()
    began = time.monotonic()
    for pause_s in (*_PAUSES_SECONDS, None):
        try:
            runs = StudyRuns(plan, store, uri, is_current=is_current, tally=tally)
            runs.catch_up_all()
            runs.describe(description, files)
            runs.close()
            break
        except AblateError:
            raise
        except Exception as error:  # mlflow has no error of its own for a server that is not there
            is_late = time.monotonic() - began > _LONGEST_TRY_SECONDS
            if pause_s is None or is_late or not is_passing(error):
                raise AblateError(not_up_to_date(uri, error, store)) from error
            time.sleep(pause_s)
    return runs.counts()


def not_up_to_date(uri: str, why: Exception | str, store: Store) -> str:
    """Say in one line that MLflow could not be brought up to date, and why that is no loss."""
    what = why if isinstance(why, str) else reason(why)
    return (
        f"MLflow at {without_password(uri)} is not up to date ({what}); "
        f"results are safe in {store.location}, and running again or `ablate sync` mirrors them"
    )

"""The store: the one place where trials, their records, curves, checkpoints and files live."""

from ablate.store.checkpoints import Checkpoint, packed
from ablate.store.index import TrialIndex
from ablate.store.record import Record, RunFacts
from ablate.store.store import CurvePoint, Store

__all__ = ["Checkpoint", "CurvePoint", "Record", "RunFacts", "Store", "TrialIndex", "packed"]

"""A look at a store before a run uses it: what is damaged is put out of the way, what is foreign is named."""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from ablate.store.attempts import CLAIM
from ablate.store.checkpoints import Checkpoints
from ablate.store.medium import Medium
from ablate.store.records import ENDED, Records

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_OLD_SECONDS = 24 * 3600.0
TRIAL_ID = re.compile(r"[0-9a-f]{20}")
_CODE = re.compile(r"[0-9a-f]+\.json")
_INTRIAL_ID = re.compile(
    r"(spec|record)\.json|(curves|system)(\.jsonl)?|log(\.txt|-\d+\.txt)?|attempts|ended|checkpoints|artifacts|files"
    r"|replaced-\d+\.json|.+\.damaged-\d+"
)
_IN_CHECKPOINTS = re.compile(r"-?\d+(-[0-9a-f]{16})?\.pt|latest\.json|.+\.damaged-\d+")
_MOST_NAMES = 3


def repair(
    medium: Medium,
    records: Records,
    checkpoints: Callable[[str], Checkpoints | None],
    trial_ids: Collection[str] | None,
) -> list[str]:
    """Repair what stands in the way of a run.

    Nothing is deleted but what writers that died a day ago left unfinished, and checkpoints of finished trials.

    Args:
        medium: The store's.
        records: The store's.
        checkpoints: Those of a trial, `None` where they are of use after its end.
        trial_ids: The trials to look at; by default all.

    Returns:
        A sentence for everything that was found.

    Raises:
        StoreError: The store cannot be read or written.
    """
    there = medium.names("trials")
    foreign = list(_foreign(medium, "trials", [name for name in there if not TRIAL_ID.fullmatch(name)]))
    for folder, pattern in (("code", _CODE), ("subjects", TRIAL_ID)):
        foreign += _foreign(medium, folder, [name for name in medium.names(folder) if not pattern.fullmatch(name)])
    names = [name for name in medium.names("studies") if medium.exists(f"studies/{name}")]
    foreign += _foreign(medium, "studies", names)
    asked = there if trial_ids is None else sorted(set(trial_ids).intersection(there))
    found = [_of_trial(medium, records, trial_id) for trial_id in asked if TRIAL_ID.fullmatch(trial_id)]
    told = foreign + [text for one in found for text in one]
    num_dropped = sum(_dropped(medium, records, checkpoints, trial_id) for trial_id in asked)
    if num_dropped:
        told.append(f"{medium.where('trials')}: removed the checkpoints of {num_dropped} finished trials")
    return told


def _dropped(medium: Medium, records: Records, checkpoints: Callable[[str], Checkpoints | None], trial_id: str) -> bool:
    """Remove the checkpoints of a trial that finished and was ended before it could; say whether there were any."""
    names = [] if medium.is_remote else medium.names(f"trials/{trial_id}/checkpoints")
    if not any(name == "latest.json" or name.endswith(".pt") for name in names):
        return False
    if not records.finished([trial_id]):
        return False
    spare = checkpoints(trial_id)
    if spare is not None:
        spare.drop()
    return spare is not None


def _of_trial(medium: Medium, records: Records, trial_id: str) -> Iterator[str]:
    folder = f"trials/{trial_id}"
    done = records.make_way(trial_id)
    if done is not None:
        yield done
    if medium.is_remote:
        return  # each listing is a request; what is foreign there is not read either
    names = medium.names(folder)
    yield from _foreign(medium, folder, [name for name in names if not _INTRIAL_ID.fullmatch(name)])
    for inner, pattern in (("attempts", CLAIM), ("ended", ENDED), ("checkpoints", _IN_CHECKPOINTS)):
        if inner in names:
            odd = [name for name in medium.names(f"{folder}/{inner}") if not pattern.fullmatch(name)]
            yield from _foreign(medium, f"{folder}/{inner}", odd)


def _foreign(medium: Medium, folder: str, names: Iterable[str]) -> Iterator[str]:
    """Name what is not the store's; remove what a writer left that died long ago."""
    others = []
    num_removed = 0
    for name in names:
        if not TEMPORARY.fullmatch(name):
            others.append(name)
            continue
        changed_s = medium.modified(f"{folder}/{name}")
        if changed_s is not None and time.time() - changed_s > _OLD_SECONDS:
            medium.delete(f"{folder}/{name}")
            num_removed += 1
    if num_removed:
        yield f"{medium.where(folder)}: removed {num_removed} unfinished files of writers that died over a day ago"
    if others:
        shown = ", ".join(others[:_MOST_NAMES]) + (" and so on" if len(others) > _MOST_NAMES else "")
        yield f"{medium.where(folder)}: {len(others)} names that are not the store's ({shown}): left alone, and ignored"

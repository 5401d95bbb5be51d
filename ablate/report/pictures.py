"""Pictures that the arms' trials saved: for each file name a row of arms at one seed, so that like stands by like."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.plan.model import Plan
from ablate.store import Record, Store
from ablate.trial import Status

KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
}
"""Media types of the files that count as pictures."""

MAX_TOTAL_BYTES = 8_000_000
"""What a page carries of pictures, as text in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One saved file of one arm."""

    arm: str
    trial_id: str
    path: Path
    media_type: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """The pictures of one name at one seed, in the order of the arms; `absent` are arms that have none there."""

    name: str
    seed: int | None
    pictures: tuple[Picture, ...]
    absent: tuple[str, ...]


def gather_pictures(plan: Plan, store: Store, records: Mapping[str, Record | None]) -> tuple[PictureRow, ...]:
    """Find the pictures among the artifacts of finished trials of arms.

    A name is shown at the seed at which most arms have it, the first of these in the plan.
    """
    found: dict[str, dict[int | None, dict[str, Picture]]] = {}
    for trial in plan.trials:
        record = records.get(trial.spec.id)
        if trial.role != "arm" or record is None or record.status is not Status.FINISHED:
            continue
        folder = store.artifacts(trial.spec.id)
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            seeds = found.setdefault(name, {})
            seeds.setdefault(trial.spec.seed, {})[trial.name] = Picture(
                arm=trial.name,
                trial_id=trial.spec.id,
                path=path,
                media_type=KINDS[path.suffix.lower()],
                num_bytes=path.stat().st_size,
            )
    arms = [arm.name for arm in plan.study.arms]
    return tuple(_row(name, found[name], arms) for name in sorted(found))


def choose_pictures(rows: tuple[PictureRow, ...], limit: int = MAX_TOTAL_BYTES) -> tuple[list[PictureRow], list[str]]:
    """Choose what a page carries.

    Args:
        rows: All rows.
        limit: Bytes in base64 of all pictures together.

    Returns:
        Whole rows while there is room, and a sentence for each that has none.
    """
    chosen, left_out, used = [], [], 0
    for row in rows:
        size = sum(-(-picture.num_bytes // 3) * 4 for picture in row.pictures)
        if used + size <= limit:
            used += size
            chosen.append(row)
        else:
            left_out.append(
                f"{row.name} ({len(row.pictures)} arms, {size / 1e6:.1f} MB) has no room on a page of at most "
                f"{limit / 1e6:.0f} MB of pictures; see trials/{row.pictures[0].trial_id}/artifacts."
            )
    return chosen, left_out


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in KINDS and path.is_file()]


def _row(name: str, seeds: Mapping[int | None, Mapping[str, Picture]], arms: list[str]) -> PictureRow:
    counts = Counter({seed: len(pictures) for seed, pictures in seeds.items()})
    seed = counts.most_common(1)[0][0]
    pictures = seeds[seed]
    return PictureRow(
        name=name,
        seed=seed,
        pictures=tuple(pictures[arm] for arm in arms if arm in pictures),
        absent=tuple(arm for arm in arms if arm not in pictures),
    )

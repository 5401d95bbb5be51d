"""A search in the store: one note per configuration, from which the sampler's state is made anew.

`studies/<name>/search/<key>/000012.json` is written before the configuration's trials run, and again when the sampler
is told what came out. There is no other state: what Optuna's own storage holds is a mirror of the notes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ablate.search.history import Entry, State
from ablate.store import Store
from ablate.store.files import json_text, parse_json
from ablate.store.medium import open_medium
from ablate.trial import Json

_WINNER = "winner.json"
_DRIVER = "driver.json"
_COUNTS = {"number", "parent"}
"""Fields of a note that may be zero and mean it."""


class Ledger:
    """The notes of one search.

    Args:
        store: The store.
        study: Name of the study.
        key: What names the search: another space, sampler, code or data has another.
    """

    def __init__(self, store: Store, study: str, key: str) -> None:
        self._medium = open_medium(store.location)
        self.folder = f"studies/{study}/search/{key}"

    def entries(self) -> list[Entry]:
        """Read all configurations in their order.

        Raises:
            StoreError: A note cannot be read.
        """
        names = [name for name in self._medium.names(self.folder) if name.removesuffix(".json").isdigit()]
        paths = [f"{self.folder}/{name}" for name in sorted(names)]
        texts = zip(paths, self._medium.read_many(paths), strict=True)
        found = [_entry(parse_json(data, self._medium.where(path))) for path, data in texts if data is not None]
        whole = next((index for index, entry in enumerate(found) if entry.number != index), len(found))
        return found[:whole]

    def write(self, entry: Entry) -> None:
        """Put down a configuration as it stands.

        Raises:
            StoreError: The store cannot be written.
        """
        content = {name: value for name, value in asdict(entry).items() if value or (value == 0 and name in _COUNTS)}
        self._medium.write(f"{self.folder}/{entry.number:06d}.json", json_text(content))

    def winner(self) -> Mapping[str, Json] | None:
        """Give the note of the configuration that won and the trials that measure it."""
        return self._note(_WINNER)

    def write_winner(self, number: int, trials: Sequence[Mapping[str, Json]]) -> None:
        """Put down which configuration won, and the trials (role, name, id) that measure it on test data."""
        self._medium.write(f"{self.folder}/{_WINNER}", json_text({"number": number, "trials": list(trials)}))

    def driver(self) -> Mapping[str, Json] | None:
        """Give the note of this driver's part in a search that several share."""
        return self._note(_DRIVER)

    def write_driver(self, content: Mapping[str, Json]) -> None:
        """Put down this driver's part in a search that several share."""
        self._medium.write(f"{self.folder}/{_DRIVER}", json_text(dict(content)))

    def forget(self) -> None:
        """Take all notes away: the search begins again."""
        for name in self._medium.names(self.folder):
            self._medium.delete(f"{self.folder}/{name}")

    def _note(self, name: str) -> Mapping[str, Json] | None:
        path = f"{self.folder}/{name}"
        data = self._medium.read(path)
        return None if data is None else parse_json(data, self._medium.where(path))


def _entry(content: Mapping[str, Any]) -> Entry:
    given = dict(content)
    for name in ("open", "values"):
        if name in given:
            given[name] = tuple(given[name])
    given["stages"] = tuple((name, trial_id) for name, trial_id in given.get("stages", ()))
    given["points"] = {int(step): value for step, value in given.get("points", {}).items()}
    return Entry(**{"parameters": {}, **given, "state": State(given["state"])})

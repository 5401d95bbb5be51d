"""What the store notes beside its trials, so that an earlier one is found again when code or data have changed."""

from collections.abc import Iterable, Mapping

from ablate.store.files import json_text, parse_json
from ablate.store.medium import Location, open_medium


class TrialIndex:
    """Two notes of a store: its trials by subject, and the files behind each code fingerprint.

    A subject is what a trial is apart from its code and data: `subjects/<subject>/` holds an empty file per trial of
    it. `code/<digest>.json` lists the digest of each source file of a fingerprint.

    Args:
        location: Folder or URL of the store.
    """

    def __init__(self, location: Location) -> None:
        self._medium = open_medium(location)

    def note(self, subjects: Mapping[str, str], code: Mapping[str, Mapping[str, str]]) -> None:
        """Take note of trials before they run; what is noted already costs next to nothing.

        Args:
            subjects: Subject of each trial, by trial id.
            code: Digest of each file by its path, for each code fingerprint.

        Raises:
            StoreError: The store cannot be written.
        """
        for digest, files in code.items():
            if not self._medium.exists(_code_name(digest)):
                self._medium.write(_code_name(digest), json_text(dict(files)))
        self._medium.note([f"subjects/{subject}/{trial_id}" for trial_id, subject in subjects.items()])

    def trials(self, subject: str) -> list[str]:
        """Give the ids of the trials noted under a subject, in no order that means anything."""
        return [name for name in self._medium.names(f"subjects/{subject}") if name.isalnum()]

    def code(self, digest: str) -> Mapping[str, str] | None:
        """Give the digest of each file behind a code fingerprint, or `None` where it was never noted.

        Raises:
            StoreError: The note is there and cannot be read.
        """
        data = self._medium.read(_code_name(digest))
        return None if data is None else parse_json(data, self._medium.where(_code_name(digest)))

    def code_files(self, digests: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """Give the files behind each of the fingerprints that were noted."""
        return {digest: files for digest in digests if (files := self.code(digest)) is not None}


def _code_name(digest: str) -> str:
    return f"code/{digest}.json"

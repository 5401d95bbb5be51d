"""What the store notes beside its trials, so that an earlier one is found again when code or data have changed."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ablate.errors import StoreError
from ablate.store.files import read_json, write_json


class TrialIndex:
    """Two notes of a store: its trials by subject, and the files behind each code fingerprint.

    A subject is what a trial is apart from its code and data: `subjects/<subject>/` holds an empty file per trial of
    it. `code/<digest>.json` lists the digest of each source file of a fingerprint.

    Args:
        root: Folder of the store.
    """

    def __init__(self, root: Path) -> None:
        self._subjects = root / "subjects"
        self._code = root / "code"

    def note(self, subjects: Mapping[str, str], code: Mapping[str, Mapping[str, str]]) -> None:
        """Take note of trials before they run; what is noted already costs next to nothing.

        Args:
            subjects: Subject of each trial, by trial id.
            code: Digest of each file by its path, for each code fingerprint.

        Raises:
            StoreError: The store cannot be written.
        """
        for digest, files in code.items():
            path = self._code / f"{digest}.json"
            if not path.exists():
                write_json(path, dict(files))
        try:
            for trial_id, subject in subjects.items():
                path = self._subjects / subject / trial_id
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
        except OSError as error:
            raise StoreError(f"{self._subjects}: cannot be written: {error.strerror or error}") from error

    def trials(self, subject: str) -> list[str]:
        """Give the ids of the trials noted under a subject, in no order that means anything."""
        try:
            return sorted(os.listdir(self._subjects / subject))
        except FileNotFoundError:
            return []

    def code(self, digest: str) -> Mapping[str, str] | None:
        """Give the digest of each file behind a code fingerprint, or `None` where it was never noted.

        Raises:
            StoreError: The note is there and cannot be read.
        """
        return read_json(self._code / f"{digest}.json")

    def code_files(self, digests: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """Give the files behind each of the fingerprints that were noted."""
        return {digest: files for digest in digests if (files := self.code(digest)) is not None}

"""Small notes in a store that drivers leave for each other: read, written whole, or made where there is none."""

import warnings
from collections.abc import Mapping

from ablate.errors import StoreError
from ablate.store.files import json_text, parse_json
from ablate.store.medium import Location, open_medium, set_aside
from ablate.trial import Json


def read_note(location: Location, name: str) -> dict[str, Json] | None:
    """Give a note, or `None` where there is none; a damaged one is set aside with a warning.

    Raises:
        StoreError: The store cannot be read.
    """
    medium = open_medium(location)
    data = medium.read(name)
    if data is None:
        return None
    try:
        return parse_json(data, medium.where(name))
    except StoreError as error:
        aside = set_aside(medium, name)
        warnings.warn(f"{error}; it was renamed to {aside}", stacklevel=2)
        return None


def write_note(location: Location, name: str, content: Mapping[str, Json]) -> None:
    """Put a note in the place of whatever stands there.

    Raises:
        StoreError: The store cannot be written.
    """
    open_medium(location).write(name, json_text(content))


def create_note(location: Location, name: str, content: Mapping[str, Json]) -> bool:
    """Write a note where there is none: of several that try at once, one succeeds.

    On an object store without exclusive writes, two may succeed within the same moment: the one that reads its own
    note some time later holds it.

    Returns:
        Whether the note is ours.

    Raises:
        StoreError: The store cannot be written.
    """
    return open_medium(location).create(name, json_text(content))


def remove_note(location: Location, name: str) -> None:
    """Take a note away; one that is not there is no fault.

    Raises:
        StoreError: The store cannot be written.
    """
    open_medium(location).delete(name)

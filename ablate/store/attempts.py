"""Claims of attempts: each start of a trial takes the next number, and whoever holds the highest may write."""

import json
import os
import random
import re
import secrets
import socket
import time
from datetime import UTC, datetime

from ablate.store.medium import Medium

CLAIM = re.compile(r"(\d+)(?:-[0-9a-f]+)?\.json")
_MOST_PAUSE_SECONDS = 0.2


def claim(medium: Medium, folder: str, last: int) -> int:
    """Take the next attempt number.

    A folder makes a file exclusively. An object store need not: there every claim is an object of its own, and ours
    counts if it is the only one of its number once it is there; whoever sees two goes on to the next number.

    Args:
        medium: The store's.
        folder: The trial's attempts.
        last: The highest number so far.

    Raises:
        StoreError: The store cannot be written.
    """
    facts = {"started": datetime.now(UTC).isoformat(), "host": socket.gethostname(), "pid": os.getpid()}
    content = json.dumps(facts).encode()
    attempt = last + 1
    while True:
        if medium.is_remote:
            medium.write(f"{folder}/{attempt:04d}-{secrets.token_hex(4)}.json", content)
            is_ours = numbers(medium, folder).count(attempt) == 1
        else:
            is_ours = medium.create(f"{folder}/{attempt:04d}.json", content)
        if is_ours:
            return attempt
        if medium.is_remote:
            time.sleep(random.uniform(0.0, _MOST_PAUSE_SECONDS))
        attempt = max(attempt, *numbers(medium, folder)) + 1


def numbers(medium: Medium, folder: str) -> list[int]:
    """Give the numbers that were claimed, one per claim."""
    return [int(match[1]) for name in medium.names(folder) if (match := CLAIM.fullmatch(name))]

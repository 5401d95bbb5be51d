"""Which of MLflow's errors pass by themselves, and what they say in a few words."""

from __future__ import annotations

import errno
import re
import sqlite3

_LONGEST_REASON = 300
_BUSY = (408, 429)  # statuses below 500 that ask to come again
_THERE_ALREADY = "RESOURCE_ALREADY_EXISTS"  # made by a request whose answer was lost: the next look finds it
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SHORT = (
    (re.compile(r"read timeout=([\d.]+)|Read timed out"), "no answer"),
    (re.compile(r"timed out"), "no connection"),
    (re.compile(r"\[Errno -?\d+\] ([^'\")\]]+)"), r"\1"),
    (re.compile(r"too many (\d{3}) error responses"), r"it answers \1"),
    (re.compile(r"\(sqlite3\.\w+\) ([^\n]+)"), r"\1"),
)


def is_passing(error: BaseException) -> bool:
    """Say whether trying again may cure it: nobody answers, the disk is full, the database or the lock is taken."""
    status = getattr(error, "get_http_status_code", None)  # mlflow's own errors; those of the transport count as 500
    if callable(status):
        code = int(status())
        return code >= 500 or code in _BUSY or getattr(error, "error_code", "") == _THERE_ALREADY
    answer = getattr(error, "response", None)  # of requests, from artifacts
    if answer is not None:
        return bool(answer.status_code >= 500 or answer.status_code in _BUSY)
    if isinstance(error, OSError):
        return error.errno not in _NOT_ALLOWED
    return isinstance(error, sqlite3.OperationalError) or _is_operational(error)


def reason(error: BaseException) -> str:
    """Say in one short line what happened."""
    whole = str(error)
    for pattern, short in _SHORT:
        if found := pattern.search(whole):
            return found.expand(short)
    return " ".join(whole.split())[:_LONGEST_REASON] or type(error).__name__


def _is_operational(error: BaseException) -> bool:
    from sqlalchemy.exc import OperationalError

    return isinstance(error, OperationalError)

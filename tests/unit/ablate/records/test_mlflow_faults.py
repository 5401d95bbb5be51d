"""Errors that pass and errors that stay, as MLflow, its transport and its database raise them."""

import errno
import sqlite3
from types import SimpleNamespace

import pytest
from filelock import Timeout
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import HTTPError
from sqlalchemy.exc import IntegrityError, OperationalError

from ablate.records.mlflow_faults import is_passing, reason

FULL = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

PASSING = {
    "connection refused": MlflowException("API request to http://x failed with exception [Errno 111] refused"),
    "503": RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}),
    "500": RestException({"error_code": "INTERNAL_ERROR", "message": "oops"}),
    "too many requests": RestException({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slower"}),
    "made by a lost request": RestException({"error_code": "RESOURCE_ALREADY_EXISTS", "message": "there"}),
    "artifact, 502": HTTPError("bad gateway", response=SimpleNamespace(status_code=502)),
    "full database": FULL,
    "locked database": sqlite3.OperationalError("database is locked"),
    "full disk": OSError(errno.ENOSPC, "No space left on device"),
    "lock taken": Timeout("mlflow.lock"),
}
STAYING = {
    "permission denied": RestException({"error_code": "PERMISSION_DENIED", "message": "no"}),
    "invalid": RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}),
    "artifact, 403": HTTPError("forbidden", response=SimpleNamespace(status_code=403)),
    "no database": sqlite3.DatabaseError("file is not a database"),
    "a constraint": IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE")),
    "read-only folder": PermissionError(errno.EACCES, "Permission denied"),
    "a mistake of ours": KeyError("loss"),
}


@pytest.mark.parametrize("error", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(error):
    assert is_passing(error)


@pytest.mark.parametrize("error", STAYING.values(), ids=STAYING)
def test_what_stays_is_not(error):
    assert not is_passing(error)


def test_reasons_are_short():
    refused = "HTTPConnectionPool(host='x', port=9): Max retries exceeded (Caused by NewConnectionError('<object>: "
    assert reason(MlflowException(refused + "Failed to establish: [Errno 111] Connection refused'))")) == (
        "Connection refused"
    )
    assert reason(MlflowException("HTTPConnectionPool: Read timed out. (read timeout=20)")) == "no answer"
    assert reason(MlflowException("too many 503 error responses")) == "it answers 503"
    assert reason(FULL) == "database or disk is full"
    assert reason(ValueError()) == "ValueError"
    assert reason(ValueError("a\n  b")) == "a b"

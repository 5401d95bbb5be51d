"""Tasks: found by import path, bound to a configuration on the driver, called on the worker."""

from ablate.target.binding import BoundTask, bind, data_parameters, instantiate, instantiate_stacked
from ablate.target.code import CodeFingerprint, code_fingerprint
from ablate.target.companion import companion_path, load_companion
from ablate.target.fields import prune
from ablate.target.task import Task, load_task, resolve

__all__ = [
    "BoundTask",
    "CodeFingerprint",
    "Task",
    "bind",
    "code_fingerprint",
    "companion_path",
    "data_parameters",
    "instantiate",
    "instantiate_stacked",
    "load_companion",
    "load_task",
    "prune",
    "resolve",
]

"""What all entries of a study file share: closed, strict and frozen models."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Takes exactly the keys and types it declares."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def form_of(value: Any) -> str:
    """Tell which form of an entry is meant, so that only its own faults are told."""
    return "many" if isinstance(value, dict | list | BaseModel) else "one"

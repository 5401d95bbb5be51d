"""The JSON Schema of a study file, by which editors complete keys and mark what is wrong."""

from typing import Any

from ablate.study.schema import StudyFile

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> dict[str, Any]:
    """Give the schema of a study file: JSON Schema, draft 2020-12, with a description at every key.

    It knows the file's shape. What stands between entries (an arm that is named but not there) and behind them (the
    parameters of a task) is for `ablate check`.
    """
    schema = StudyFile.model_json_schema(by_alias=True)
    _close(schema)
    schema["title"] = "Study"
    schema["anyOf"] = [{"required": [key]} for key in ("arms", "design", "search")]
    for name, entry in schema["$defs"].items():
        entry["title"] = name.removesuffix("Entry")
    return {"$schema": _DIALECT, **schema}


def _close(node: Any) -> None:
    """Refuse names that fit no pattern, and drop the titles that pydantic makes of keys: they say nothing."""
    if isinstance(node, list):
        for inner in node:
            _close(inner)
    elif isinstance(node, dict):
        if "patternProperties" in node:
            node.setdefault("additionalProperties", False)
        for entry in node.get("properties", {}).values():
            if isinstance(entry, dict):
                entry.pop("title", None)
        for inner in node.values():
            _close(inner)

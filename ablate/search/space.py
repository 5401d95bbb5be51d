"""Whether a configuration lies in a space."""

from collections.abc import Mapping, Sequence

from ablate.search.model import Parameter
from ablate.trial import Json


def fits(space: Sequence[Parameter], parameters: Mapping[str, Json]) -> bool:
    """Say whether a configuration, perhaps of another space, has all that this one searches within its bounds."""
    chosen: dict[str, Json] = {}
    for one in space:
        if one.is_active(chosen):
            if one.key not in parameters or not _contains(one, parameters[one.key]):
                return False
            chosen[one.key] = parameters[one.key]
    return True


def _contains(parameter: Parameter, value: Json) -> bool:
    if parameter.kind == "choices":
        return value in parameter.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return parameter.low <= value <= parameter.high and (parameter.kind == "float" or float(value).is_integer())

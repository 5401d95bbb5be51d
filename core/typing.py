"""Tensor annotations: jaxtyping's `Float[Tensor, "B V 2"]` and the axis letters used throughout.

`B` batch, `V` views, `J` joints, `P` people, `H W` pixels, `N` points; `*batch` any leading axes.
"""

from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Shaped", "Tensor", "UInt8"]

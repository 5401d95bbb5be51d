import jaxtyping
import pytest


@pytest.fixture
def unchecked_shapes():
    """The library's own refusals, as users meet them: the suite's annotation checks are off."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)

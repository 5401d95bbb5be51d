import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from ablate.store import Store
from ablate.trial import Outcome, Report, TrialSpec
from ablate.worker import run_trial


class Bench:
    """Runs functions of a test as tasks, through the store and everything."""

    def __init__(self, store: Store, module: ModuleType) -> None:
        self.store = store
        self.module = module
        self.reports: list[Report] = []

    def spec(self, task: Callable[..., object], **fields: object) -> TrialSpec:
        task.__module__, task.__qualname__ = self.module.__name__, task.__name__
        setattr(self.module, task.__name__, task)
        spec = TrialSpec(
            **{"task": f"{self.module.__name__}:{task.__name__}", "parameters": {}, "seed": None, **fields}
        )
        self.store.write_spec(spec)
        return spec

    def run(self, spec: TrialSpec, *, stopping: Callable[[], bool] = lambda: False, **options: object) -> Outcome:
        attempt = self.store.claim(spec.id)
        return run_trial(self.store, spec.id, attempt, on_report=self.reports.append, stopping=stopping, **options)

    def log(self, spec: TrialSpec) -> str:
        return self.store.log_path(spec.id).read_text()


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    module = ModuleType("bench_tasks")
    sys.modules[module.__name__] = module
    yield Bench(Store(tmp_path), module)
    del sys.modules[module.__name__]

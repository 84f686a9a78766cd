"""Beam's own job service, with two workers, and bundles as an engine for clusters cuts them.

By itself it asks for one worker and hands it all that a step is to do at once, in one message. Here
a worker gets some 1,000 values at a time, as from Flink, and one lot after the other.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from apache_beam.runners.portability import local_job_service_main
from apache_beam.runners.portability.fn_api_runner import (
    FnApiRunner,
    execution,
    fn_runner,
    worker_handlers,
)

WORKERS = 2
VALUES_IN_A_BUNDLE = 1000

_NEVER_MS = 10**9
_init = FnApiRunner.__init__


def _with_two_workers(self: FnApiRunner, *arguments: Any, **settings: Any) -> None:
    _init(self, *arguments, **settings)
    self._num_workers = WORKERS


def _n_bundles(waiting: object) -> int:
    if isinstance(waiting, execution.GroupingBuffer):
        n_values = sum(map(len, waiting._table.values()))
        return min(len(waiting._table), n_values // VALUES_IN_A_BUNDLE)
    return len(getattr(waiting, "_inputs", ()))  # messages of about 10 MB


class _Bundles(fn_runner.ParallelBundleManager):
    def process_bundle(self, inputs: Any, *arguments: Any, **settings: Any) -> Any:
        self._num_workers = max(WORKERS, *map(_n_bundles, inputs.values()))
        return super().process_bundle(inputs, *arguments, **settings)


if __name__ == "__main__":
    FnApiRunner.__init__ = _with_two_workers
    fn_runner.ParallelBundleManager = _Bundles
    vars(fn_runner)["thread_pool_executor"] = SimpleNamespace(
        shared_unbounded_instance=lambda: ThreadPoolExecutor(WORKERS)
    )
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = _NEVER_MS  # see runtime.flush_whole_elements
    local_job_service_main.run(sys.argv[1:])

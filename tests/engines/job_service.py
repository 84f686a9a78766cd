"""Beam's own job service, asking for two workers where it would ask for one."""

import sys
from typing import Any

from apache_beam.runners.portability import local_job_service_main
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers

_NEVER_MS = 10**9
_init = FnApiRunner.__init__


def _with_two_workers(self: FnApiRunner, *arguments: Any, **settings: Any) -> None:
    _init(self, *arguments, **settings)
    self._num_workers = 2


if __name__ == "__main__":
    FnApiRunner.__init__ = _with_two_workers
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = _NEVER_MS  # see launch.new_pipeline
    local_job_service_main.run(sys.argv[1:])

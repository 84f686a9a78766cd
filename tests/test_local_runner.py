"""What the local runner must do for a night to be right."""

from __future__ import annotations

import time
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from pipeline.beam_options import beam_options
from pipeline.runtime import new_pipeline, run_to_end


class Slow:
    """An element that takes longer to encode than Beam waits before it flushes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        time.sleep(1.2)
        return Slow, (self.number,)


@pytest.mark.slow
def test_elements_arrive_whole_however_long_it_takes_to_encode_them() -> None:
    """Beam 2.77 flushes once a second, from another thread and in the middle of an element."""
    pipeline = new_pipeline(beam_options(["--direct_num_workers=2"]))
    arrived = (
        pipeline
        | beam.Create(range(4))
        | beam.Map(lambda number: (number, Slow(number)))
        | beam.GroupByKey()
        | beam.FlatMapTuple(lambda _, found: [slow.number for slow in found])
    )
    assert_that(arrived, equal_to(list(range(4))))
    run_to_end(pipeline)

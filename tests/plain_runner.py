"""Runs a pipeline as a plain loop: one step after the other, in this thread, nothing encoded.

For tests of what the job decides and writes: a job of a few recordings takes a fifth of the time
that Beam's runner takes to start its workers and hand elements around. What is Beam's own (coders,
bundles, threads, processes) is left to the tests that run on its runners; that both write the same
is shown in ``test_pipeline``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.pipeline import AppliedPTransform
from apache_beam.pvalue import AsDict, AsIter, AsList, AsSideInput, AsSingleton, PValue
from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState
from apache_beam.transforms import core, userstate
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints import decorators, trivial_inference, typehints
from apache_beam.utils.windowed_value import WindowedValue

from pipeline import runtime

Elements = list[Any]


def use(patch: pytest.MonkeyPatch) -> None:
    """Lets local jobs of this process run so."""
    patch.setattr(runtime, "FnApiRunner", PlainRunner)
    # What Beam finds out about each step while the job is put together takes longer than the job:
    # its state (no step of ours has any), its types, where it was made, whether it can be pickled.
    patch.setattr(userstate, "get_dofn_specs", lambda step: (set(), set()))
    patch.setattr(trivial_inference, "infer_return_type", lambda *_, **__: typehints.Any)
    patch.setattr(decorators.IOTypeHints, "_make_origin", lambda *_, **__: [])
    patch.setattr(core, "_check_fn_use_yield_and_return", lambda step: False)
    patch.setattr(pickler, "roundtrip", lambda step: step)


class PlainRunner(PipelineRunner):
    """Knows one window, the global one, and bounded input."""

    def run_pipeline(self, pipeline: beam.Pipeline, options: object) -> PipelineResult:
        _Run().step(pipeline._root_transform())
        return _Done(PipelineState.DONE)


class _Done(PipelineResult):
    def wait_until_finish(self, duration: int | None = None) -> str:
        return str(self.state)


class _Run:
    """One run.

    Attributes:
        elements: of each collection that has been made.
    """

    def __init__(self) -> None:
        self.elements: dict[PValue, Elements] = {}

    def step(self, applied: AppliedPTransform) -> None:
        """Does a transform, and what it consists of."""
        transform = applied.transform
        if isinstance(transform, beam.Reshuffle):  # a question of who does what
            self.elements[applied.outputs[None]] = self._input(applied)
        elif isinstance(transform, beam.GroupByKey):
            self.elements[applied.outputs[None]] = _grouped(self._input(applied))
        elif isinstance(transform, beam.Flatten):
            self.elements[applied.outputs[None]] = [
                element for given in applied.inputs for element in self.elements[given]
            ]
        elif isinstance(transform, beam.Impulse):
            self.elements[applied.outputs[None]] = [b""]
        elif isinstance(transform, beam.ParDo):
            self._par_do(applied)
        elif applied.parts:
            for part in applied.parts:
                self.step(part)
        elif set(applied.outputs.values()) - set(applied.inputs):
            raise NotImplementedError(f"{applied.full_label}: {type(transform).__name__}")

    def _input(self, applied: AppliedPTransform) -> Elements:
        return self.elements[applied.inputs[0]]

    def _par_do(self, applied: AppliedPTransform) -> None:
        transform = applied.transform
        receivers = {tag: _Gathered() for tag in applied.outputs}
        runner = DoFnRunner(
            transform.fn,
            transform.args,
            transform.kwargs,
            [_Everywhere(self._seen_from_the_side(view)) for view in applied.side_inputs],
            applied.inputs[0].windowing,
            {None: _Gathered(), **receivers},
            step_name=applied.full_label,
        )
        runner.setup()
        try:
            runner.start()
            for element in self._input(applied):
                runner.process(WindowedValue(element, 0, (GlobalWindow(),)))
            runner.finish()
        finally:
            runner.teardown()
        for tag, collection in applied.outputs.items():
            self.elements[collection] = receivers[tag].elements

    def _seen_from_the_side(self, view: AsSideInput) -> Any:
        elements = self.elements[view.pvalue]
        match view:
            case AsSingleton():
                [value] = elements or [view.default_value]
                return value
            case AsDict():
                return dict(elements)
            case AsIter() | AsList():
                return list(elements)
        raise NotImplementedError(type(view).__name__)


def _grouped(pairs: Elements) -> Elements:
    """In the order in which keys came first, which no step may rely on."""
    groups: dict[Any, Elements] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return list(groups.items())


class _Gathered(Receiver):
    def __init__(self) -> None:
        self.elements: Elements = []

    def receive(self, windowed_value: WindowedValue) -> None:
        self.elements.append(windowed_value.value)


class _Everywhere:
    """A side input that is the same in every window."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getitem__(self, window: object) -> Any:
        return self._value

    def is_globally_windowed(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value)

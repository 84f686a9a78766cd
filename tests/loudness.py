"""A scorer without TensorFlow: how loud a window is at its loudest."""

import numpy as np
import numpy.typing as npt

from pipeline.score import SegmentHandler


class LoudnessScorer:
    """Score of a window: the largest absolute sample."""

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.abs(windows).max(axis=1)


def handler() -> SegmentHandler:
    return SegmentHandler(LoudnessScorer, "end")

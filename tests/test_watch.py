from hypothesis import given
from hypothesis import strategies as st

from pipeline.progress import Progress
from pipeline.watch import progress_line


def test_a_line_says_how_far_how_fast_and_how_long():
    line = progress_line(Progress(12.2, 2160, 7200), 40, 15)
    assert line == "12 of 40 files, 0.60 of 2.00 h audio, 144 × real time, 0:00:35 left"


@given(*[st.floats(0, 1e9)] * 3, st.integers(0, 10**9), st.floats(0, 1e6))
def test_no_state_breaks_the_line(files, audio_s, expected_s, n_inputs, elapsed_s):
    assert "files" in progress_line(Progress(files, audio_s, expected_s), n_inputs, elapsed_s)

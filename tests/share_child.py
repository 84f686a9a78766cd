"""``python -m tests.share_child count FLAGS``: the command with the stand-in network, as a process.

With ``FAIL_SHARE=2`` the second share ends before it has counted anything, with ``HANG_SHARE=2`` it
goes on for ever, with ``REFUSE_SHARE=2`` it refuses its recordings.
"""

from __future__ import annotations

import os
import sys
import time

if __name__ == "__main__":
    number = next(word for word in sys.argv if word.startswith("--share="))[8:].partition("/")[0]
    if os.environ.get("FAIL_SHARE") == number:
        sys.exit(9)  # before imports that take seconds
    import pytest

    from pipeline import launch
    from pipeline.__main__ import run_and_leave
    from pipeline.options import UsageError
    from tests import plain_runner
    from tests.fakes import CountedLoader

    patch = pytest.MonkeyPatch()
    plain_runner.use(patch)
    patch.setattr(launch, "ModelLoader", lambda directory: CountedLoader())
    if os.environ.get("HANG_SHARE") == number:
        patch.setattr(launch, "count", lambda *_: time.sleep(600))
    if os.environ.get("REFUSE_SHARE") == number:

        def refuse(*_: object) -> None:
            raise UsageError("these were moved")

        patch.setattr(launch, "launch", refuse)
    run_and_leave()

"""``python -m pipeline``: check, build, run, report."""

from __future__ import annotations

import sys

from pipeline import options


def main(argv: list[str] | None = None) -> int:
    """Runs the job. Returns the exit code that ``options.EXIT_CODES`` explains."""
    config = options.parse(sys.argv[1:] if argv is None else argv)
    from pipeline.launch import launch  # imports Beam: seconds that --help need not wait for

    try:
        return launch(config)
    except options.UsageError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\npipeline: interrupted; no table was left half-written", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""run_slurm.sh: what it refuses, what it would submit, and what it asks for. Without a Slurm."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime import MOST_WORKERS
from pipeline.sharing import spread

ROOT = Path(__file__).resolve().parents[1]
TASKS = runpy.run_path(str(ROOT / "scripts" / "slurm_tasks.py"))
PLAN = {"recordings": 40, "done": 0, "core_h": 100.0}
SETTINGS = {"INPUT": "my recordings/*.WAV", "OUTPUT": "it's out"}

NAMES = (
    *("INPUT", "MANIFEST", "OUTPUT", "MODEL", "SHARES", "ONLY", "AT_ONCE", "CPUS", "MEMORY"),
    *("TIME", "JOIN_MEMORY", "JOIN_TIME", "PARTITION", "ACCOUNT", "QOS", "OPTIONS", "LOGS"),
    *("SCRATCH", "IMAGE", "BIND", "PYTHON"),
)


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with stand-ins for Python and Apptainer, which print what they are called with."""
    (tmp_path / "bin").mkdir()
    answer = json.dumps({"command": "plan", "plan": PLAN})
    body = (
        f'case " $* " in *" - "*) exec {sys.executable} "$@" ;; esac\n'
        f'case " $* " in *" plan "*) echo \'{answer}\'; exit ;; esac\n'
        'printf "%s\\n" "$@"\n'
    )
    executable(tmp_path / "bin" / "python", f"#!/usr/bin/env bash\n{body}")
    inside = body.replace('"$@" ;;', '"${@:6}" ;;')  # behind: exec --bind FOLDERS IMAGE python3
    executable(tmp_path / "bin" / "apptainer", f"#!/usr/bin/env bash\n{inside}")
    return tmp_path


def run(here: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{here}/bin:{os.environ['PATH']}"
    settings = {"PATH": path, "PYTHON": f"{here}/bin/python", **SETTINGS, **variables}
    return subprocess.run(
        [ROOT / "run_slurm.sh", *(arguments or ["--dry-run"])],
        cwd=here,
        env={name: value for name, value in settings.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"OUTPUT": ""}, "OUTPUT is not set"),
        ({"INPUT": ""}, "neither INPUT nor MANIFEST is set"),
        ({"SHARES": "many"}, "SHARES=many: give a whole number"),
        ({"CPUS": "0"}, "CPUS=0: give a whole number"),
        ({"CPUS": f"{MOST_WORKERS + 1}"}, "CPUS=9: a share uses 8 at most"),
        ({"MEMORY": "6 GB"}, "MEMORY=6 GB: write it as 6G or 6000M"),
        ({"TIME": "2h"}, "TIME=2h: write it as minutes, HH:MM:SS or D-HH:MM"),
        ({"ONLY": "3;7", "SHARES": "9"}, "ONLY=3;7: write it as 3,7-9, or as missing"),
        ({"ONLY": "3"}, "ONLY=3 needs SHARES"),
        ({"ONLY": "3,8-10", "SHARES": "9"}, "ONLY=3,8-10: no share 10 of 9"),
        ({"IMAGE": "birds.sif"}, "give IMAGE or PYTHON, not both"),
        ({"IMAGE": "birds.sif", "PYTHON": ""}, "IMAGE=birds.sif: no such file"),
        ({"BIND": "/data"}, "BIND is for IMAGE"),
        ({"OUTPUT": "gs://birds/out"}, "LOGS is not set, and OUTPUT is no folder of a disk"),
        ({"ONLY": "missing"}, "ONLY=missing: it's out/run.json: No such file"),
    ],
)
def test_the_script_refuses(here: Path, changed: dict[str, str], message: str) -> None:
    done = run(here, **changed)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"run_slurm.sh: {message}")


@pytest.mark.parametrize("flag", ["--share=3/4", "--output=o", "--input", "--manifest=m.csv"])
def test_flags_that_are_variables_are_refused(here: Path, flag: str) -> None:
    done = run(here, "--dry-run", flag)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"run_slurm.sh: {flag}: ")


def test_without_slurm_there_is_only_a_dry_run(here: Path) -> None:
    for name in ("bash", "readlink", "dirname", "env"):
        program = next(Path(of, name) for of in ("/usr/bin", "/bin") if Path(of, name).exists())
        (here / "bin" / name).symlink_to(program)
    done = run(here, "--threshold=0.7", PATH=f"{here}/bin")
    assert done.returncode == 2
    assert done.stderr.startswith("run_slurm.sh: no sbatch here")


def test_what_count_would_refuse_is_refused_before_anything_is_submitted(here: Path) -> None:
    refusal = "capuchinbird plan: no flag --treshold"
    executable(here / "bin" / "python", f"#!/usr/bin/env bash\necho '{refusal}' >&2\nexit 2\n")
    done = run(here, "--dry-run", "--treshold=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == refusal


def test_every_setting_is_explained_and_printed(here: Path) -> None:
    help_text = run(here, "--help").stderr
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", help_text)] == []
    done = run(here, PARTITION="short", AT_ONCE="8", OPTIONS="--constraint=avx2 --exclusive")
    printed = dict(line.split(None, 1) for line in done.stderr.splitlines())
    assert tuple(printed) == NAMES
    expected = {"SHARES": "26", "ONLY": "1-26", "CPUS": "4", "PARTITION": "short", "ACCOUNT": "-"}
    expected |= {"INPUT": SETTINGS["INPUT"], "OUTPUT": "it's out", "LOGS": "it's out/logs"}
    assert expected.items() <= printed.items()
    shares, *sizes = TASKS["sizes"](PLAN, 4, 0)
    assert [printed[name] for name in ("TIME", "MEMORY", "JOIN_TIME", "JOIN_MEMORY")] == [
        str(size) for size in sizes
    ]
    assert str(shares) == printed["SHARES"]


def jobs(dry_run: str) -> list[tuple[list[str], str]]:
    """Options of ``sbatch`` and the script of each job."""
    found = re.findall(r"^sbatch ([^\n]*) <<'END'\n(.*?)\nEND\n", dry_run, re.MULTILINE | re.DOTALL)
    return [(shlex.split(options), script) for options, script in found]


def arguments_of(script: str, here: Path, **environ: str) -> list[str]:
    """What a job's script ends in calling, which it is run for."""
    of_slurm = {"SLURM_JOB_ID": "1", "SLURMD_NODENAME": "n", "SLURM_ARRAY_TASK_ID": "3"}
    path = f"{here}/bin:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=here,
        env={"PATH": path, **of_slurm, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_jobs_get_what_was_said_whatever_is_in_it(here: Path) -> None:
    flags = ["--deployments", 'a "b" $HOME `c`.csv', "--time-zone=-03:00"]
    done = run(here, "--dry-run", *flags, SHARES="16", AT_ONCE="4", TIME="1-00:00", MEMORY="9G")
    (array, count), (joining, join) = jobs(done.stdout)
    wanted = {"--array=1-16%4", "--time=1-00:00", "--mem=9G", "--cpus-per-task=4", "--requeue"}
    assert wanted | {f"--chdir={here}", "--output=it's out/logs/%A_%a.txt"} <= {*array}
    assert "--dependency=afterany:ARRAY" in joining
    first, *called = arguments_of(count, here, SLURM_TMPDIR=str(here))
    assert first.endswith(f"1 on n, temporary files in {here}")
    given = ["--input=my recordings/*.WAV", *flags, "--output=it's out", "--share=3/16"]
    assert called == ["-m", "pipeline", "count", *given]
    assert arguments_of(join, here)[1:] == ["-m", "pipeline", "join", "it's out"]
    assert not (here / "it's out").exists()


def test_temporary_files_lie_on_the_node(here: Path) -> None:
    """In the first folder that is there."""
    for name in ("own", "slurm", "tmp"):
        (here / name).mkdir()
    [(_, count), _] = jobs(run(here, SCRATCH=f"{here}/own").stdout)
    given = {"SLURM_TMPDIR": f"{here}/slurm", "TMPDIR": f"{here}/tmp"}
    for name in ("own", "slurm", "tmp"):
        assert arguments_of(count, here, **given)[0].endswith(f"files in {here}/{name}")
        (here / name).rmdir()
    assert arguments_of(count, here, **given)[0].endswith(("files in /tmp", "in /scratch/local"))


def test_an_image_sees_what_is_named_and_is_what_runs(here: Path) -> None:
    for folder in ("archive/2026", "results"):
        (here / folder).mkdir(parents=True)
    (here / "birds.sif").touch()
    places = {
        "INPUT": "archive/*/x.wav",
        "MANIFEST": "archive/2026/list.csv",
        "OUTPUT": "results/o",
    }
    done = run(here, **places, IMAGE="birds.sif", BIND="/more", PYTHON="")
    (_, count), (_, join) = jobs(done.stdout)
    binds = f"{here},{here}/archive,{here}/archive/2026,{here}/results,/more"
    image = ["exec", "--bind", binds, f"{here}/birds.sif", "capuchinbird"]
    assert arguments_of(count, here)[1:7] == [*image, "count"]
    assert arguments_of(join, here)[1:] == [*image, "join", "results/o"]
    assert "export TMPDIR=$scratch PYTHONPATH='' APPTAINER_BIND=$scratch" in count


def test_shares_that_the_last_join_missed(here: Path) -> None:
    (here / "out").mkdir()
    shares = [{"of": 9, "missing": []}, {"of": 16, "missing": [3, 7, 8]}]
    (here / "out" / "run.json").write_text(json.dumps({"shares": shares}))
    (options, script), _ = jobs(run(here, OUTPUT="out", ONLY="missing").stdout)
    assert "--array=3,7,8" in options
    assert arguments_of(script, here)[-1] == "--share=3/16"
    refused = run(here, OUTPUT="out", ONLY="missing", SHARES="9")
    assert refused.stderr == "run_slurm.sh: SHARES=9: those missing are of 16\n"
    (here / "out" / "run.json").write_text("{}")
    assert "no share is missing" in run(here, OUTPUT="out", ONLY="missing").stderr


counts = st.integers(0, 10**7)


@given(counts, counts, st.floats(0, 1e6), st.integers(1, 64), st.integers(0, 500))
def test_every_task_gets_the_time_and_memory_it_needs(
    recordings: int, done: int, core_h: float, cpus: int, asked: int
) -> None:
    done = min(done, recordings)
    core_h = core_h if recordings > done else 0.0
    plan = {"recordings": recordings, "done": done, "core_h": core_h}
    shares, minutes, memory, join_minutes, join_memory = TASKS["sizes"](plan, cpus, asked)
    assert shares == asked or 1 <= shares <= max(1, min(recordings - done, TASKS["MOST_SHARES"]))
    assert minutes >= TASKS["LEAST_MINUTES"]
    assert minutes >= 2 * 60 * core_h / shares / cpus  # half as fast
    left_h = core_h + (recordings - done) * TASKS["RECORDING_S"] / 3600
    assert minutes <= 20.1 + 60 * TASKS["TIME_MARGIN"] * left_h / cpus
    assert int(memory.removesuffix("G")) >= 1 + 0.1 * cpus
    assert join_minutes >= TASKS["LEAST_MINUTES"]
    assert int(join_memory.removesuffix("G")) >= 2


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1e6), st.integers(1, 500))
def test_shares_that_are_left_get_the_time_that_shares_had(
    recordings: int, fraction: float, core_h: float, shares: int
) -> None:
    """Or as much as all takes that is left: it may lie in few of them."""
    done = min(round(fraction * recordings), recordings - 1)
    left_h = core_h * (recordings - done) / recordings
    before = TASKS["sizes"]({"recordings": recordings, "done": 0, "core_h": core_h}, 4, shares)
    plan = {"recordings": recordings, "done": done, "core_h": left_h}
    minutes = TASKS["sizes"](plan, 4, shares)[1]
    assert minutes >= before[1] - 5 or minutes >= 60 * TASKS["TIME_MARGIN"] * left_h / 4


def test_the_image_is_made_of_what_is_there() -> None:
    """As the workers' image, of the same Python. Apptainer itself is not tried."""
    text = (ROOT / "deploy" / "apptainer.def").read_text()
    head, *rest = re.split(r"^%(\w+)\n", text, flags=re.MULTILINE)
    assert "Bootstrap: docker\nFrom: python:3.11-slim" in head
    assert "FROM apache/beam_python3.11_sdk" in (ROOT / "Dockerfile").read_text()
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    assert {*sections} == {"files", "post", "environment", "runscript", "test"}
    for line in sections["files"].split("\n"):
        source, _, target = line.strip().partition(" ")
        assert (ROOT / source).exists(), source
        assert target.endswith(source)
    needed = {"requirements.txt", "pyproject.toml", "setup.py", "README.md", "LICENSE"}
    needed |= {"capuchinbird", "model", "pipeline"}
    assert needed == set(re.findall(r"^ +(\S+)", sections["files"], re.MULTILINE))


def test_a_task_is_foretold_the_memory_that_a_process_is() -> None:
    assert (TASKS["PROCESS_MB"], TASKS["WORKER_MB"]) == (spread.PROCESS_MB, spread.WORKER_MB)

"""Figures of accuracy, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.harness import markdown
from benchmarks.judge import (
    System,
    Tally,
    Trial,
    best_threshold,
    by_source,
    margin,
    strictest,
    tally,
)
from benchmarks.material import CLIPS


def figures_of(system: System, n_false: int = 1) -> dict[str, Any]:
    """All figures of one system, for JSON.

    Args:
        system: its trials, by set.
        n_false: clips of other sounds that may be taken for calls where recall is stated.
    """
    one = best_threshold(system.sets.values())
    sets = {}
    for name, trials in system.sets.items():
        best = best_threshold([trials])
        sets[name] = {
            "margin": margin(trials, system.least),
            "best_threshold": best,
            "best": _figures(tally(trials, best)),
            "one": _figures(tally(trials, one)),
            "own": _figures(tally(trials, None)),
        }
    result = {
        "name": system.name,
        "notes": dict(system.notes),
        "own_thresholds": sorted({t.own_threshold for s in system.sets.values() for t in s}),
        "one_threshold": one,
        "sets": sets,
    }
    if CLIPS in system.sets:
        result["clips"] = _clip_figures(system.sets[CLIPS], n_false, one)
    return result


def _figures(counted: Tally) -> dict[str, Any]:
    return asdict(counted) | {"f1": counted.f1}


def _clip_figures(trials: Sequence[Trial], n_false: int, one: float) -> dict[str, Any]:
    strict = strictest(trials, n_false)
    least = max(one, strict)
    false = [
        (trial.judged[0].log_odds, trial.recording)
        for trial in trials
        if not trial.calls and trial.judged and trial.judged[0].log_odds >= least
    ]
    return {
        "others": sum(not trial.calls for trial in trials),
        "n_false": n_false,
        "threshold": strict,
        "detected": tally(trials, strict).detected,
        "sources": [asdict(source) for source in by_source(trials, strict)],
        "false": [name for _, name in sorted(false, reverse=True)],
    }


def table(systems: Sequence[Mapping[str, Any]]) -> str:
    """Systems side by side in Markdown: a line for each set and system, the best F1 in bold."""
    columns = ["recordings", "system", "F1, best threshold", "one for all", "its own"]
    columns += ["counted exactly, one for all", "false, one for all", "margin, log odds"]
    rows = []
    for name in systems[0]["sets"]:
        tops = [
            max(s["sets"][name][kind]["f1"] for s in systems) for kind in ("best", "one", "own")
        ]
        for number, system in enumerate(systems):
            figures = system["sets"][name]
            one = figures["one"]
            head = "" if number else f"{name}: {one['calls']} calls in {one['recordings']}"
            cells = [
                _bold(figures[kind]["f1"], top)
                for kind, top in zip(("best", "one", "own"), tops, strict=True)
            ]
            cells += [f"{one['exact']} of {one['recordings']}", str(one["false"])]
            rows.append([head, system["name"], *cells, f"{figures['margin']:+.1f}"])
    return "\n".join([markdown(columns, rows, 2), "", *map(_thresholds, systems)])


def _bold(value: float, top: float) -> str:
    text = f"{value:.3f}"
    return f"**{text}**" if text == f"{top:.3f}" else text


def _thresholds(system: Mapping[str, Any]) -> str:
    own = ", ".join(f"{value:+.2f}" for value in system["own_thresholds"])
    notes = "; ".join(f"{name}: {value}" for name, value in system["notes"].items())
    return (
        f"- {system['name']}: thresholds in log odds: its own {own}; one for all "
        f"{system['one_threshold']:+.2f}. {notes}."
    )


def source_table(systems: Sequence[Mapping[str, Any]]) -> str:
    """Calls detected of each source of clips, in Markdown; the first system's worst come first."""
    clips = [system["clips"] for system in systems]
    allowed = f"at most {clips[0]['n_false']} false in {clips[0]['others']}"
    head = [f"source, {allowed}", "calls", *(system["name"] for system in systems)]
    sources = [{source["name"]: source for source in c["sources"]} for c in clips]

    def recalls(name: str) -> list[float]:
        return [some[name]["detected"] / some[name]["clips"] for some in sources]

    rows = [
        [name, str(sources[0][name]["clips"]), *(str(some[name]["detected"]) for some in sources)]
        for name in sorted(sources[0], key=lambda name: (*recalls(name), name))
    ]
    calls = sum(source["clips"] for source in sources[0].values())
    rows.append(["all", str(calls), *(str(c["detected"]) for c in clips)])
    return markdown(head, rows)

"""The card of a model: what it was trained on, and how far it was found to go, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.calls import log_odds
from model.contract import ServingContract

FEW_CALLS = 3
"""A bird with fewer calls has a share that says little; the card marks it."""


def model_card(
    contract: ServingContract, clips: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]
) -> str:
    """The text of ``README.md`` beside an exported model.

    Args:
        contract: with its metrics.
        clips: of the training data, see ``train.ClipStatistics``.
        sources: see ``separation.source_figures``.
    """
    metrics = contract.metrics
    birds = [row for row in sources if "bird" in row]
    places = [row for row in sources if "background" in row]
    lines = [
        f"# {contract.model_version}",
        "",
        f"Scores {contract.label}. Written by `capuchinbird train`.",
        "",
        "## Trained on",
        "",
        f"{clips['calls']} annotated calls in {clips['recordings']} recordings and clips "
        f"({clips['hours']:.2f} h, of which {clips['background_hours']:.2f} h hold no call). "
        f"SHA-256 of the data: `{contract.training_data_sha256[:16]}…`.",
        "",
    ]
    if not birds:
        return "\n".join(
            [
                *lines,
                "No bird was left out in training, so nothing here says how the model does on "
                "birds that it does not know. Its rule is a default.",
                "",
                *_judge_it(),
            ]
        )
    threshold = float(log_odds(contract.rule.threshold))
    lines += [
        "## Threshold and gap",
        "",
        "Every figure below is for networks that were trained without the birds and the "
        "backgrounds in question.",
        "",
        "| log odds | |",
        "|---|--:|",
        f"| calls as recorded, 1st percentile | {metrics['call_low']:+.1f} |",
        f"| **threshold** ({contract.rule.threshold:g}) | **{threshold:+.1f}** |",
        f"| all other peaks, 99.9th percentile | {metrics['other_high']:+.1f} |",
        f"| gap | {metrics['margin']:+.1f} |",
        f"| between the faintest call and the most call-like other sound | "
        f"{metrics['margin_of_extremes']:+.1f} |",
        "",
        "## Birds, the worst first",
        "",
        "| bird | calls | found | faintest, log odds |",
        "|---|--:|--:|--:|",
        *(
            f"| {row['bird']} | {row['calls']}{' (few)' if row['calls'] < FEW_CALLS else ''} "
            f"| {row['recall']:.0%} | {row['least_log_odds']:+.1f} |"
            for row in birds
        ),
        "",
        "## Sounds without a call, the most call-like first",
        "",
        "| background | hours | false calls | highest, log odds |",
        "|---|--:|--:|--:|",
        *(
            f"| {row['background']} | {row['hours']:.3f} | {row['false_calls']} "
            f"| {row['most_log_odds']:+.1f} |"
            for row in places
        ),
        "",
        "## By condition",
        "",
        "| condition | F1 | counted / true | truth inside the 90 % interval |",
        "|---|--:|--:|--:|",
    ]
    for name in (key.removeprefix("f1_") for key in metrics if key.startswith("f1_")):
        cells = [
            f"{metrics[key]:.2f}" if (key := f"{kind}_{name}") in metrics else "–"
            for kind in ("counted_share", "interval_coverage")
        ]
        lines.append(
            f"| {name.replace('_', ' ')} | {metrics[f'f1_{name}']:.3f} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, "", *_judge_it()])


def _judge_it() -> list[str]:
    return [
        "## Judge it on your own recordings",
        "",
        "None of this was measured in your forest, with your recorders. Annotate every call in ten "
        "of your recordings or more, and run",
        "",
        "```",
        "capuchinbird evaluate my_recordings/ --model THIS_FOLDER",
        "```",
        "",
    ]

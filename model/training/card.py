"""The card of a model: what it was trained on, and how far it was found to go, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.calls import log_odds
from model.contract import ServingContract
from model.pages import page_environment

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

    def share_of(kind: str, condition: str) -> str:
        share = metrics.get(f"{kind}_{condition}")
        return "–" if share is None else f"{share:.2f}"

    template = page_environment("model.training", is_html=False).get_template("card.md")
    return template.render(
        contract=contract,
        metrics=metrics,
        clips=clips,
        birds=[row for row in sources if "bird" in row],
        places=[row for row in sources if "background" in row],
        few_calls=FEW_CALLS,
        threshold_log_odds=float(log_odds(contract.rule.threshold)),
        conditions=[key.removeprefix("f1_") for key in metrics if key.startswith("f1_")],
        share_of=share_of,
    )

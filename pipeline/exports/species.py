"""The bird's names, and where its voice lies."""

from __future__ import annotations

from dataclasses import dataclass

CALL_LOW_HZ, CALL_HIGH_HZ = 350, 1800
"""Where a Capuchinbird's harmonics lie. The box drawn around a call; no call is measured for it."""


@dataclass(frozen=True)
class Species:
    """Names that programs know a bird by; the code is eBird's."""

    common: str
    scientific: str
    code: str


CAPUCHINBIRD = Species("Capuchinbird", "Perissocephalus tricolor", "capuch1")


def species_of(label: str) -> Species:
    """The bird that a model's label means; for another model's label, the label itself."""
    known = any(name in label.lower() for name in ("capuchin", "perissocephalus tricolor"))
    return CAPUCHINBIRD if known else Species(label, "", "")

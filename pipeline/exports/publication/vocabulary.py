"""Terms of the standards: licences, sampling designs, taxonomy."""

from __future__ import annotations

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/legalcode",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/legalcode",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
}
"""The licences that GBIF takes."""

SAMPLING_DESIGNS = (
    "simpleRandom",
    "systematicRandom",
    "clusteredRandom",
    "experimental",
    "targeted",
    "opportunistic",
)
"""Camtrap DP's terms for the choice of sites."""

TAXON = {
    "taxonRank": "species",
    "kingdom": "Animalia",
    "phylum": "Chordata",
    "class": "Aves",
    "order": "Passeriformes",
    "family": "Cotingidae",
    "genus": "Perissocephalus",
}
"""The Capuchinbird's taxonomy."""

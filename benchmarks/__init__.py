"""How fast and how well, against what."""

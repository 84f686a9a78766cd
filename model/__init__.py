"""The network, what it takes, and what its scores mean."""

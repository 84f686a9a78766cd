"""What the network hears, and what its scores mean."""

"""Moving recordings past the network."""

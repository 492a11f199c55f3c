"""Mathematics that models share, in one notation."""

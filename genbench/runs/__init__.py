"""Run folders, and the data and models of configurations."""

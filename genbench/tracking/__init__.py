"""Where measurements of a run go: a file that is never lost, and wandb."""

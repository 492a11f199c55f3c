"""A suite as jobs of a SLURM cluster."""

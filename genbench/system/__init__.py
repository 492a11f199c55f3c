"""What the machine needs: files, locks, processes, progress. Nothing here knows of models."""

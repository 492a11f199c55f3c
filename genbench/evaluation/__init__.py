"""From a finished run to one record."""

"""From a YAML file and options to a checked configuration."""

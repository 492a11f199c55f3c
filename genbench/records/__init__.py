"""What is stored of evaluated runs: immutable JSON, read back through types."""

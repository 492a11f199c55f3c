"""Many runs at once: what a suite has to do, and processes that do it side by side."""

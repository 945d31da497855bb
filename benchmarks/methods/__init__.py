"""What the benchmark scripts measure and report with."""

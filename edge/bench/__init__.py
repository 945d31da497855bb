"""What a network costs to run: measured on this machine, operator by operator, and predicted for a Pi."""

"""Networks: torch, their configuration, and nothing else."""

"""Tables that turn elements and compositions into numbers (from matminer's Magpie)."""

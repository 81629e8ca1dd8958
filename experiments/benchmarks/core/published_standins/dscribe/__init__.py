"""Stand-in for a descriptor that the paper's configuration does not use."""

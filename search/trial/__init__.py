"""One segment of a trial in a worker, its messages, failures and outcome."""

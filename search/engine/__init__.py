"""What runs next (conductor, searchers, schedulers), and Ray, which runs it."""

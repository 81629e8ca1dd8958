"""Sizes that the network works with on a CPU, and that forecasts of its cost count.

They can be read without torch.
"""

CACHED_PAIRS = 4096
"""Pairs that a CPU works on together: their rows, a few hundred numbers each, stay in
its second and third cache from one operation to the next."""
LANES = 16
"""Numbers in the widest vector register: a matrix product whose result has a multiple
of these columns is up to a third faster."""

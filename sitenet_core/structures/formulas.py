"""Formulas of a cell, as pymatgen writes them."""

import warnings
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

from pymatgen.core import Composition, Element

KEPT = 10_000
"""Contents whose formulas are remembered: the same ones come again and again."""


class Formulas(NamedTuple):
    """What a cell holds, oxidation states left out."""

    full: str
    """Content of the cell: `K4 Mn4 O8`."""
    reduced: str
    """Content of a formula unit: `KMnO2`; equal to `grouping.composition_key`."""


def formulas_of(numbers: Iterable[int]) -> Formulas:
    """Return the formulas of a cell with these atomic numbers, one per site."""
    return _formulas(tuple(Counter(numbers).items()))


@cache
def _element(number: int) -> Element:
    return Element.from_Z(number)


@lru_cache(maxsize=KEPT)
def _formulas(counts: tuple[tuple[int, int], ...]) -> Formulas:
    composition = Composition({_element(z): n for z, n in counts})
    with warnings.catch_warnings():
        # an element without electronegativity comes last: nothing to warn of
        warnings.simplefilter("ignore", UserWarning)
        return Formulas(composition.formula, composition.reduced_formula)

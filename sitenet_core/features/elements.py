"""The eight elemental properties of Site-Net's site vector, one table for all Z.

The values are the Magpie table's own for Z = 1-103 (Ward et al., npj Comput. Mater. 2,
16028, 2016), kept in elements.json. A value that the table lacks is the mean of its
column over Z = 1-103; `imputed()` names each. Site-Net, arXiv:2209.08190, section 3.1.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np

_SYMBOL = re.compile("[A-Z][a-z]?")
LARGEST_Z = 103
COLUMNS = (
    "Number",
    "AtomicWeight",
    "Row",
    "Column",
    "FirstIonizationEnergy",
    "Electronegativity",
    "AtomicRadius",
    "Density",
)
"""Names of the columns, in the order of the network's input. The units: weight in u,
ionization energy in eV, electronegativity after Pauling, radius in Å, density of the
element in kg/m³; the others have none."""


@cache
def _published() -> np.ndarray:
    """Return (103, 8) values of the table, NaN where it has none."""
    text = (files("sitenet_core.features") / "elements.json").read_text("utf-8")
    columns = json.loads(text)["columns"]
    table = np.array([columns[name] for name in COLUMNS], dtype=np.float64).T
    table.setflags(write=False)
    return table


def element_table() -> np.ndarray:
    """Return (104, 8) float64: row Z holds the properties `COLUMNS` of element Z.

    Row 0 is zeros. Missing values are the mean of their column over Z = 1-103.
    """
    published = _published()
    means = np.nanmean(published, axis=0)
    filled = np.where(np.isnan(published), means, published)
    return np.vstack([np.zeros((1, len(COLUMNS))), filled])


def imputed() -> dict[str, tuple[int, ...]]:
    """Return, for each column with gaps, the atomic numbers that were filled in."""
    missing = np.isnan(_published())
    return {
        name: tuple(int(row) + 1 for row in np.flatnonzero(missing[:, k]))
        for k, name in enumerate(COLUMNS)
        if missing[:, k].any()
    }


def imputed_in(formulas: Iterable[str]) -> dict[str, list[str]]:
    """Return, by column, the elements of `formulas` that have no value in the table.

    Args:
        formulas: Contents of the crystals of a data set, e.g. `K4 Mn4 O8`.
    """
    # Deferred: whoever only computes features does without pymatgen.
    from pymatgen.core import Element

    present = {symbol for text in formulas for symbol in _SYMBOL.findall(text)}
    numbers = {int(Element(symbol).Z) for symbol in present}
    found = {c: sorted(numbers.intersection(zs)) for c, zs in imputed().items()}
    return {c: [Element.from_Z(z).symbol for z in zs] for c, zs in found.items() if zs}


def standardised(table: np.ndarray) -> np.ndarray:
    """Return the z-scores of the columns of `table` over Z = 1-103; row 0 is zeros.

    The standard deviation is that of the population (divided by 103).
    """
    elements = table[1:]
    scores = (elements - elements.mean(axis=0)) / elements.std(axis=0)
    return np.vstack([np.zeros((1, table.shape[1])), scores])

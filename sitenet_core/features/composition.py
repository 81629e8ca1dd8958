"""Magpie features of a composition, for the composition-only baseline."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sitenet_core.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Composition

PRESET = "magpie"


def composition_features(formulas: Sequence[str]) -> np.ndarray:
    """Return (n, 132) float64: matminer's Magpie statistics of each formula.

    Minimum, maximum, range, mean, mean deviation and mode of 22 elemental properties
    (Ward et al., npj Comput. Mater. 2, 16028, 2016), matminer's imputation included.
    Equal formulas are computed once.

    Raises:
        DataError: if a formula cannot be read.
    """
    from matminer.featurizers.composition import ElementProperty

    featurizer = ElementProperty.from_preset(PRESET, impute_nan=True)
    known: dict[str, list[float]] = {}
    for formula in dict.fromkeys(formulas):
        known[formula] = _features(featurizer, _composition(formula))
    width = len(featurizer.feature_labels())
    rows = [known[formula] for formula in formulas]
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def _composition(formula: str) -> "Composition":
    from pymatgen.core import Composition

    try:
        composition = Composition(formula)
    except ValueError as error:
        raise DataError(_refusal(formula, str(error))) from error
    if not composition.valid:
        raise DataError(_refusal(formula, "it names something that is no element"))
    return composition


def _refusal(formula: str, reason: str) -> str:
    return (
        f"cannot read the formula {formula!r}: {reason}; "
        "give element symbols with amounts, such as Na4 Cl4"
    )


def _features(featurizer: Any, composition: "Composition") -> list[float]:
    with warnings.catch_warnings():
        # pymatgen warns of properties it lacks for rare elements, and matminer of those
        # it imputes: the imputation is asked for, in one line above
        warnings.simplefilter("ignore", UserWarning)
        values: list[float] = featurizer.featurize(composition)
    return values

"""Magpie features of a composition, for the composition-only baseline."""

import warnings
from collections.abc import Sequence

import numpy as np

from sitenet_core.errors import DataError

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
    from pymatgen.core import Composition

    featurizer = ElementProperty.from_preset(PRESET, impute_nan=True)
    known: dict[str, list[float]] = {}
    for formula in dict.fromkeys(formulas):
        try:
            composition = Composition(formula)
        except ValueError as error:
            raise DataError(
                f"cannot read the formula {formula!r}: {error}; "
                "give element symbols with amounts, such as Na4 Cl4"
            ) from error
        known[formula] = _features(featurizer, composition)
    width = len(featurizer.feature_labels())
    rows = [known[formula] for formula in formulas]
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def _features(featurizer: object, composition: object) -> list[float]:
    with warnings.catch_warnings():
        # pymatgen warns of properties it lacks for rare elements, and matminer of those
        # it imputes: the imputation is asked for, in one line above
        warnings.simplefilter("ignore", UserWarning)
        values: list[float] = featurizer.featurize(composition)  # type: ignore[attr-defined]
    return values

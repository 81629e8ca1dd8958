"""Composition features of the baseline."""

import numpy as np
import pytest

from sitenet_core.errors import DataError
from sitenet_core.features.composition import composition_features


def test_features_are_magpie_statistics_of_the_formula() -> None:
    features = composition_features(["Na4 Cl4", "NaCl", "Si"])
    assert features.shape == (3, 132)
    np.testing.assert_array_equal(features[0], features[1])
    minimum, maximum, spread, mean = features[0, :4]
    assert (minimum, maximum, spread, mean) == (11, 17, 6, 14)
    assert features[2, :4].tolist() == [14, 14, 0, 14]


def test_rare_elements_have_features_without_gaps_or_warnings() -> None:
    assert np.isfinite(composition_features(["HeNe", "Lr", "AtFr2"])).all()


def test_no_formulas_give_an_empty_table() -> None:
    assert composition_features([]).shape == (0, 132)


@pytest.mark.parametrize("formula", ["", "Qx3", "Na-"])
def test_a_formula_that_cannot_be_read_is_named(formula: str) -> None:
    with pytest.raises(DataError, match="cannot read the formula"):
        composition_features(["NaCl", formula])

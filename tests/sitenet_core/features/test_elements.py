"""The elemental table, and that it has not drifted from matminer's."""

import numpy as np
import pytest
from matminer.utils.data import MagpieData
from pymatgen.core import Element

from sitenet_core.features.elements import (
    COLUMNS,
    LARGEST_Z,
    element_table,
    imputed,
    standardised,
)


def imputed_mask() -> np.ndarray:
    """Return (104, 8) bool, true where a value is listed as imputed."""
    mask = np.zeros((LARGEST_Z + 1, len(COLUMNS)), dtype=bool)
    for column, numbers in imputed().items():
        mask[list(numbers), COLUMNS.index(column)] = True
    return mask


def test_table_is_matminers_own_for_every_element_and_property() -> None:
    source = MagpieData(impute_nan=False)
    expected = np.array(
        [
            [source.get_elemental_property(Element.from_Z(z), name) for name in COLUMNS]
            for z in range(1, LARGEST_Z + 1)
        ]
    )
    mask = imputed_mask()[1:]
    assert np.array_equal(np.isnan(expected), mask)
    np.testing.assert_array_equal(element_table()[1:][~mask], expected[~mask])


def test_missing_values_are_the_mean_of_their_property() -> None:
    table, mask = element_table(), imputed_mask()
    for column in range(len(COLUMNS)):
        known = table[1:][~mask[1:, column], column]
        np.testing.assert_allclose(table[mask[:, column], column], known.mean())


def test_the_imputed_values_are_listed() -> None:
    listed = imputed()
    assert set(listed["Electronegativity"]) >= {2, 10, 18}
    assert set(listed["AtomicRadius"]) >= {2, 10, 36, 54, 85, 86, 87, *range(96, 104)}
    assert "Number" not in listed


def test_row_zero_is_empty_and_every_other_is_finite() -> None:
    table = element_table()
    assert table.shape == (104, 8)
    assert table.dtype == np.float64
    assert not table[0].any()
    assert np.isfinite(table).all()
    assert table[:, 0].tolist() == list(range(104))


def test_callers_cannot_change_the_table_for_others() -> None:
    element_table()[6] = 0.0
    assert element_table()[6, 0] == 6.0


def test_standardised_columns_have_mean_zero_and_deviation_one() -> None:
    scores = standardised(element_table())
    assert not scores[0].any()
    np.testing.assert_allclose(scores[1:].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scores[1:].std(axis=0), 1)
    assert scores[103, 0] == pytest.approx((103 - 52) / np.arange(1, 104).std())

"""Numbers fit the declared type or are refused; they never wrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sitenet_core.data import CRYSTAL, ArraySpec, conform
from sitenet_core.errors import StructureError

SCHEMA = (
    ArraySpec("n", CRYSTAL, "int32", "1", ""),
    ArraySpec("z", "site", "uint8", "1", ""),
    ArraySpec("x", "site", "float32", "Å", "", (3,)),
    ArraySpec("flag", "pair", "bool", "1", ""),
)


def arrays(**changes: object) -> dict[str, np.ndarray]:
    good = {"n": 2, "z": [1, 8], "x": np.zeros((2, 3)), "flag": [True]}
    return {name: np.asarray(value) for name, value in (good | changes).items()}


def test_arrays_get_the_declared_types_order_and_scope_axis() -> None:
    result = conform(SCHEMA, dict(reversed(arrays().items())))
    assert list(result) == ["n", "z", "x", "flag"]
    assert [str(v.dtype) for v in result.values()] == [
        "int32",
        "uint8",
        "float32",
        "bool",
    ]
    assert result["n"].shape == (1,)


def test_a_crystal_array_may_come_with_its_axis() -> None:
    assert conform(SCHEMA, arrays(n=[2]))["n"].shape == (1,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": [1, 256]}, "values from 1 to 256; uint8 takes 0 to 255"),
        ({"z": [-1, 8]}, "values from -1 to 8"),
        ({"n": 2**31}, "int32 takes"),
        ({"z": [1.0, 8.0]}, "is of type float64; the schema declares uint8"),
        ({"x": np.full((2, 3), 1e39)}, "not finite as float32"),
        ({"x": np.full((2, 3), np.nan)}, "not finite"),
        ({"x": np.zeros((2, 3), dtype=int)}, "declares float32"),
        ({"flag": [1]}, "declares bool"),
        ({"x": np.zeros((2, 2))}, r"shape \(2, 2\).* rows of shape \(3,\)"),
        ({"x": np.zeros((3, 3))}, "'x' has 3 rows, but 'z' of the same scope"),
        ({"n": [2, 3]}, "'n' has 2 rows, but 'the crystal'"),
        ({"more": 1}, r"unknown=\['more'\]"),
    ],
)
def test_what_the_schema_does_not_declare_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(StructureError, match=message):
        conform(SCHEMA, arrays(**changes))


def test_a_missing_array_is_refused() -> None:
    given = arrays()
    del given["z"]
    with pytest.raises(StructureError, match=r"missing=\['z'\]"):
        conform(SCHEMA, given)


@given(
    hnp.arrays(np.int64, st.integers(0, 5)), st.sampled_from(["uint8", "int32", "u8"])
)
def test_an_integer_is_stored_exactly_or_refused(
    values: np.ndarray, dtype: str
) -> None:
    spec = ArraySpec("a", "site", dtype, "1", "")
    limits = np.iinfo(dtype)
    fits = all(limits.min <= v <= limits.max for v in values.tolist())
    if fits:
        assert conform([spec], {"a": values})["a"].tolist() == values.tolist()
    else:
        with pytest.raises(StructureError, match="takes"):
            conform([spec], {"a": values})

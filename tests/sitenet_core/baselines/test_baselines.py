"""The references: one number for all, and the composition alone."""

import numpy as np
import pytest
from support.toy_training import TARGET, ToyStore, toy_data

from sitenet_core.baselines import (
    CompositionOptions,
    composition_baseline,
    constant_baseline,
)
from sitenet_core.errors import DataError

FEW = CompositionOptions(trees=20)


def salts_and_oxides() -> ToyStore:
    """Return a store whose target is decided by the formula alone."""
    store = ToyStore()
    odd = np.arange(40) % 2 == 1
    store.values = np.where(odd, 5.0, -1.0)
    return store


def test_the_constant_is_the_median_of_what_is_trained_on() -> None:
    store = ToyStore()
    data = toy_data(store)
    found = constant_baseline(data, data.split.test)
    median = np.median(store.values[:24])
    assert {p.prediction for p in found.predictions} == {median}
    assert found.mae == pytest.approx(np.abs(store.values[33:] - median).mean())
    assert (found.n, found.unit) == (7, "eV")
    both = constant_baseline(toy_data(store, train_on="train+validation"), ["toy-39"])
    assert both.predictions[0].prediction == np.median(store.values[:33])


def test_the_forest_sees_the_composition_and_nothing_else() -> None:
    data = toy_data(salts_and_oxides())
    found = composition_baseline(data, data.split.test, FEW)
    assert found.mae < 1e-9
    assert constant_baseline(data, data.split.test).mae > 2
    store = ToyStore()  # targets that the formula says nothing about
    unknown = composition_baseline(toy_data(store), toy_data(store).split.test, FEW)
    assert len({p.prediction for p in unknown.predictions}) == 2


def test_the_forest_is_seeded() -> None:
    data = toy_data()
    first, again = (composition_baseline(data, data.split.test, FEW) for _ in range(2))
    other = composition_baseline(
        data, data.split.test, CompositionOptions(trees=20, seed=1)
    )
    assert first == again
    assert first.predictions != other.predictions


def test_sign_and_clamp_of_the_target_hold_for_baselines_too() -> None:
    store = salts_and_oxides()
    flipped = toy_data(store, target=TARGET.model_copy(update={"sign": -1}))
    found = composition_baseline(flipped, ["toy-34", "toy-35"], FEW)
    assert [p.prediction for p in found.predictions] == pytest.approx([1.0, -5.0])
    clamped = toy_data(
        store, target=TARGET.model_copy(update={"clamp": "non_negative"})
    )
    found = composition_baseline(clamped, ["toy-34", "toy-35"], FEW)
    assert [p.prediction for p in found.predictions] == pytest.approx([0.0, 5.0])


@pytest.mark.parametrize("baseline", [constant_baseline, composition_baseline])
def test_nothing_to_test_on_is_an_error(baseline: object) -> None:
    assert callable(baseline)
    with pytest.raises(DataError, match=r"no crystal to evaluate on"):
        baseline(toy_data(), [])

"""Crystals gathered from files and from a device are the same, bit for bit."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sitenet_training import build_prototypes

from sitenet_core.data import PackedStore
from sitenet_core.data.gathering import (
    MappedCrystals,
    ResidentCrystals,
    resident_bytes,
)
from sitenet_core.data.ragged import pack_records
from sitenet_core.families.sitenet.plugin import FAMILY

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PackedStore:
    return build_prototypes(tmp_path_factory.mktemp("stores"), 30)


def mapped(store: PackedStore, device: torch.device = CPU) -> MappedCrystals:
    return MappedCrystals(store, FAMILY.schema, FAMILY.inputs, device)


def resident(store: PackedStore, device: torch.device = CPU) -> ResidentCrystals:
    return ResidentCrystals.load(store, FAMILY.schema, FAMILY.inputs, device)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_both_ways_give_the_same_batch_bit_for_bit(
    store: PackedStore, data: st.DataObject
) -> None:
    row = st.integers(0, len(store) - 1)
    rows = np.array(data.draw(st.lists(row, min_size=1, max_size=12)))
    targets = np.linspace(0, 1, len(rows))[:, None]
    one, other = (
        FAMILY.collate(source.gather(rows), targets)
        for source in (mapped(store), resident(store))
    )
    for entry in fields(one):
        assert torch.equal(getattr(one, entry.name), getattr(other, entry.name))


def test_a_batch_is_made_without_looking_at_a_value(store: PackedStore) -> None:
    rows = np.array([4, 0, 17])
    expected = FAMILY.collate(mapped(store).gather(rows), None)
    for source in (mapped(store, META), resident(store, META)):
        found = FAMILY.collate(source.gather(rows), None)
        for entry in fields(found):
            tensor = getattr(found, entry.name)
            assert tensor.is_meta
            assert tensor.shape == getattr(expected, entry.name).shape
    assert expected.n_crystals == 3


def test_the_largest_stored_number_survives_on_a_device(store: PackedStore) -> None:
    source = resident(store)
    names = [n for n in source.arrays if store.array(n).dtype == np.uint16]
    assert set(names) == {"site_multiplicity", "pairs_per_block", "pair_multiplicity"}
    for name in names:
        assert source.arrays[name].tolist() == store.array(name).tolist()
    large = np.array([1, 40_000, 65_535], np.uint16)
    changed = PackedStore.open(store.path)
    changed._arrays["pair_multiplicity"] = large
    assert resident(changed).arrays["pair_multiplicity"].tolist() == large.tolist()


def test_memory_of_resident_arrays_is_known_before_they_are_there(
    store: PackedStore,
) -> None:
    arrays = resident(store).arrays
    total = sum(a.numel() * a.element_size() for a in arrays.values())
    assert resident_bytes(store, list(arrays)) == total > 0


def test_gathered_crystals_are_copies(store: PackedStore) -> None:
    ragged = mapped(store).gather(np.array([0]))
    ragged.arrays["pair_distance"].fill_(7.0)
    assert store.array("pair_distance").max() != 7.0


def test_resident_arrays_are_copies(store: PackedStore) -> None:
    resident(store).arrays["pair_distance"].fill_(7.0)
    assert store.array("pair_distance").max() != 7.0


def test_no_crystals_are_gathered_as_none() -> None:
    ragged = pack_records([], FAMILY.schema, FAMILY.inputs)
    assert ragged.n_crystals == 0
    with pytest.raises(ValueError, match="at least one crystal"):
        FAMILY.collate(ragged, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_batch_on_a_gpu_is_the_batch_of_the_host(
    store: PackedStore,
) -> None:
    rows, gpu = np.arange(20), torch.device("cuda")
    expected = FAMILY.collate(mapped(store).gather(rows), None)
    for source in (mapped(store, gpu), resident(store, gpu)):
        found = FAMILY.collate(source.gather(rows), None)
        for entry in fields(found):
            value = getattr(found, entry.name)
            assert value.is_cuda
            if entry.name != "targets":
                assert torch.equal(value.cpu(), getattr(expected, entry.name))

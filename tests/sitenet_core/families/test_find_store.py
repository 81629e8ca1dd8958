"""A store that is found by name or folder is one whose bytes can be trusted."""

from pathlib import Path

import pytest
from support.toy_store import ToySource, build_toy, change_a_byte, toys

from sitenet_core.data import PackedStore
from sitenet_core.errors import DataError, StoreError
from sitenet_core.families.stores import find_store


@pytest.fixture
def store(tmp_path: Path) -> PackedStore:
    return build_toy(tmp_path, ToySource(toys(5)))


def test_a_store_is_found_by_folder_and_by_the_start_of_its_name(
    store: PackedStore,
) -> None:
    for name in (str(store.path), store.path.name[:12]):
        assert find_store(name, store.path.parent).digest == store.digest
    with pytest.raises(DataError, match="no store begins with 'zz'"):
        find_store("zz", store.path.parent)


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_changed_byte_is_refused_however_the_store_is_found(
    store: PackedStore, *, opened_before: bool
) -> None:
    names = (str(store.path), store.path.name[:12])
    if opened_before:
        find_store(names[0])
    change_a_byte(store.path / "array-distance.bin")
    for name in names:
        with pytest.raises(StoreError, match=r"array-distance\.bin; delete the folder"):
            find_store(name, store.path.parent)

"""When a store's bytes are compared with its checksums."""

import os
import shutil
import time
from pathlib import Path

import pytest
from support.toy_store import ToySource, change_a_byte, toy_recipe, toys

from sitenet_core.data import (
    BuildOptions,
    PackedStore,
    list_stores,
    open_or_build,
    verification,
)
from sitenet_core.data.verification import ensure_verified
from sitenet_core.errors import StoreError

FILE = "array-distance.bin"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is appended to whenever a store is read as a whole."""
    calls: list[str] = []
    whole = PackedStore.verify

    def verify(store: PackedStore) -> None:
        calls.append(store.path.name)
        whole(store)

    monkeypatch.setattr(PackedStore, "verify", verify)
    return calls


def opened(root: Path) -> PackedStore:
    return open_or_build(ToySource(toys(5)), toy_recipe(), BuildOptions(root))


def test_a_store_is_read_once(tmp_path: Path, read: list[str]) -> None:
    store = opened(tmp_path)
    assert read == [store.path.name]
    opened(tmp_path)
    ensure_verified(PackedStore.open(store.path))
    assert read == [store.path.name]
    assert [summary.problem for summary in list_stores(tmp_path)] == [None]


def test_a_changed_byte_is_noticed_where_the_store_is_used(tmp_path: Path) -> None:
    store = opened(tmp_path)
    change_a_byte(store.path / FILE)
    for _ in range(2):
        with pytest.raises(StoreError, match=rf"{FILE}; delete the folder and build"):
            opened(tmp_path)


def test_a_changed_byte_is_noticed_although_its_time_was_set_back(
    tmp_path: Path,
) -> None:
    file = opened(tmp_path).path / FILE
    before = file.stat()
    # Longer than the kernel's clock takes to tick.
    time.sleep(0.05)
    change_a_byte(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    with pytest.raises(StoreError, match=FILE):
        opened(tmp_path)


def test_a_copy_and_a_touched_file_are_read_again(
    tmp_path: Path, read: list[str]
) -> None:
    store = opened(tmp_path / "first")
    shutil.copytree(store.path, tmp_path / "second" / store.path.name)
    opened(tmp_path / "second")
    assert len(read) == 2
    os.utime(store.path / FILE)
    opened(tmp_path / "first")
    assert len(read) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"digest": "other"}'])
def test_a_damaged_stamp_counts_as_none(
    tmp_path: Path, read: list[str], content: str
) -> None:
    store = opened(tmp_path)
    (stamp,) = store.path.glob(f"{verification.PREFIX}*")
    stamp.write_text(content)
    opened(tmp_path)
    assert len(read) == 2


def test_a_stamp_that_cannot_be_written_is_no_error(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_draft: Path, _stamp: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "replace", refuse)
    opened(tmp_path)
    opened(tmp_path)
    assert len(read) == 2
    (folder,) = tmp_path.iterdir()
    assert not list(folder.glob(f"{verification.PREFIX}*"))

"""How a store comes into being: whole, in order, with a row for what is missing."""

import errno
import logging
from pathlib import Path

import numpy as np
import pytest
from support.toy_store import (
    Toy,
    ToySource,
    build_toy,
    changed,
    toy_recipe,
    toys,
)

from sitenet_core.data import (
    BuildOptions,
    BuildProgress,
    build_store,
    hashed_file,
    open_or_build,
    packing,
    store_identity,
    store_path,
)
from sitenet_core.errors import DataError, InfrastructureError, StoreError


def names(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir())


def test_any_number_of_workers_gives_the_same_store(tmp_path: Path) -> None:
    source = ToySource([*toys(90), Toy(fail="no"), *toys(20)])
    one = build_toy(tmp_path / "one", source)
    two = build_toy(tmp_path / "two", source, workers=2)
    assert one.digest == two.digest
    assert two.ids == [f"toy-{i:04d}" for i in range(111) if i != 90]
    two.verify()


def test_crystals_are_drawn_as_they_are_needed(tmp_path: Path) -> None:
    source = ToySource(toys(10 * packing.CHUNK))
    drawn: list[int] = []

    def note(progress: BuildProgress) -> None:
        drawn.append(len(source.drawn) - progress.n_read)

    build_store(source, toy_recipe(), BuildOptions(tmp_path), note)
    assert len(drawn) == 10
    assert max(drawn) <= packing.CHUNK


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    seen: list[BuildProgress] = []
    source = ToySource([*toys(70), Toy(fail="no")])
    build_store(source, toy_recipe(), BuildOptions(tmp_path), seen.append)
    assert seen[-1] == BuildProgress(n_read=71, n_total=71, n_skipped=1)
    assert [p.n_read for p in seen] == [32, 64, 71]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unforeseen_failure_is_a_row_and_a_traceback_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    source = ToySource([*toys(30), Toy(crash="never seen before")])
    with caplog.at_level(logging.ERROR):
        store = build_toy(tmp_path, source, workers)
    row = store.report.skipped[0]
    assert row.id == "toy-0030"
    assert row.reason == "unexpected ZeroDivisionError: never seen before"
    assert "make_toy" in caplog.text


def test_a_value_that_does_not_fit_is_a_row(tmp_path: Path) -> None:
    recipe = toy_recipe(changed("atomic_numbers", np.array([300])))
    source = ToySource([Toy(("Na",)), Toy(("K",))])
    with pytest.raises(DataError, match=r"toy-0000: .*300; uint8 takes 0 to 255"):
        build_store(source, recipe, BuildOptions(tmp_path))


def test_more_failures_than_allowed_leave_no_store(tmp_path: Path) -> None:
    listed = [Toy(fail=f"reason {i}") if i % 5 == 0 else Toy() for i in range(40)]
    with pytest.raises(
        DataError, match=r"7 of 32 crystals.*21\.9%; allowed: 5\.0%"
    ) as info:
        build_store(ToySource(listed), toy_recipe(), BuildOptions(tmp_path))
    assert "toy-0000: reason 0\n" in str(info.value)
    assert str(info.value).endswith("and 2 more")
    assert names(tmp_path) == []


def test_as_many_failures_as_allowed_are_accepted(tmp_path: Path) -> None:
    listed = [*toys(19), Toy(fail="no")]
    report = build_store(ToySource(listed), toy_recipe(), BuildOptions(tmp_path))
    assert report.n_stored == 19


def test_reading_ends_when_the_limit_cannot_be_kept(tmp_path: Path) -> None:
    source = ToySource([Toy(fail="no")] * 1000)
    with pytest.raises(DataError, match="32 of 32"):
        build_store(source, toy_recipe(), BuildOptions(tmp_path, 1, 0.01))
    assert len(source.drawn) == packing.CHUNK


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ToySource([]), "holds no crystal"),
        (ToySource([Toy(fail="no")] * 3), "3 of 3 crystals"),
        (ToySource(toys(2), ids=["same", "same"]), "'same' occurs twice"),
    ],
)
def test_a_source_that_cannot_be_used_leaves_nothing_behind(
    tmp_path: Path, source: ToySource, message: str
) -> None:
    options = BuildOptions(tmp_path, max_failed_fraction=1.0)
    with pytest.raises(DataError, match=message):
        build_store(source, toy_recipe(), options)
    assert names(tmp_path) == []


def test_one_crystal_is_a_store(tmp_path: Path) -> None:
    store = build_toy(tmp_path, ToySource(toys(1)))
    assert len(store) == 1
    assert store.record(0)["atomic_numbers"].tolist() == [11]


def test_a_store_that_exists_is_opened_and_not_built_again(tmp_path: Path) -> None:
    source = ToySource(toys(5))
    options = BuildOptions(tmp_path)
    first = open_or_build(source, toy_recipe(), options)
    source.drawn.clear()
    second = open_or_build(source, toy_recipe(), options)
    assert source.drawn == []
    assert first.path == second.path == store_path(source, toy_recipe(), tmp_path)


def test_an_existing_store_is_held_to_the_limit_too(tmp_path: Path) -> None:
    source = ToySource([*toys(8), Toy(fail="no"), Toy(fail="no")])
    build_toy(tmp_path, source)
    with pytest.raises(DataError, match="2 of 10 crystals"):
        open_or_build(source, toy_recipe(), BuildOptions(tmp_path))


def test_a_damaged_store_is_neither_used_nor_replaced(tmp_path: Path) -> None:
    source = ToySource(toys(5))
    path = store_path(source, toy_recipe(), tmp_path)
    path.mkdir()
    (path / "header.json").write_text("{")
    with pytest.raises(StoreError, match="delete the folder"):
        open_or_build(source, toy_recipe(), BuildOptions(tmp_path))
    with pytest.raises(StoreError, match="delete the folder"):
        build_store(source, toy_recipe(), BuildOptions(tmp_path))
    assert names(tmp_path) == [path.name]


def test_the_identity_follows_data_settings_and_version() -> None:
    source = ToySource(toys(5))
    recipe = toy_recipe()
    identity = store_identity(source, recipe)
    assert identity == store_identity(ToySource(toys(5), label="renamed"), recipe)
    others = {
        store_identity(ToySource(toys(6)), recipe),
        store_identity(ToySource(toys(5), folds=[0] * 5), recipe),
        store_identity(source, toy_recipe(scale=2.0)),
    }
    assert len({identity, *others}) == 4
    assert len(identity) == 32


def test_a_root_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="SITENET_STORES"):
        build_store(ToySource(toys(2)), toy_recipe(), BuildOptions(tmp_path / "file"))


def test_a_full_disk_is_said_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hashed_file.HashedFile, "write", refuse)
    with pytest.raises(InfrastructureError, match=r"No space left.*free space"):
        build_store(ToySource(toys(2)), toy_recipe(), BuildOptions(tmp_path))
    assert names(tmp_path) == []

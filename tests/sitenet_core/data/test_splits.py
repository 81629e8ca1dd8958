"""Which crystals are on which side, and that near-copies are never on two."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_store import (
    ListedStore,
    Toy,
    ToySource,
    build_toy,
    data_config,
    toys,
)

from sitenet_core.data import (
    PackedStore,
    Split,
    load_split,
    make_split,
    prototype_keys,
)
from sitenet_core.errors import DataError


def listed(keys: list[int], **fields: Any) -> ListedStore:
    n = len(keys)
    ids = [f"c{i:03d}" for i in range(n)]
    formulas = [f"F{key}" for key in keys]
    defaults: dict[str, Any] = {"n_sites": np.ones(n, dtype=int)}
    return ListedStore(ids, reduced_formulas=formulas, **(defaults | fields))


def split_of(store: ListedStore, cell_limit: int = 500, **split: Any) -> Split:
    return make_split(cast("PackedStore", store), data_config(**split), cell_limit)


def everything(split: Split) -> list[str]:
    left_out = [row.id for row in split.excluded]
    return sorted([*split.train, *split.validation, *split.test, *left_out])


KEYS = st.lists(st.integers(0, 9), min_size=8, max_size=60).filter(
    lambda keys: len(set(keys)) >= 3
)
FRACTIONS = st.floats(0.05, 0.6)


@given(KEYS, st.sampled_from(["random", "composition"]), st.integers(0, 99), FRACTIONS)
def test_every_crystal_is_in_one_part_or_has_a_row(
    keys: list[int], kind: str, seed: int, fraction: float
) -> None:
    store = listed(keys)
    split = split_of(store, kind=kind, seed=seed, test_fraction=fraction)
    assert everything(split) == store.ids
    assert split.train
    assert split.validation
    assert split.test


@given(KEYS, st.integers(0, 99), FRACTIONS, FRACTIONS)
def test_no_composition_is_in_two_parts(
    keys: list[int], seed: int, test_fraction: float, validation_fraction: float
) -> None:
    store = listed(keys)
    split = split_of(
        store,
        kind="composition",
        seed=seed,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
    )
    key_of = dict(zip(store.ids, store.reduced_formulas, strict=True))
    parts = [{key_of[i] for i in p} for p in (split.train, split.validation)]
    parts.append({key_of[i] for i in split.test})
    assert len(set.union(*parts)) == sum(map(len, parts))


@given(
    st.lists(st.integers(1, 12), min_size=6, max_size=25),
    st.integers(0, 99),
    st.floats(0.1, 0.5),
)
def test_fractions_are_met_as_well_as_the_groups_permit(
    counts: list[int], seed: int, fraction: float
) -> None:
    keys = [key for key, count in enumerate(counts) for _ in range(count)]
    split = split_of(
        listed(keys), kind="composition", seed=seed, test_fraction=fraction
    )
    taken = {keys[int(i[1:])] for i in split.test}
    target = fraction * len(keys)
    if len(counts) - len(taken) > 2:
        left = min(c for key, c in enumerate(counts) if key not in taken)
        largest_taken = max(counts[key] for key in taken)
        allowed = left / 2 if len(taken) > 1 else max(left / 2, largest_taken)
        assert abs(len(split.test) - target) <= allowed + 1e-9


@given(st.integers(10, 300), st.floats(0.1, 0.5), st.floats(0.1, 0.5))
def test_random_fractions_are_met_to_half_a_crystal(
    n: int, test_fraction: float, validation_fraction: float
) -> None:
    split = split_of(
        listed(list(range(n))),
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
    )
    assert abs(len(split.test) - test_fraction * n) <= 0.5 + 1e-9
    pool = n - len(split.test)
    assert abs(len(split.validation) - validation_fraction * pool) <= 0.5 + 1e-9


@given(KEYS, st.sampled_from(["random", "composition"]), st.integers(0, 99))
def test_the_order_of_the_store_does_not_matter(
    keys: list[int], kind: str, seed: int
) -> None:
    store = listed(keys)
    order = np.random.default_rng(seed).permutation(len(keys))
    original = split_of(store, kind=kind, seed=seed)
    assert split_of(store.shuffled(order), kind=kind, seed=seed) == original


def test_seeds_give_splits_of_their_own() -> None:
    store = listed(list(range(40)))
    assert len({split_of(store, seed=seed).digest for seed in range(5)}) == 5


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    store = listed(list(range(40)))
    np.random.seed(1)  # noqa: NPY002 - the global state is the point
    before = np.random.get_state()  # noqa: NPY002
    first = split_of(store)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    np.random.seed(2)  # noqa: NPY002
    assert split_of(store) == first


def test_the_test_set_does_not_change_with_the_training_part() -> None:
    store = listed(list(range(60)), n_sites=np.arange(60))
    reference = split_of(store)
    for changes in (
        {"cell_limit": 30},
        {"max_training_structures": 12},
        {"validation_fraction": 0.5},
    ):
        assert split_of(store, **cast("Any", changes)).test == reference.test


def test_official_folds_are_the_test_set() -> None:
    folds = np.array([i % 5 for i in range(40)])
    folds[7] = -1
    split = split_of(listed([0] * 40, folds=folds), kind="fold", test_fold=3)
    assert split.test == tuple(f"c{i:03d}" for i in range(3, 40, 5))
    assert [(r.id, r.reason) for r in split.excluded] == [
        ("c007", "in no official fold")
    ]
    assert len(split.train) + len(split.validation) == 31
    assert len(split.validation) == 6


def test_a_fold_that_is_not_there_is_refused_with_those_that_are() -> None:
    folds = np.array([0, 1, 1, 2, 2, 2])
    with pytest.raises(DataError, match=r"fold 4; folds that are there: 0, 1, 2\."):
        split_of(listed([0] * 6, folds=folds), kind="fold", test_fold=4)
    with pytest.raises(DataError, match="no official folds"):
        split_of(listed([0] * 6), kind="fold")


def test_a_cell_over_the_limit_is_tested_on_but_never_trained_on() -> None:
    n_sites = np.where(np.arange(50) % 2, 60, 10)
    split = split_of(listed(list(range(50)), n_sites=n_sites), cell_limit=50)
    large = {f"c{i:03d}" for i in range(1, 50, 2)}
    assert not large & {*split.train, *split.validation}
    assert large & set(split.test)
    assert {row.id for row in split.excluded} == large - set(split.test)
    assert split.excluded[0].reason == (
        "60 sites in the primitive cell, over the training limit of 50"
    )


def test_a_cell_at_the_limit_is_trained_on() -> None:
    split = split_of(listed(list(range(20)), n_sites=np.full(20, 50)), cell_limit=50)
    assert split.excluded == ()


def test_a_crystal_without_a_value_is_left_out_with_a_row() -> None:
    values = np.arange(20.0)
    values[[3, 11]] = [np.nan, np.inf]
    split = split_of(listed(list(range(20)), values=values))
    assert [row.id for row in split.excluded] == ["c003", "c011"]
    assert split.excluded[0].reason == "no number in column 'gap'"


def test_the_training_part_is_cut_and_the_rest_listed() -> None:
    split = split_of(listed(list(range(100))), max_training_structures=10)
    assert len(split.test) == 20
    assert (len(split.train), len(split.validation)) == (8, 2)
    assert len(split.excluded) == 70
    assert {r.reason for r in split.excluded} == {"cut to 10 training structures"}


@pytest.mark.parametrize("kind", ["random", "composition"])
def test_too_few_crystals_are_refused_with_what_is_needed(kind: str) -> None:
    with pytest.raises(DataError, match=r"1 crystal.*at least 3 are needed"):
        split_of(listed([0]), kind=kind)


def test_too_few_groups_are_refused_with_what_is_needed() -> None:
    with pytest.raises(DataError, match=r"9 crystals in 2 different compositions"):
        split_of(listed([0, 1, 1] * 3), kind="composition")


def test_a_limit_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match=r"leaves 0 crystals.*at most 5 sites"):
        split_of(listed(list(range(9)), n_sites=np.full(9, 6)), cell_limit=5)


def test_one_large_group_is_left_to_train_on() -> None:
    keys = [0, 1, *[2] * 98]
    for seed in range(8):
        split = split_of(listed(keys), kind="composition", seed=seed)
        assert len(split.test) == len(split.validation) == 1
        assert len(split.train) == 98


def test_three_crystals_fill_each_part() -> None:
    split = split_of(listed([0, 1, 2]))
    assert [len(p) for p in (split.train, split.validation, split.test)] == [1, 1, 1]


def test_a_data_set_with_one_crystal_cannot_be_split(tmp_path: Path) -> None:
    store = build_toy(tmp_path, ToySource(toys(1)))
    with pytest.raises(DataError, match=r"source toys.*1 crystal with a number"):
        make_split(store, data_config(), 500)


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    store = build_toy(tmp_path, ToySource(toys(5)))
    with pytest.raises(DataError, match="no column 'band_gap'; its columns: gap"):
        make_split(store, data_config("band_gap"), 500)


def test_isovalent_substitution_does_not_cross_a_prototype_split(
    tmp_path: Path,
) -> None:
    families = [
        [("Na", "Cl"), ("K", "Br"), ("Li", "F"), ("Na", "Br")],
        [("Na",), ("K",), ("Li",)],
        [("Mg", "O", "O"), ("Ca", "S", "S"), ("Mg", "S", "S")],
        [("Al", "N", "N", "N"), ("Ga", "P", "P", "P")],
        [("C", "Si", "Ge"), ("Si", "Ge", "C")],
    ]
    listed_toys = [Toy(e, 5 + i / 10) for f in families for i, e in enumerate(f)]
    family_of = {
        f"toy-{n:04d}": index
        for n, index in enumerate(i for i, f in enumerate(families) for _ in f)
    }
    source = ToySource(listed_toys)
    store = build_toy(tmp_path, source)
    prototypes = prototype_keys(source, store.ids)
    for seed in range(6):
        data = data_config(kind="prototype", seed=seed)
        split = make_split(store, data, 500, prototypes)
        parts = [
            {family_of[i] for i in part}
            for part in (split.train, split.validation, split.test)
        ]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)), split


def test_prototypes_found_by_several_processes_are_the_same() -> None:
    source = ToySource(toys(80, (1, 2, 3, 4)))
    ids = [item.id for item in source.items()]
    found = prototype_keys(source, ids, workers=2)
    assert found == prototype_keys(source, ids)
    assert list(found) == ids
    assert len(set(found.values())) == 4


def test_prototypes_are_found_only_of_the_crystals_asked_for() -> None:
    source = ToySource([Toy(), Toy(crash="never decoded"), Toy(("Na",))])
    assert set(prototype_keys(source, ["toy-0000", "toy-0002"])) == {
        "toy-0000",
        "toy-0002",
    }


def test_a_crystal_without_prototype_is_refused_where_the_split_needs_it() -> None:
    with pytest.raises(DataError, match=r"crystal 'c000' .* has no prototype"):
        split_of(listed(list(range(9))), kind="prototype")


def test_a_saved_split_is_read_as_it_was(tmp_path: Path) -> None:
    split = split_of(listed(list(range(50))), max_training_structures=20, seed=4)
    path = tmp_path / "split.json"
    split.save(path)
    assert load_split(path) == split
    assert [p.name for p in tmp_path.iterdir()] == ["split.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2; this program reads version 1"),
        ({"train": ["c001"]}, "do not fit the file's digest"),
        ({"digest": "0"}, "do not fit the file's digest"),
        ({"surprise": 1}, "not a split as it was saved"),
        ({"excluded": ["c001"]}, "not a split as it was saved"),
    ],
)
def test_a_changed_split_file_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "split.json"
    split_of(listed(list(range(20)))).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        load_split(path)


@pytest.mark.parametrize("text", ["", "[]"])
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match=r"not JSON|not a split"):
        load_split(tmp_path / "split.json")
    with pytest.raises(DataError, match="cannot be read"):
        load_split(tmp_path / "none.json")

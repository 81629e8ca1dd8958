"""Real structures, from the source to a split, as `sitenet data build` does it."""

from pathlib import Path

import numpy as np
from support.toy_store import FirstOf

from sitenet_core.config import DataConfig
from sitenet_core.data import (
    BuildOptions,
    FeatureRecipe,
    PackedStore,
    conform,
    make_split,
    open_or_build,
    prototype_keys,
)
from sitenet_core.families import get_family, recipe
from sitenet_core.structures.record import StructureRecord
from sitenet_core.structures.sources import decode, open_source
from sitenet_core.structures.sources.source import Source


def site_net(max_atoms: int) -> FeatureRecipe:
    family = get_family("sitenet")
    changes = {"max_atoms": max_atoms}
    return recipe(family, family.default_settings.model_copy(update=changes))


def config(source: str, column: str, kind: str) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": source,
            "target": {"column": column, "name": column, "unit": "1"},
            "split": {"kind": kind},
        }
    )


def assert_holds(store: PackedStore, source: Source, made_by: FeatureRecipe) -> None:
    """Assert that every stored array is what its crystal gives on its own."""
    items = list(source.items())
    assert store.ids == [item.id for item in items]
    for index, item in enumerate(items):
        record = decode(item)
        assert isinstance(record, StructureRecord)
        arrays = made_by.featurise(record.structure, made_by.settings)
        expected = conform(made_by.schema, arrays)
        found = store.record(index)
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, strict=True)
    n_sites = store.column("n_sites")
    np.testing.assert_array_equal(store.sizes("site"), n_sites)
    np.testing.assert_array_equal(store.sizes("block"), n_sites * (n_sites + 1) // 2)
    n_unique = store.column("n_unique_sites")
    np.testing.assert_array_equal(store.sizes("unique_site"), n_unique)


def test_a_table_of_real_crystals_is_stored_exactly(
    shared_data: Path, tmp_path: Path
) -> None:
    data = config("tiny_small.parquet", "gap_pbe", "prototype")
    source = open_source(data, shared_data)
    made_by = site_net(20)
    store = open_or_build(source, made_by, BuildOptions(tmp_path, workers=2))
    assert len(store) == 60
    assert_holds(store, source, made_by)
    split = make_split(store, data, 20, prototype_keys(source, store.ids, workers=2))
    parts = (split.train, split.validation, split.test)
    assert sorted(i for part in parts for i in part) == sorted(store.ids)


def test_the_embedded_crystals_are_stored_and_split_without_near_copies(
    tmp_path: Path,
) -> None:
    data = config("embedded", "density", "composition")
    source = FirstOf(open_source(data, None), 60)
    store = open_or_build(source, site_net(8), BuildOptions(tmp_path, workers=2))
    assert store.report.n_read == len(source) == 60
    assert store.report.n_stored == len(store)
    assert np.isfinite(store.labels("density")).all()
    store.verify()
    split = make_split(store, data, 50)
    formula = dict(zip(store.ids, store.reduced_formulas, strict=True))
    parts = [{formula[i] for i in p} for p in (split.train, split.validation)]
    parts.append({formula[i] for i in split.test})
    assert sum(map(len, parts)) == len(set.union(*parts))
    n_sites = dict(zip(store.ids, store.column("n_unique_sites").tolist(), strict=True))
    assert all(n_sites[i] <= 50 for i in (*split.train, *split.validation))

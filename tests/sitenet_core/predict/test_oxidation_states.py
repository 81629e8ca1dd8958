"""Oxidation states count only for a model that was trained on some."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from support.sitenet_training import CONFIG, TARGET
from support.structure_files import rock_salt
from support.toy_store import data_config

from sitenet_core.bundle import Bundle, describe, load_bundle, save_bundle
from sitenet_core.config import DataConfig
from sitenet_core.data import BuildOptions, PackedStore, make_split, open_or_build
from sitenet_core.families import ModelMeta, get_family, recipe
from sitenet_core.predict import evaluate, predict_structures, predict_texts
from sitenet_core.structures.sources import open_source
from sitenet_core.training import TrainingData

SALTS = [("Na", "Cl"), ("K", "Br"), ("Li", "F"), ("Rb", "I"), ("Cs", "Cl"), ("Na", "F")]
DECORATED, PLAIN = rock_salt("Na+", "Cl-"), rock_salt("Na", "Cl")


def store_of(folder: Path, *, decorated: bool) -> PackedStore:
    """Return the store of six salts, with or without oxidation states."""
    signs = ("+", "-") if decorated else ("", "")
    rows = ["id,density"]
    files = folder / "files"
    files.mkdir(parents=True)
    for i, (cation, anion) in enumerate(SALTS):
        salt = rock_salt(cation + signs[0], anion + signs[1], 6)
        salt.to(str(files / f"s{i}.cif"), fmt="cif")
        rows.append(f"s{i},{i}")
    (files / "id_prop.csv").write_text("\n".join(rows))
    family = get_family("sitenet")
    source = open_source(DataConfig(source=str(files), target=TARGET), None)
    made_by = recipe(family, family.settings(CONFIG))
    return open_or_build(source, made_by, BuildOptions(folder / "stores"))


def bundle_of(folder: Path, *, decorated: bool) -> Bundle:
    """Return a model with the weights it was drawn with, as if trained on the salts."""
    store = store_of(folder, decorated=decorated)
    split = make_split(store, data_config("density"), 12)
    data = TrainingData(store, split, TARGET)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = get_family("sitenet").build(CONFIG, ModelMeta(TARGET))
    save_bundle(folder / "bundle", network.state_dict(), describe(CONFIG, data, 0, {}))
    return load_bundle(folder / "bundle")


def predicted(bundle: Bundle, *structures: Structure) -> list[float]:
    texts = [(str(i), s.to(fmt="cif")) for i, s in enumerate(structures)]
    rows = predict_texts(bundle, texts)
    values = [row.prediction for row in rows]
    assert None not in values
    return [value for value in values if value is not None]


def test_states_that_training_never_had_are_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = bundle_of(tmp_path, decorated=False)
    assert bundle.header.data.oxidation_states is False
    with caplog.at_level(logging.WARNING, "sitenet_core.predict"):
        rows = predict_structures(bundle, [("a", DECORATED), ("b", DECORATED)])
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        "oxidation states are left out"
    ]
    plain, decorated = predicted(bundle, PLAIN, DECORATED)
    assert decorated == pytest.approx(plain, rel=1e-6)
    assert rows[0].prediction == pytest.approx(plain, rel=1e-6)
    assert [site.specie.oxi_state for site in DECORATED[:1]] == [1]


def test_states_of_a_store_are_left_out_as_those_of_a_file(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "plain", decorated=False)
    stores = [
        store_of(tmp_path / str(decorated), decorated=decorated)
        for decorated in (False, True)
    ]
    ids = [f"s{i}" for i in range(6)]
    plain, decorated = (
        [p.prediction for p in evaluate(bundle, store, ids).predictions]
        for store in stores
    )
    assert decorated == pytest.approx(plain, rel=1e-6)


def test_states_are_kept_where_training_had_some(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, decorated=True)
    assert bundle.header.data.oxidation_states is True
    plain, decorated = predicted(bundle, PLAIN, DECORATED)
    assert not np.isclose(plain, decorated, rtol=1e-4)

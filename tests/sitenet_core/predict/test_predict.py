"""Predictions: the numbers of the model, and a reason where there is none."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from support.toy_training import (
    ToyBatch,
    ToyFamily,
    ToyNetwork,
    ToyStore,
    toy_config,
    toy_data,
    train_toy,
)
from torch import Tensor

from sitenet_core.bundle import Bundle, bundle_from_checkpoint, load_bundle
from sitenet_core.data.ragged import Ragged
from sitenet_core.errors import ConfigError, DataError, TrialError
from sitenet_core.families import batch_of
from sitenet_core.predict import (
    PredictionRow,
    evaluate,
    predict_paths,
    predict_structures,
    predict_texts,
)

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return the model of a short toy training."""
    result, _ = train_toy(tmp_path / "training")
    folder = tmp_path / "bundle"
    best = result.best_checkpoint
    bundle_from_checkpoint(folder, best, toy_config(), toy_data(), {})
    return load_bundle(folder)


def crystal(*elements: str) -> Structure:
    """Return the elements in a row in a long cell."""
    n = len(elements)
    coords = [[i / n, 0, 0] for i in range(n)]
    return Structure(Lattice.orthorhombic(3 * n, 4, 5), list(elements), coords)


def by_hand(bundle: Bundle, numbers: Sequence[int]) -> float:
    """Return the network's answer to one crystal alone."""
    beads = torch.tensor(numbers, dtype=torch.float32)[:, None]
    batch = ToyBatch(
        beads, torch.zeros(len(numbers), dtype=torch.int64), torch.zeros(1, 1)
    )
    with torch.no_grad():
        return float(bundle.network(batch))


def test_structures_are_predicted_in_order_whatever_the_batch(bundle: Bundle) -> None:
    elements = ["Na", "Cl", "Mg", "O", "Si"]
    crystals = [crystal(*elements[: 1 + i % 5]) for i in range(23)]
    rows = predict_structures(bundle, [(str(i), s) for i, s in enumerate(crystals)])
    assert [row.id for row in rows] == [str(i) for i in range(23)]
    expected = [by_hand(bundle, [s.specie.Z for s in c]) for c in crystals]
    assert [row.prediction for row in rows] == pytest.approx(expected, rel=1e-5)
    assert {(row.unit, row.status, row.reason) for row in rows} == {("eV", "ok", "")}


def test_more_structures_than_are_held_at_a_time_lose_none(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitenet_core.predict.structures._CHUNK", 3)
    rows = predict_structures(bundle, [(str(i), crystal("Na")) for i in range(8)])
    assert [row.id for row in rows] == list("01234567")
    assert len({row.prediction for row in rows}) == 1


def test_a_structure_that_cannot_be_used_is_a_row_with_the_reason(
    bundle: Bundle,
) -> None:
    overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.001]])
    large = crystal(*["Na"] * 61)
    rows = predict_structures(
        bundle, [("a", overlapping), ("b", crystal("Na")), ("c", large)]
    )
    assert [row.status for row in rows] == ["failed", "ok", "failed"]
    assert "overlap" in rows[0].reason
    assert rows[2] == PredictionRow(
        "c", None, "eV", "failed", "61 sites; the toy takes 60"
    )


def test_an_unforeseen_failure_of_one_structure_loses_no_other(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def checked(structure: Structure) -> Structure:
        if structure[0].specie.symbol == "Cl":
            raise MemoryError("no room for 8 EiB")
        return structure

    monkeypatch.setattr("sitenet_core.structures.checks.check_structure", checked)
    rows = predict_structures(bundle, [(e, crystal(e)) for e in ("Na", "Cl", "Mg")])
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert rows[1].reason == "unexpected MemoryError: no room for 8 EiB"
    (record,) = caplog.records
    assert record.getMessage() == "unexpected failure of structure Cl"
    assert record.exc_info is not None


def test_texts_are_read_as_files_are(bundle: Bundle) -> None:
    texts = [("salt", crystal("Na", "Cl").to(fmt="cif")), ("empty", " ")]
    rows = predict_texts(bundle, texts)
    assert rows[0].prediction == pytest.approx(by_hand(bundle, [11, 17]), rel=1e-5)
    assert rows[1].status == "failed"
    assert rows[1].reason.startswith("empty: is empty; give a CIF")


def write_half_broken(folder: Path) -> None:
    """Fill a folder with three good files, three bad ones and one of another kind."""
    (folder / "deeper").mkdir(parents=True)
    crystal("Na", "Cl").to(str(folder / "b_good.cif"), fmt="cif")
    crystal("Mg", "O").to(str(folder / "deeper" / "POSCAR"), fmt="poscar")
    crystal("Si").to(str(folder / "e_good.json"), fmt="json")
    (folder / "a_bad.cif").write_text("not a crystal")
    (folder / "c_bad.cif").write_text("")
    (folder / "d_bad.vasp").write_text("1 2 3")
    (folder / "README.txt").write_text("nothing to predict")


def test_in_a_half_broken_folder_the_good_half_is_predicted(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    write_half_broken(folder)
    rows = predict_paths(bundle, [folder])
    names = [row.id.removeprefix(f"{folder}/") for row in rows]
    assert names == [
        "a_bad.cif",
        "b_good.cif",
        "c_bad.cif",
        "d_bad.vasp",
        "deeper/POSCAR",
        "e_good.json",
    ]
    assert [row.status for row in rows] == ["failed", "ok"] + ["failed"] * 2 + [
        "ok"
    ] * 2
    for row in rows:
        assert bool(row.reason) == (row.prediction is None)
        assert row.status == "ok" or row.id in row.reason
    assert rows[1].prediction == pytest.approx(by_hand(bundle, [11, 17]), rel=1e-5)


def test_an_archive_gives_what_its_folder_gives(bundle: Bundle, tmp_path: Path) -> None:
    folder, path = tmp_path / "mixed", tmp_path / "mixed.zip"
    write_half_broken(folder)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/b_good.cif", "resource fork")
    packed, unpacked = predict_paths(bundle, [path]), predict_paths(bundle, [folder])
    assert [row.id.removeprefix(f"{path}:") for row in packed] == [
        row.id.removeprefix(f"{folder}/") for row in unpacked
    ]
    assert [row.prediction for row in packed] == [row.prediction for row in unpacked]


def test_paths_are_taken_in_the_order_given(bundle: Bundle, tmp_path: Path) -> None:
    files = [tmp_path / "z.cif", tmp_path / "missing.cif", tmp_path / "a.cif"]
    for file in (files[0], files[2]):
        crystal("Na").to(str(file), fmt="cif")
    rows = predict_paths(bundle, files)
    assert [row.id for row in rows] == [str(file) for file in files]
    assert "cannot be read (No such file or directory)" in rows[1].reason


def test_an_empty_folder_and_a_broken_archive_are_rows(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    rows = predict_paths(bundle, [tmp_path / "empty", tmp_path / "broken.zip"])
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "holds no structure file; give a CIF" in rows[0].reason
    assert "cannot be read as a zip archive" in rows[1].reason


def test_a_number_that_is_none_is_a_failed_row(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ToyNetwork, "forward", lambda _, b: torch.full((b.n_crystals, 1), torch.nan)
    )
    (row,) = predict_structures(bundle, [("a", crystal("Na"))])
    assert (row.status, row.prediction) == ("failed", None)
    assert "predicts nan" in row.reason


def test_a_batch_too_large_for_memory_is_taken_apart(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = ToyNetwork.forward

    def small_machine(self: ToyNetwork, batch: ToyBatch) -> Tensor:
        if len(batch.beads) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(ToyNetwork, "forward", small_machine)
    crystals = [crystal("Na"), crystal("Na", "Cl", "O"), crystal("Mg", "O")]
    rows = predict_structures(bundle, [(str(i), s) for i, s in enumerate(crystals)])
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert "does not fit into memory" in rows[1].reason


def test_evaluation_counts_every_crystal_once(bundle: Bundle) -> None:
    data = toy_data()
    found = evaluate(bundle, data.store, data.split.test)
    assert found.n == 7 == len(found.predictions)
    assert [p.id for p in found.predictions] == list(data.split.test)
    errors = np.array([p.prediction - p.target for p in found.predictions])
    values = data.store.labels("y")[33:]
    assert [p.target for p in found.predictions] == values.tolist()
    assert found.mae == pytest.approx(np.abs(errors).mean())
    assert found.rmse == pytest.approx(np.sqrt((errors**2).mean()))
    record = data.store.record(35)
    alone = bundle.network(batch_of(ToyFamily(), [record])).item()
    assert found.predictions[2].prediction == pytest.approx(alone, rel=1e-5)


def test_validation_is_reproduced_by_evaluation(tmp_path: Path) -> None:
    data = toy_data()
    result, _ = train_toy(tmp_path / "training", data=data)
    best = result.best_checkpoint
    folder = bundle_from_checkpoint(tmp_path / "b", best, toy_config(), data, {})
    found = evaluate(load_bundle(folder), data.store, data.split.validation)
    assert found.mae == pytest.approx(result.best_val_mae, rel=1e-6)


def test_evaluation_refuses_what_it_cannot_answer_for(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = toy_data().store
    with pytest.raises(DataError, match=r"no crystal to evaluate on"):
        evaluate(bundle, store, [])
    other = ToyStore()
    other.header.settings = {"scale": 3.0}
    with pytest.raises(ConfigError, match=r"scale is 3.0 in the store and 1.0 here"):
        evaluate(bundle, other, ["toy-1"])  # type: ignore[arg-type]
    monkeypatch.setattr(
        ToyNetwork, "forward", lambda _, b: torch.full((b.n_crystals, 1), torch.nan)
    )
    with pytest.raises(TrialError, match=r"'toy-1': the model predicts nan"):
        evaluate(bundle, store, ["toy-1"])


def test_batches_stay_within_the_budget_of_the_configuration(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    collate = ToyFamily.collate

    def watched(
        self: ToyFamily, ragged: Ragged, targets: np.ndarray | None
    ) -> ToyBatch:
        sizes.append(len(ragged.arrays["beads"]))
        return collate(self, ragged, targets)

    monkeypatch.setattr(ToyFamily, "collate", watched)
    predict_structures(bundle, [(str(i), crystal("Na", "Cl")) for i in range(20)])
    assert sizes == [12, 12, 12, 4]

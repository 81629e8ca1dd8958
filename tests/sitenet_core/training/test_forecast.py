"""What is forecast of a training, and what a calibration makes of measurements."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sitenet_training import build_prototypes

from sitenet_core.data import PackedStore
from sitenet_core.errors import DataError, InfrastructureError
from sitenet_core.families import get_family
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training.calibrating import (
    Calibrating,
    calibrated,
    calibration_path,
    probe_configs,
    this_machine,
)
from sitenet_core.training.calibration import (
    Amounts,
    Calibration,
    Machine,
    Probed,
    fit_calibration,
    non_negative,
)
from sitenet_core.training.forecast import amounts, forecast, store_sizes
from sitenet_core.training.probe import (
    Measurement,
    Probe,
    chosen_rows,
    measure,
    measure_apart,
)

MACHINE = Machine("sitenet", 2, "cpu", "a processor", 1, "2.0", "c0")
WORK = (1e-11, 4e-9, 3e-3, 5e-3)
BYTES = (1.1, 3e7)
SMALL = Amounts(10, 20, 1e11, 1e9, 1e8, 100_000)
PROBED = (Probed(SMALL, 2.5, 2e8),)
KNOWN = Calibration(MACHINE, None, 500_000_000, WORK, BYTES, PROBED)
WIDTHS = {"interaction_dim_per_head": 32, "attention_heads": 8}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PackedStore:
    return build_prototypes(tmp_path_factory.mktemp("stores"))


def sizes_of(n_crystals: int, sites: int, pairs: int) -> dict[str, np.ndarray]:
    return {
        "n_unique_sites": np.full(n_crystals, sites),
        "n_sites": np.full(n_crystals, sites),
        "n_pairs": np.full(n_crystals, pairs),
    }


def paper(**model: Any) -> SiteNetConfig:
    return SiteNetConfig.from_preset("paper", {"model": model})


def some_amounts(n: int) -> list[Amounts]:
    rng = np.random.default_rng(0)
    factors = np.exp(rng.uniform(-2, 2, (n, 6)))
    return [
        Amounts(
            steps=int(10 * f[0]) + 1,
            groups=int(40 * f[1]) + 1,
            flops=SMALL.flops * f[2],
            numbers=SMALL.numbers * f[3],
            kept_bytes=SMALL.kept_bytes * f[4],
            parameters=int(SMALL.parameters * f[5]),
        )
        for f in factors
    ]


def test_coefficients_are_recovered_from_what_they_give() -> None:
    probed = [Probed(a, KNOWN.seconds(a), KNOWN.peak_bytes(a)) for a in some_amounts(8)]
    found = fit_calibration(MACHINE, probed, KNOWN.process_bytes)
    np.testing.assert_allclose(found.per_work, WORK, rtol=1e-8)
    np.testing.assert_allclose(found.per_byte, BYTES, rtol=1e-8)
    assert found.process_bytes == KNOWN.process_bytes
    assert found.probed == tuple(probed)


def test_noise_leaves_forecasts_near_the_truth() -> None:
    rng = np.random.default_rng(1)
    probed = [
        Probed(a, KNOWN.seconds(a) * noise, KNOWN.peak_bytes(a) / noise)
        for a, noise in zip(
            some_amounts(7), rng.uniform(0.95, 1.05, 7).tolist(), strict=True
        )
    ]
    found = fit_calibration(MACHINE, probed, 0)
    for one in some_amounts(40):
        assert found.seconds(one) == pytest.approx(KNOWN.seconds(one), rel=0.25)
        assert found.peak_bytes(one) == pytest.approx(KNOWN.peak_bytes(one), rel=0.25)


def test_a_coefficient_that_would_be_negative_is_nothing() -> None:
    columns = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 2.5]])
    measured = columns @ [2.0, -0.3]
    free = np.linalg.lstsq(columns / measured[:, None], np.ones(3), rcond=None)[0]
    assert free[1] < 0
    first, second = non_negative(columns, measured)
    assert second == 0
    assert 1.5 < first < 2.0


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "below" / "calibration.json"
    KNOWN.save(path)
    assert Calibration.load(path) == KNOWN
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "list indices"),
        ('{"format": 0}', "format 0 instead of 2"),
        ('{"format": 1}', "format 1 instead of 2"),
        ('{"format": 2}', "machine"),
    ],
)
def test_a_damaged_calibration_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"calibration\.json.*{reason}.*remove it"):
        Calibration.load(path)


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_the_peak_is_flat_in_the_supercell_and_the_time_is_not(norm: str) -> None:
    config = paper(normalization=norm)
    few, many = (
        forecast(config, sizes_of(400, 20, pairs), KNOWN) for pairs in (1000, 8000)
    )
    assert 0.6 * few.peak_bytes < many.peak_bytes < 1.1 * few.peak_bytes
    assert many.seconds_per_epoch > 6 * few.seconds_per_epoch


def test_a_batch_that_is_not_divided_keeps_more_with_every_pair() -> None:
    config = paper(normalization="batch")
    peaks = [
        amounts(config, sizes_of(200, 20, pairs), None).kept_bytes
        for pairs in (200, 400, 800)
    ]
    assert peaks[2] - peaks[1] == pytest.approx(2 * (peaks[1] - peaks[0]), rel=0.05)
    assert peaks[2] > 3 * peaks[0]
    above = amounts(config, sizes_of(200, 20, 4000), None).kept_bytes
    assert above < 4 * peaks[2], "in parts, little of a pair is kept"


def test_the_paper_configuration_stays_small_at_any_supercell() -> None:
    kept = amounts(paper(), sizes_of(400, 20, 6000), None).kept_bytes
    assert 50 * 2**20 < kept < 200 * 2**20


@pytest.mark.parametrize("norm", ["layer", "none", "batch"])
def test_forecasts_are_positive_and_grow_with_data_and_widths(norm: str) -> None:
    sizes, more = sizes_of(180, 20, 1000), sizes_of(360, 20, 1000)
    config = paper(normalization=norm)
    base = forecast(config, sizes, KNOWN)
    assert min(base.peak_bytes, base.seconds_per_epoch, base.n_parameters) > 0
    wider = forecast(paper(normalization=norm, **WIDTHS), sizes, KNOWN)
    longer = forecast(config, more, KNOWN)
    assert wider.seconds_per_epoch > 1.5 * base.seconds_per_epoch
    assert longer.seconds_per_epoch == pytest.approx(2 * base.seconds_per_epoch, 0.05)
    assert wider.n_parameters > base.n_parameters == longer.n_parameters


def test_a_forecast_takes_no_random_numbers() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    forecast(paper(), sizes_of(4, 4, 40), KNOWN)
    assert torch.equal(torch.rand(4), expected)


def test_a_machine_is_calibrated_once(store: PackedStore, tmp_path: Path) -> None:
    family, sizes = get_family("sitenet"), store_sizes(get_family("sitenet"), store)
    asked: list[Probe] = []
    told: list[tuple[int, int]] = []

    def run(probe: Probe) -> Measurement:
        asked.append(probe)
        config = SiteNetConfig.model_validate(probe.config)
        rows = chosen_rows(family, config, store, probe)
        done = amounts(config, {k: v[rows] for k, v in sizes.items()}, None)
        return Measurement(KNOWN.seconds(done), round(KNOWN.peak_bytes(done)), 7)

    options = Calibrating(
        tmp_path, run=run, on_probe=lambda *numbers: told.append(numbers)
    )
    found = calibrated(family, store, options)
    count = len(family.probes)
    assert told == [(k + 1, count) for k in range(count)]
    assert found.process_bytes == 7
    config = SiteNetConfig.from_preset("small", {"cell": store.header.settings})
    expected, got = (forecast(config, sizes, c) for c in (KNOWN, found))
    assert got.seconds_per_epoch == pytest.approx(expected.seconds_per_epoch, rel=0.02)
    assert got.peak_bytes == pytest.approx(expected.peak_bytes, rel=0.02)
    assert calibrated(family, store, options) == found
    assert len(asked) == count
    calibrated(family, store, replace(options, threads=2))
    assert len(asked) == 2 * count
    assert {probe.threads for probe in asked} == {1, 2}


@pytest.mark.parametrize(
    ("constant", "value"),
    [("CACHED_PAIRS", 2048), ("LANES", 8), ("_MOMENTS", 0.7), ("_LEFT_BEHIND", 80)],
)
def test_other_counts_are_calibrated_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constant: str, value: float
) -> None:
    family, options = get_family("sitenet"), Calibrating(tmp_path)
    before = calibration_path(tmp_path, this_machine(family, options))
    assert calibration_path(tmp_path, this_machine(family, options)) == before
    monkeypatch.setattr(f"sitenet_core.families.sitenet.cost.{constant}", value)
    assert calibration_path(tmp_path, this_machine(family, options)) != before


def test_a_calibration_is_no_store(tmp_path: Path) -> None:
    from sitenet_core.families.stores import store_rows

    machine = this_machine(get_family("sitenet"), Calibrating(tmp_path))
    KNOWN.save(calibration_path(tmp_path, machine))
    assert store_rows(tmp_path) == []


def test_probes_train_on_the_cells_of_the_store(store: PackedStore) -> None:
    family = get_family("sitenet")
    for config in probe_configs(family, store):
        assert family.settings(config).model_dump() == store.header.settings


def test_a_probe_takes_whole_batches_of_enough_crystals(store: PackedStore) -> None:
    family = get_family("sitenet")
    config = SiteNetConfig.from_preset("test", {"batch": {"unique_sites": 12}})
    sites = store.column("n_unique_sites")
    for wanted in (1, 3, 6):
        probe = Probe(store.path, {}, "cpu", 1, crystals=wanted)
        rows = chosen_rows(family, config, store, probe)
        assert len(rows) >= wanted
        assert len(set(rows.tolist())) == len(rows)
        fewer = chosen_rows(family, config, store, replace(probe, crystals=1))
        assert rows[: len(fewer)].tolist() == fewer.tolist()
        assert sites[fewer].sum() <= 12 or len(fewer) == 1


def test_a_probe_trains_and_measures(store: PackedStore) -> None:
    config = SiteNetConfig.from_preset("test").model_dump(mode="json")
    found = measure(Probe(store.path, config, "cpu", 1, epochs=2))
    assert found.seconds > 0
    assert found.process_bytes > 0


def test_a_probe_runs_in_a_process_of_its_own(store: PackedStore) -> None:
    config = SiteNetConfig.from_preset("test").model_dump(mode="json")
    found = measure_apart(Probe(store.path, config, "cpu", 1))
    assert found.seconds > 0
    assert found.peak_bytes >= 0


def test_a_probe_that_fails_says_why(tmp_path: Path) -> None:
    config = SiteNetConfig.from_preset("test").model_dump(mode="json")
    with pytest.raises(InfrastructureError, match=r"a probe of gone on cpu failed: .*"):
        measure_apart(Probe(tmp_path / "gone", config, "cpu", 1))

"""Forecasts of the cost model against what training then takes.

    .venv/bin/python -m experiments.benchmarks.core.cost_model \
--data ../shared/data/mp_gap_20k.parquet --work FOLDER

The machine is calibrated once; 20 configurations are drawn from the space of the 2023
paper, all forecasts are written down, and then each configuration is trained for a few
batches in a fresh process with one thread. A run that is interrupted goes on.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.core import tables
from experiments.benchmarks.core.ours import configuration, open_store
from experiments.benchmarks.core.sample import write_samples
from experiments.benchmarks.core.setup import Setup
from experiments.record import git, processor, write_json
from search.space import Space, load_space
from sitenet_core.config import TrialConfig
from sitenet_core.data import PackedStore
from sitenet_core.families import get_family
from sitenet_core.training.calibrating import Calibrating, calibrated
from sitenet_core.training.calibration import Calibration
from sitenet_core.training.forecast import forecast, store_sizes
from sitenet_core.training.probe import Probe, chosen_rows, measure_apart

SPACE = "sitenet/table1_2023"
MEMORY, TIME = 0.2, 0.3
"""Relative errors that count as right."""
_MIB = 2**20


@dataclass(frozen=True)
class Run:
    """What is forecast and measured."""

    setup: Setup
    out: Path
    limit: int
    configurations: int
    crystals: int
    """Batches are taken until they hold this many."""


def main() -> None:
    """Calibrate, forecast, measure, report."""
    run = _options()
    write_samples(run.setup)
    run.out.mkdir(parents=True, exist_ok=True)
    store = open_store(run.setup, configuration(run.setup, run.limit, merged=True))
    family = get_family("sitenet")
    options = Calibrating(run.setup.work / "stores", on_probe=_tell)
    calibration = calibrated(family, store, options)
    path = run.out / "cost_model.json"
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
    else:
        content = _forecasts(run, store, calibration)
        write_json(content, path)
    for row in content["configurations"]:
        if "seconds" not in row:
            row.update(_measured(run, store, row["config"]))
            write_json(content, path)
            print(_cells(row), flush=True)
    (run.out / "cost_model.md").write_text(report(content), encoding="utf-8")


def _forecasts(
    run: Run, store: PackedStore, calibration: Calibration
) -> dict[str, Any]:
    """Return what is expected, before anything is measured."""
    space, generator = load_space(SPACE), np.random.default_rng(run.setup.seed)
    return {
        "commit": git("rev-parse", "HEAD"),
        "processor": processor(),
        "data": {"file": run.setup.data.name, "structures": len(store)},
        "store": store.digest,
        "max_atoms": run.limit,
        "seed": run.setup.seed,
        "crystals": run.crystals,
        "calibration": asdict(calibration),
        "configurations": [
            _forecast(run, store, calibration, _drawn(run, space, generator))
            for _ in range(run.configurations)
        ],
    }


def _drawn(run: Run, space: Space, generator: np.random.Generator) -> TrialConfig:
    flat = space.sample(generator)
    return space.configuration(flat, {"cell": {"max_atoms": run.limit}})


def _forecast(
    run: Run, store: PackedStore, calibration: Calibration, config: TrialConfig
) -> dict[str, Any]:
    family, sizes = get_family("sitenet"), store_sizes(get_family("sitenet"), store)
    rows = chosen_rows(family, config, store, _probe(run, store, config))
    few = forecast(config, {k: v[rows] for k, v in sizes.items()}, calibration)
    epoch = forecast(config, sizes, calibration)
    return {
        "config": config.model_dump(mode="json"),
        "n_parameters": few.n_parameters,
        "forecast_seconds": few.seconds_per_epoch,
        "forecast_peak_bytes": few.peak_bytes,
        "epoch_seconds": epoch.seconds_per_epoch,
        "epoch_peak_bytes": epoch.peak_bytes,
    }


def _measured(run: Run, store: PackedStore, nested: dict[str, Any]) -> dict[str, Any]:
    config = get_family("sitenet").Config.model_validate(nested)
    return asdict(measure_apart(_probe(run, store, config)))


def _probe(run: Run, store: PackedStore, config: TrialConfig) -> Probe:
    nested = config.model_dump(mode="json")
    # Other crystals than those that the machine was calibrated with.
    return Probe(store.path, nested, "cpu", 1, run.crystals, seed=run.setup.seed + 1)


def report(content: dict[str, Any]) -> str:
    """Return the measured configurations as Markdown."""
    rows = [r for r in content["configurations"] if "seconds" in r]
    memory = sum(abs(_ratio(r, "peak_bytes") - 1) <= MEMORY for r in rows)
    time = sum(abs(_ratio(r, "seconds") - 1) <= TIME for r in rows)
    columns = ["norm", "blocks", "heads", "per head", "g^W", "pooling"]
    columns += ["forecast s", "measured s", "ratio"]
    columns += ["forecast MiB", "measured MiB", "ratio", "epoch s"]
    made = (
        f"{len(rows)} configurations of `{SPACE}` at {content['max_atoms']} atoms, "
        f"seed {content['seed']}, commit {content['commit'][:10]}, "
        f"{content['processor']}, one thread, processor seconds; memory is above "
        "what imports and a step on one crystal need. Measured are a few batches of at "
        f"least {content['crystals']} crystals together; `epoch s` is the forecast "
        "scaled up to the whole store and was not measured."
    )
    return "\n".join(
        [
            "# Forecasts of memory and time",
            "",
            made,
            "",
            f"* memory within {MEMORY:.0%}: {memory} of {len(rows)}",
            f"* time within {TIME:.0%}: {time} of {len(rows)}",
            "",
            tables.markdown(columns, [_cells(row) for row in rows]),
        ]
    )


def _cells(row: dict[str, Any]) -> list[str]:
    model = row["config"]["model"]
    weights = model["attention_weights"]
    return [
        model["normalization"],
        str(model["attention_blocks"]),
        str(model["attention_heads"]),
        f"{model['site_dim_per_head']}, {model['interaction_dim_per_head']}",
        f"{weights['depth']} x {weights['width']}" if weights["depth"] else "0",
        model["pooling"],
        f"{row['forecast_seconds']:.2f}",
        f"{row['seconds']:.2f}",
        f"{_ratio(row, 'seconds'):.2f}",
        f"{row['forecast_peak_bytes'] / _MIB:.0f}",
        f"{row['peak_bytes'] / _MIB:.0f}",
        f"{_ratio(row, 'peak_bytes'):.2f}",
        f"{row['epoch_seconds']:.1f}",
    ]


def _ratio(row: dict[str, Any], name: str) -> float:
    return float(row[f"forecast_{name}"] / row[name])


def _tell(number: int, count: int) -> None:
    print(f"calibration: training {number} of {count}", flush=True)


def _options() -> Run:
    parser = argparse.ArgumentParser(description="Check the forecasts of costs.")
    parser.add_argument("--data", type=Path, required=True, help="mp_gap_20k.parquet")
    parser.add_argument("--work", type=Path, required=True, help="temporary folder")
    default = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="the report's folder")
    parser.add_argument("--structures", type=int, default=3000)
    parser.add_argument("--limit", type=int, default=500, help="atoms per supercell")
    parser.add_argument("--configurations", type=int, default=20)
    parser.add_argument("--crystals", type=int, default=60, help="trained on, at least")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    setup = Setup(
        work=given.work.resolve() / "cost_model",
        data=given.data.resolve(),
        pool=given.structures,
        cells=(),
        seed=given.seed,
    )
    return Run(setup, given.out, given.limit, given.configurations, given.crystals)


if __name__ == "__main__":
    main()

r"""Time and size of featurising a whole data set.

    .venv/bin/python -m experiments.benchmarks.core.build_full_set \
        ../shared/data/mp_gap_full.parquet --root FOLDER

Builds the store at 500 atoms with two workers below `--root` and writes wall and
processor seconds, bytes and skipped rows to `results/full_set.json`, one entry per
run. A store that is there already is only described: its entry says that nothing was
built and has no times. A build that was killed leaves nothing and begins anew.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from experiments.benchmarks.core.measuring import cpu_seconds
from experiments.benchmarks.core.sample import TARGET
from experiments.record import git, write_json
from sitenet_core.config import DataConfig, TargetConfig
from sitenet_core.data import BuildProgress, store_path
from sitenet_core.families import get_family, recipe
from sitenet_core.families.stores import (
    StoreBuilding,
    describe_store,
    open_family_store,
)
from sitenet_core.structures.sources import open_source

_SHOWN = 20
"""Skipped rows that are written out."""


def main() -> None:
    """Build, and append what it took to the results."""
    parser = argparse.ArgumentParser(description="Featurise a whole data set.")
    parser.add_argument("data", type=Path, help="Parquet table")
    parser.add_argument("--root", type=Path, required=True, help="folder of stores")
    parser.add_argument("--limit", type=int, default=500, help="atoms; default: 500")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    default = Path(__file__).parent / "results" / "full_set.json"
    parser.add_argument("--result", type=Path, default=default)
    options = parser.parse_args()
    found = build(options.data.resolve(), options.root, options.limit, options.workers)
    path: Path = options.result
    content = json.loads(path.read_text("utf-8")) if path.exists() else {"full": []}
    content["full"].append(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(content, path)
    print(json.dumps(found, indent=2))


def build(data: Path, root: Path, limit: int, workers: int) -> dict[str, Any]:
    """Return what building the store of `data` took, and what it holds."""
    family = get_family("sitenet")
    settings = type(family.default_settings).model_validate({"max_atoms": limit})
    target = TargetConfig(column=TARGET, name="band_gap", unit="eV")
    config = DataConfig(source=str(data), target=target)
    made = recipe(family, settings)
    there = store_path(open_source(config, None), made, root).exists()
    begin = time.perf_counter(), cpu_seconds()
    building = StoreBuilding(root, workers)
    store = open_family_store(config, family, settings, building, _show)
    wall, cpu = time.perf_counter() - begin[0], cpu_seconds() - begin[1]
    about = describe_store(store)
    times = {} if there else {"wall_seconds": wall, "cpu_seconds": cpu}
    return {
        **times,
        "built": not there,
        "workers": workers,
        "max_atoms": limit,
        "structures": about["stored"],
        "skipped": len(about["skipped"]),
        "reasons": about["skipped"][:_SHOWN],
        "bytes": about["bytes"],
        "bytes_per_structure": about["bytes"] / about["stored"],
        "commit": git("rev-parse", "HEAD"),
    }


def _show(progress: BuildProgress) -> None:
    print(f"\r{progress.n_read} of {progress.n_total}", end="", flush=True)


if __name__ == "__main__":
    main()

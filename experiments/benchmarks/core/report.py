"""`report.md`, `growth.svg` and `manifest.json` of a run's results."""

import hashlib
import os
import platform
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from experiments.benchmarks.core import tables
from experiments.benchmarks.core.measures import LARGEST_GROWTH, measures
from experiments.benchmarks.core.medians import Medians
from experiments.benchmarks.core.plan import KINDS, SHIPPED, fit_name, step_name
from experiments.benchmarks.core.plots import plot_growth
from experiments.benchmarks.core.setup import Setup
from experiments.record import git, graphics_processor, processor, write_json

FULL = "full_set.json"
_FOLD_0 = 84_890
"""Training structures of fold 0 of `matbench_mp_gap`."""
_PACKAGES = ("torch", "numpy", "pymatgen", "matminer", "pytorch-lightning")


def write_report(setup: Setup, out: Path) -> None:
    """Write report, plot and manifest beside the results in `out`."""
    medians = Medians.read(out / "results.json")
    full = Medians.read(out / FULL)
    plot_growth(setup, medians, out / "growth.svg")
    content = manifest(setup, medians)
    write_json(content, out / "manifest.json")
    rows = [m.row() for m in measures(setup, medians, full)]
    facts = medians.last(step_name("ours", SHIPPED, max(setup.limits), setup.sites))
    text = _TEXT.format(
        machine=", ".join(filter(None, map(content["hardware"].get, _HARDWARE))),
        commits=", ".join(commit[:10] for commit in content["commits"]),
        facts=", ".join(f"{k} {v}" for k, v in facts.items() if k.startswith("n_")),
        growth=LARGEST_GROWTH,
        measures=tables.markdown(["measure", "floor", "aim", "found", "reached"], rows),
        steps=tables.steps(setup, medians),
        epoch=_epoch(setup, medians),
        fits=tables.fits(setup, medians),
        features=tables.features(setup, medians),
        stages=tables.stages(setup, medians),
        accuracy=tables.accuracy(setup, medians),
        memory=tables.memory(setup, medians),
        starts=tables.starts(setup, medians),
        threads=tables.threads(setup, medians),
    )
    (out / "report.md").write_text(text, encoding="utf-8")


def manifest(setup: Setup, medians: Medians) -> dict[str, Any]:
    """Return what decides the numbers: code, data, seed, machine, versions."""
    runs = [r for found in medians.runs.values() for r in found]
    return {
        "recorded_at_commit": git("rev-parse", "HEAD"),
        "commits": sorted({r["commit"] for r in runs}),
        "data": {"file": setup.data.name, "sha256": _digest([setup.data])},
        "published_sha256": _published_digest(setup),
        "setup": {
            k: v
            for k, v in vars(setup).items()
            if k not in {"work", "data", "published"}
        },
        "hardware": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "gpu": graphics_processor(),
            "system": f"{platform.system()} {platform.machine()}",
            "libc": " ".join(platform.libc_ver()),
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
    }


def _published_digest(setup: Setup) -> str | None:
    return setup.published and _digest(sorted(setup.published.glob("*.py")))


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _epoch(setup: Setup, medians: Medians) -> str:
    """Return the seconds that an epoch of fold 0 would take, from whole epochs."""
    if setup.device == "cpu":
        return ""
    lines = ["## An epoch of fold 0, from epochs of the pool\n"]
    for kind, precision in product(KINDS, ("32", "bf16-mixed")):
        name = fit_name(kind, precision, max(setup.limits))
        seconds, count = (medians.of(name, k) for k in ("wall_seconds", "n_crystals"))
        if seconds is not None and count:
            lines.append(f"* {kind}, {precision}: {seconds * _FOLD_0 / count:.3g} s")
    return "\n".join(lines)


_HARDWARE = ("processor", "gpu")
_TEXT = """# The model core, measured

Written by `run.py` from `results.json`; `manifest.json` says at which commit, on what
data and machine. Machine: {machine}. Commits: {commits}.

The paper's configuration, one thread, every measurement in a fresh process, medians.
*Dense* is `tests/support/dense_sitenet.py`, *published* is lrcfmd/Site-Net itself.
*Shipped* is glibc's malloc as it comes, *tuned* keeps freed memory (`measuring.py`);
both sides of a ratio run with the same. Memory is above what imports and the opened
store need. The batch at the largest supercell: {facts}.

## Measures
{measures}
*Ours* in a ratio is the faster of eager and compiled, named in its row. Memory at one
pair budget is to be flat: up to {growth:g} times counts as that, a bound of our own.
Milliseconds of features begin with a structure that has been read; reading stands
beside them under *Features*. Forecasts of the cost model are checked by `cost_model.py`
on a few batches per configuration; whole epochs are the same forecast scaled up, and
are not measured.

## One training step
{steps}
{epoch}
## Through `fit`, and the loader
{fits}
## One and two threads
An epoch of one eager step through `fit`; both numbers of threads take turns in one
process. Each thread takes groups of the batch, and waits for the other only at the end
of a step. A load above 2 on two cores says that another process was there.

{threads}
## Trial start
Wall seconds after the imports. The first step imports numba and loads the kernels of
the fused path from numba's cache; in the last row the cache is an empty folder, so that
it compiles them.

{starts}
## How cost grows
![seconds and memory against pairs](growth.svg)

## Accuracy
{accuracy}
Briefly trained weights. Against the dense network in float64: *unmerged*, *merged* are
ours in float64, *fused …* ours in float32 with the fused kernels, as training computes
on a CPU, *plain …* ours in float32 with torch's own operations. Against ours in
float32, merged: *bf16*, *fp16* are the arithmetic of `training.precision: bf16-mixed`
and `16-mixed` by autocast on a CPU, *fp16* with the loss scaled as training scales it.

## Memory
{memory}
## Features
{features}
{stages}"""

"""The benchmark of the model core, on a few small crystals and without meaning."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.benchmarks.core import build_full_set, report, run
from experiments.benchmarks.core.measures import measures
from experiments.benchmarks.core.medians import Medians
from experiments.benchmarks.core.plan import SHIPPED, TUNED, Job, all_jobs, step_name
from experiments.benchmarks.core.setup import Setup, quick
from experiments.benchmarks.core.tables import Measure

N_CRYSTALS = 10


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table in the format of the shared data: CsCl and skew relatives."""
    path = tmp_path_factory.mktemp("data") / "few.parquet"
    pq.write_table(pa.Table.from_pylist([row_of(k) for k in range(N_CRYSTALS)]), path)
    return path


def row_of(k: int) -> dict[str, Any]:
    """Return a crystal of 2 to 5 sites; every other one is cubic CsCl."""
    rng = np.random.default_rng(k)
    n, skew = (2, 0.0) if k % 2 else (2 + k // 2 % 4, 1.0)
    corners = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]])[:n]
    frac = corners / 2 + skew * rng.uniform(-0.1, 0.1, (n, 3))
    return {
        "id": f"crystal-{k}",
        "composition": "X",
        "n_sites": n,
        "cell": [4.0, 4.0 + skew, 4.0 + 2 * skew, 90.0 - 7 * skew, 90.0, 90.0],
        "numbers": [3 + k, 17, 8, 26, 14][:n],
        "frac_e8": (frac * 1e8).round().astype(int).ravel().tolist(),
        "gap_pbe": float(k),
    }


@pytest.fixture(autouse=True)
def _without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (run, report, build_full_set):
        monkeypatch.setattr(module, "git", lambda *_: "c3" * 20)


def quick_setup(folder: Path, table: Path) -> Setup:
    return quick(Setup(work=folder / "work", data=table))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """Return the folder of a complete quick run with its report."""
    folder = tmp_path_factory.mktemp("run")
    setup = quick_setup(folder, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "git", lambda *_: "c3" * 20)
        patch.setattr(report, "git", lambda *_: "c3" * 20)
        plan = run.Plan(folder / "out", repetitions=1)
        run.measure_all(setup, plan, run.in_this_process)
        report.write_report(setup, folder / "out")
    return folder / "out"


def test_every_measurement_succeeds_and_is_kept(out: Path) -> None:
    results = json.loads((out / "results.json").read_text())
    setup = quick_setup(out.parent, out)
    assert set(results) == set(all_jobs(setup))
    for name, found in results.items():
        assert len(found) == 1, name
        assert "error" not in found[0], name
        assert found[0]["commit"] == "c3" * 20


def test_the_report_has_every_measure_beside_floor_and_aim(out: Path) -> None:
    text = (out / "report.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    measured = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    assert (
        "| 1e-10 | – |"
        in measured["gradients against the dense oracle, float64, unmerged"]
    )
    reading_apart = "features at 500 atoms, mean per structure, reading apart"
    assert "| 5 ms | 2.5 ms |" in measured[reading_apart]
    assert "not measured" in measured["all of `mp_gap_full`, two workers"]
    assert (out / "growth.svg").stat().st_size > 1000
    content = json.loads((out / "manifest.json").read_text())
    assert content["data"]["file"] == "few.parquet"
    assert content["commits"] == ["c3" * 20]
    assert str(out.parent) not in json.dumps(content)


def test_predictions_and_gradients_equal_the_dense_network(out: Path) -> None:
    medians = Medians.read(out / "results.json")
    for kind, bound in (("unmerged", 1e-10), ("merged", 1e-6)):
        for what in ("predictions", "gradients"):
            value = medians.of(f"accuracy/{kind}/12 atoms", f"{what}_relative")
            assert value is not None
            assert value < bound


def test_single_precision_is_measured_with_the_kernels_and_without(out: Path) -> None:
    medians = Medians.read(out / "results.json")
    for merging in ("unmerged", "merged"):
        fused, plain = (
            medians.last(f"accuracy/{way} {merging}/12 atoms")
            for way in ("fused", "plain")
        )
        keys = ("predictions_relative", "gradients_relative")
        for key in keys:
            assert 0 < fused[key] < 1e-4
            assert 0 < plain[key] < 1e-4
        assert any(fused[key] != plain[key] for key in keys)


def test_half_precision_differs_as_much_as_its_digits(out: Path) -> None:
    medians = Medians.read(out / "results.json")
    for kind, bounds in (("bf16", (1e-4, 0.1)), ("fp16", (1e-5, 0.02))):
        found = medians.last(f"accuracy/{kind}/12 atoms")
        assert bounds[0] < found["gradients_l2"] < bounds[1]


def test_a_cold_start_has_an_empty_cache_of_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders: list[str] = []

    def process(*_: object, env: dict[str, str], **__: object) -> Any:
        folder = env.get("NUMBA_CACHE_DIR", "")
        folders.append(folder)
        assert not folder or not any(Path(folder).iterdir())
        return subprocess.CompletedProcess([], 0, stdout="{}")

    monkeypatch.setattr(subprocess, "run", process)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    setup = Setup(work=tmp_path, data=tmp_path)
    for cold in (False, True, True):
        run.in_own_process(setup, Job("x", "start", {}, cold=cold))
    assert folders[0] == ""
    assert len(set(folders)) == len(folders)
    assert not any(Path(folder).exists() for folder in folders if folder)


def test_rows_name_the_faster_step_and_scaling_with_threads(tmp_path: Path) -> None:
    setup = Setup(work=tmp_path, data=tmp_path)
    seconds = {"ours": 4.0, "ours_compiled": 3.0, "dense": 30.0}
    runs: dict[str, list[dict[str, Any]]] = {
        step_name(who, SHIPPED, 500, setup.sites): [{"cpu_seconds": value}]
        for who, value in seconds.items()
    }
    runs["threads/500 atoms"] = [{"wall_seconds_1": 3.0, "wall_seconds_2": 2.0}]
    rows = {m.what: m for m in measures(setup, Medians(runs), Medians({}))}
    assert rows[
        "step at 500 atoms, dense ÷ ours (compiled), malloc shipped"
    ].found == pytest.approx(10.0)
    scaling = rows["wall time of a step at 500 atoms through fit, 1 thread ÷ 2 threads"]
    assert scaling.row()[1:] == ["–", "–", "1.5×", "–"]


def test_dense_and_ours_step_through_the_same_crystals(out: Path) -> None:
    medians = Medians.read(out / "results.json")
    ours, dense = (
        medians.last(f"step/{who}/shipped/12 atoms/24 sites")
        for who in ("ours", "dense")
    )
    for key in ("n_crystals", "n_unique_sites", "n_unmerged_pairs"):
        assert ours[key] == dense[key]
    assert ours["first_loss"] == pytest.approx(dense["first_loss"], rel=1e-5)


def test_a_run_goes_on_where_it_was_and_repeats_what_failed(
    tmp_path: Path, table: Path
) -> None:
    setup = quick_setup(tmp_path, table)
    called: list[str] = []
    tried: set[str] = set()

    def runner(_: Setup, job: Job) -> dict[str, Any]:
        called.append(job.name)
        if job.name.startswith("start/") and job.name not in tried:
            tried.add(job.name)
            return {"error": "no luck"}
        return {"cpu_seconds": 1.0}

    plan, jobs = run.Plan(tmp_path, repetitions=2), all_jobs(setup)
    run.measure_all(setup, plan, runner)
    failed = [name for name in jobs if name.startswith("start/")]
    once = [name for name, job in jobs.items() if job.once]
    assert failed
    assert once
    assert all(called.count(name) == 1 for name in once)
    called.clear()
    run.measure_all(setup, plan, runner)
    assert sorted(called) == sorted(failed)
    called.clear()
    run.measure_all(setup, plan, runner)
    assert called == []
    run.measure_all(setup, run.Plan(tmp_path, 3, ("start/", "cell/12")), runner)
    assert called == failed


def test_a_job_that_fails_in_its_process_says_why(tmp_path: Path) -> None:
    setup = Setup(work=tmp_path, data=tmp_path)
    found = run.in_own_process(setup, Job("x", "no_such_module", {}, TUNED))
    assert "no_such_module" in found["error"]


def test_malloc_is_tuned_only_where_the_job_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    shipped = run._environment(Job("x", "step", {}))
    tuned = run._environment(Job("x", "step", {}, TUNED))
    assert not any(key.startswith("MALLOC_") for key in shipped)
    assert int(tuned["MALLOC_TRIM_THRESHOLD_"]) > 1 << 30
    assert shipped["OMP_NUM_THREADS"] == tuned["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [(25.0, "aim"), (12.0, "floor"), (9.0, "**below the floor**"), (None, "–")],
)
def test_a_measure_is_judged_by_floor_and_aim(
    found: float | None, verdict: str
) -> None:
    more = Measure("x", found, 10.0, 20.0, "×", more_is_better=True)
    assert more.row()[-1] == verdict


def test_a_whole_table_is_built_once_and_then_only_described(
    tmp_path: Path, table: Path
) -> None:
    first = build_full_set.build(table, tmp_path, limit=6, workers=1)
    again = build_full_set.build(table, tmp_path, limit=6, workers=1)
    assert (first["built"], again["built"]) == (True, False)
    assert first["wall_seconds"] > 0
    assert "wall_seconds" not in again
    assert first["structures"] + first["skipped"] == N_CRYSTALS
    assert first["bytes"] == again["bytes"] > 0

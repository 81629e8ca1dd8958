"""Segments on a real Ray: outcomes, worker reuse, and processes that are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.conducted_study import Bench
from support.limited_memory import LIMITED, wide, wide_data, wide_payload
from support.segment_work import flat_payload

from search.engine.desk import Desk, MemoryKills
from search.engine.ray_cluster import TrialResources
from search.engine.ray_runner import RayRun, run_on_ray
from search.engine.schedulers import FullTraining
from search.engine.segment import EndReason
from search.engine.stopping import StopRequest
from search.journal import Clock, StudyState
from search.trial.outcome import Outcome
from sitenet_core.bundle.header import WEIGHTS_FILE
from sitenet_core.training import FitOptions, fit
from sitenet_core.training.checkpoints import load_weights

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    # Ray leaves the pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # Announcements of Ray's own releases; they ask nothing of its callers.
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]


def environment() -> dict[str, str]:
    """Return an environment in which other processes find package and tests."""
    path = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """Ray on this machine, for all tests of the module."""
    from search.engine.ray_cluster import ray_connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
        patch.delenv("RAY_ADDRESS", raising=False)
        # Ray's monitor would kill every worker.
        patch.setenv("RAY_memory_usage_threshold", "0.01")
        with ray_connection():
            yield


def plan(folder: Path, **trials: Any) -> None:
    content = {name.removeprefix("trial_"): todo for name, todo in trials.items()}
    (folder / "plan.json").write_text(json.dumps(content))


def run(bench: Bench, clock: Clock | None = None, **payload: Any) -> StudyState:
    """Run one session on Ray and return the state."""
    conductor = bench.desk(bench.journal(clock=clock)).conductor
    desk = Desk(conductor, bench.folder, flat_payload(bench.folder, **payload))
    ray_run = RayRun(TrialResources(), bench.folder / ".ray")
    conductor.end(run_on_ray(desk, ray_run, StopRequest()))
    return conductor.state


def pid(folder: Path, trial: int, attempt: int = 1) -> int:
    return int((folder / f"trials/{trial:05d}/attempt-{attempt}/pid").read_text())


@pytest.mark.usefixtures("ray_here")
def test_trials_end_as_what_happened_to_them_and_the_study_goes_on(
    tmp_path: Path,
) -> None:
    plan(
        tmp_path,
        trial_0={"do": "nan", "epoch": 2},
        trial_1={"do": "surprise", "epoch": 1},
        trial_2={"do": "oom", "epoch": 2},
        trial_3={"do": "kill", "epoch": 3, "attempts": [1]},
    )
    state = run(Bench(tmp_path, rules={"trials": 4}))
    assert [t.outcome for t in state.trials] == [
        Outcome.FAILED_NAN,
        Outcome.FAILED_EXCEPTION,
        Outcome.FAILED_OOM,
        Outcome.COMPLETED,
    ]
    assert [t.attempts for t in state.trials] == [1, 1, 1, 2]
    assert state.ended == "trials"
    assert "planned: surprise" in state.trials[1].message
    folder = tmp_path / "trials/00001/attempt-1"
    assert "planned: surprise" in (folder / "traceback.txt").read_text()
    assert "starts from epoch 0" in (folder / "log.txt").read_text()
    assert pid(tmp_path, 0) == pid(tmp_path, 1) == pid(tmp_path, 2), "workers are kept"
    assert pid(tmp_path, 3) != pid(tmp_path, 2), "not after lack of memory"
    again = (tmp_path / "trials/00003/attempt-2/log.txt").read_text()
    assert "starts from epoch 2" in again


@pytest.mark.usefixtures("ray_here")
def test_kills_for_want_of_memory_are_looked_for_while_segments_run(
    tmp_path: Path,
) -> None:
    plan(tmp_path, trial_0={"sleep": 0.7})
    bench = Bench(tmp_path, FullTraining(3), rules={"trials": 1})
    conductor = bench.desk(bench.journal()).conductor
    looked: list[float] = []

    def count() -> int:
        looked.append(time.monotonic())
        return 0

    desk = Desk(conductor, tmp_path, flat_payload(tmp_path), MemoryKills(count))
    ray_run = RayRun(TrialResources(), tmp_path / ".ray")
    conductor.end(run_on_ray(desk, ray_run, StopRequest()))
    assert conductor.state.trials[0].outcome is Outcome.COMPLETED
    # Three epochs of 0.7 s, twice a second; a loaded machine may miss some.
    assert len(looked) >= 3


@pytest.mark.usefixtures("ray_here")
def test_a_batch_that_hangs_is_ended_by_the_watchdog(tmp_path: Path) -> None:
    plan(tmp_path, trial_0={"do": "hang", "epoch": 2})
    rules = {"trials": 2, "timeout_seconds": 0.5}
    state = run(Bench(tmp_path, rules=rules), grace_seconds=0.5)
    assert [t.outcome for t in state.trials] == [
        Outcome.FAILED_TIMEOUT,
        Outcome.COMPLETED,
    ]
    stack = (tmp_path / "trials/00000/attempt-1/traceback.txt").read_text()
    assert "_misbehave" in stack, "the stack shows where it hung"


@pytest.mark.usefixtures("ray_here")
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of private memory")
def test_a_training_that_runs_out_of_memory_is_halved_in_a_fresh_worker(
    tmp_path: Path,
) -> None:
    data, config = wide_data(tmp_path / "stores"), wide()
    bench = Bench(tmp_path, FullTraining(2), rules={"trials": 1})
    conductor = bench.desk(bench.journal()).conductor
    desk = Desk(conductor, tmp_path, wide_payload(tmp_path, data, config, LIMITED))
    ray_run = RayRun(TrialResources(), tmp_path / ".ray")
    conductor.end(run_on_ray(desk, ray_run, StopRequest()))
    (trial,), details = conductor.state.trials, conductor.state.details[0]
    assert trial.outcome is Outcome.COMPLETED, trial.message
    kinds = {failure.kind for failure in details.failures}
    assert kinds == {Outcome.FAILED_OOM}, "the worker was really out of memory"
    assert details.halvings == trial.attempts - 1
    pids = {pid(tmp_path, 0, attempt) for attempt in range(1, trial.attempts + 1)}
    assert len(pids) == trial.attempts, "no worker is used again"
    log = (tmp_path / "trials/00000/attempt-1/log.txt").read_text()
    assert "epoch 1:" in log
    assert "no memory left" in log

    rate = {"learning_rate": 1e-3 + 1e-3 * float(trial.configuration["x"] or 0)}
    whole = config.model_copy(
        update={"optimizer": config.optimizer.model_copy(update=rate)}
    )
    result = fit(whole, data, FitOptions(tmp_path / "whole", device="cpu", threads=1))
    halved = load_file(tmp_path / str(trial.bundle) / WEIGHTS_FILE)
    for name, tensor in load_weights(result.best_checkpoint)[2].items():
        torch.testing.assert_close(halved[name], tensor, rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("ray_here")
def test_the_end_of_the_time_interrupts_what_is_running(tmp_path: Path) -> None:
    # The last that shares Ray: what it ends at once can leave CPUs reserved there.
    plan(tmp_path, trial_0={"sleep": 100})
    started = tmp_path / "trials/00000/attempt-1/pid"

    def monotonic() -> float:
        return 1000.0 if started.exists() and started.read_text() else 0.0

    bench = Bench(tmp_path, rules={"trials": 5, "wall_clock_seconds": 60.0})
    state = run(bench, clock=Clock(monotonic=monotonic))
    assert state.ended == EndReason.WALL_CLOCK.value
    assert state.trials[0].outcome is None
    assert not state.trials[0].running
    assert gone(pid(tmp_path, 0)), "the worker of the interrupted trial is ended"


def gone(process: int) -> bool:
    """Return whether a process ends within five seconds."""
    for _ in range(50):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{process}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def driver(folder: Path, trials: int) -> subprocess.Popen[bytes]:
    """Start a driver in a process group of its own, as a shell does."""
    command = [sys.executable, "-m", "support.ray_driver", str(folder), str(trials)]
    return subprocess.Popen(
        command,
        env=environment(),
        cwd=folder,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_epoch(folder: Path, trial: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the journal has an epoch of `trial`."""
    path = folder / "journal.jsonl"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1].decode()
        if path.exists():
            trials = StudyState.read(path).trials
            if len(trials) > trial and trials[trial].last_epoch > 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"trial {trial} did not get to its first epoch")


def end(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=90)
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode


def test_a_killed_and_then_a_stopped_driver_lose_no_finished_trial(
    tmp_path: Path,
) -> None:
    slow = {f"trial_{n}": {"sleep": 0.25} for n in (1, 2, 3)}
    plan(tmp_path, **slow)
    journal = tmp_path / "journal.jsonl"

    killed = driver(tmp_path, 4)
    wait_for_epoch(tmp_path, 1, killed)
    killed.kill()
    killed.communicate()
    after_kill = StudyState.read(journal)
    assert after_kill.trials[0].outcome is Outcome.COMPLETED
    assert after_kill.session_open

    stopped = driver(tmp_path, 4)
    wait_for_epoch(tmp_path, 3, stopped)
    stopped.send_signal(signal.SIGTERM)
    assert end(stopped) == 130
    after_stop = StudyState.read(journal)
    assert after_stop.ended == "interrupted"
    assert not any(t.running for t in after_stop.trials)

    state = Bench(tmp_path, rules={"trials": 4}).session()
    assert [t.outcome for t in state.trials] == [Outcome.COMPLETED] * 4
    assert state.trials[0] == after_kill.trials[0], "it was not run again"
    whole = Bench(tmp_path / "whole", rules={"trials": 4})
    whole.folder.mkdir()
    expected = [dict(t.configuration) for t in whole.session().trials]
    assert [dict(t.configuration) for t in state.trials] == expected


def test_no_collection_of_garbage_meets_the_shutdown_of_ray() -> None:
    """Ray would end the process, without a word of the study's result."""
    command = [sys.executable, "-m", "support.ray_shutdown"]
    done = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_sigterm_to_every_process_of_a_driver_ends_it_in_good_order(
    tmp_path: Path,
) -> None:
    """As batch systems do: the daemons of Ray are gone before the driver ends."""
    plan(tmp_path, trial_1={"sleep": 0.4})
    process = driver(tmp_path, 2)
    wait_for_epoch(tmp_path, 1, process)
    os.killpg(process.pid, signal.SIGTERM)
    began = time.monotonic()
    assert end(process) == 130
    assert time.monotonic() - began < 45, "it waited for a daemon that is gone"
    state = StudyState.read(tmp_path / "journal.jsonl")
    assert state.ended == "interrupted"
    state = Bench(tmp_path, rules={"trials": 2}).session()
    assert [t.outcome for t in state.trials] == [Outcome.COMPLETED] * 2


def test_ctrl_c_ends_in_good_order_and_a_second_one_at_once(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole process group: the daemons and workers of Ray too."""
    plan(tmp_path, **{f"trial_{n}": {"sleep": 0.4} for n in (1, 2)})
    journal = tmp_path / "journal.jsonl"

    first = driver(tmp_path, 3)
    wait_for_epoch(tmp_path, 1, first)
    os.killpg(first.pid, signal.SIGINT)
    assert end(first) == 130
    once = StudyState.read(journal)
    assert once.ended == "interrupted"
    assert once.trials[0].outcome is Outcome.COMPLETED
    assert once.trials[1].interrupted
    checkpoint = tmp_path / str(once.trials[1].last_checkpoint)
    assert json.loads(checkpoint.read_text())["epoch"] >= once.trials[1].last_epoch

    second = driver(tmp_path, 3)
    wait_for_epoch(tmp_path, 2, second)
    while second.poll() is None:
        os.killpg(second.pid, signal.SIGINT)
        time.sleep(0.05)
    second.communicate()
    assert second.returncode == -signal.SIGINT, "it did not wait for Ray's end"
    twice = StudyState.read(journal)
    done = [t for t in twice.trials if t.outcome is not None]
    assert [t.number for t in done] == [0, 1]
    assert twice.trials[0] == once.trials[0]
    assert twice.trials[1].epoch_values.items() >= once.trials[1].epoch_values.items()
    assert gone(pid(tmp_path, 2)), "no worker outlives its driver"

    state = Bench(tmp_path, rules={"trials": 3}).session()
    assert [t.outcome for t in state.trials] == [Outcome.COMPLETED] * 3
    assert state.trials[:2] == tuple(done), "what was finished is not run again"

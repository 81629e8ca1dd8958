"""A real MLflow server that is killed, stopped and started again in mid-study."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from support.tracked_studies import ToyStudy, empty_store

from search.engine.tracking_thread import TrackingThread
from search.tracking import MlflowTracker, ui_command
from search.tracking.store import MlflowStore


class Server:
    """An `mlflow server` of its own process group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.store = empty_store(folder)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command, environment = ui_command(self.store, self.port)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                with urlopen(f"{self.uri}/health", timeout=2):  # noqa: S310 - ours
                    return
            except (URLError, OSError):
                time.sleep(0.3)
        raise AssertionError((self.folder / "server.log").read_text())

    def send(self, number: int) -> None:
        """Send a signal to every process of the server."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.send(signal.SIGCONT)
        server.send(signal.SIGKILL)


def content(uri: str) -> dict[str, Any]:
    """Return metrics and outcome of every run by key."""
    client = MlflowStore(uri).client
    found = client.get_experiment_by_name("toy-study")
    assert found is not None
    whole = {}
    for run in client.search_runs([found.experiment_id]):
        key = run.data.tags["sitenet.key"]
        assert key not in whole, "a run exists twice"
        history = {
            name: [
                (p.step, p.value)
                for p in client.get_metric_history(run.info.run_id, name)
            ]
            for name in run.data.metrics
        }
        whole[key] = (run.info.status, run.data.params, history)
    return whole


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_study_goes_on_without_its_server_and_the_server_gets_all_of_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: int
) -> None:
    monkeypatch.setattr("search.tracking.tracker.RETRY_SECONDS", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    study = ToyStudy(tmp_path / "studies" / "toy-study")
    thread = TrackingThread(MlflowTracker(server.uri, study.folder), seconds=0.2)
    study.complete(0)
    thread.show(study.state)
    wait_for(server.uri, "trial-00000")
    server.send(how)
    for trial in (1, 2, 3):
        study.complete(trial)
        thread.show(study.state)
    if how == signal.SIGSTOP:
        server.send(signal.SIGCONT)
    else:
        server.start()
    study.complete(4)
    study.end()
    thread.show(study.state)
    thread.close(study.state, timeout=120)
    whole = empty_store(tmp_path / "whole")
    MlflowTracker(whole, study.folder).sync(study.state)
    assert content(server.uri) == content(whole)


def wait_for(uri: str, key: str) -> None:
    """Wait until MLflow shows a run."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        client = MlflowStore(uri).client
        found = client.get_experiment_by_name("toy-study")
        if found is not None:
            runs = client.search_runs([found.experiment_id])
            if key in {run.data.tags.get("sitenet.key") for run in runs}:
                return
        time.sleep(0.3)
    raise AssertionError(f"{key} did not get to MLflow")

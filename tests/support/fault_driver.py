"""Drivers in processes of their own, without Ray's start, to be killed by the hundred.

    python -m support.fault_driver

reads one JSON object per line, forks a driver for it, kills it as the object says, and
answers with the exit code. Conductor, desk, journal, lock and signals are those of a
study; only what Ray does, handing segments to workers, is replaced: a worker is a fork.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.fault_work import COUNTED, FINISHED_LOG, append
from support.segment_work import flat_payload
from support.simulated_study import square

from search.engine.conductor import Conductor
from search.engine.desk import Desk
from search.engine.rules import Engine, Rules
from search.engine.schedulers import Asha
from search.engine.searchers import make_searcher
from search.engine.segment import Answer, EndReason
from search.engine.stopping import StopRequest, stop_on_signals
from search.journal import Journal, StudyCreated
from search.study.lock import study_lock
from search.trial.payload import SegmentPayload
from search.trial.segment import run_segment
from sitenet_core.errors import SiteNetError

EPOCHS = 4
SEARCHER = "gaussian"
"""Of a driver that is not told another."""
PATIENCE = 300
"""Seconds after which a driver that hangs is ended by SIGALRM: its code is −14."""


@dataclass(frozen=True)
class Worker:
    """A forked process that runs one segment."""

    handle: str
    pid: int
    words: int
    """Descriptor that its messages come from, one per line."""
    thanks: int
    """Descriptor that takes one byte per message that is in the journal."""


@dataclass
class ForkedWorkers:
    """What Ray is to a study: runs segments and brings their messages to the desk."""

    desk: Desk
    room: int
    stop: StopRequest
    workers: dict[int, Worker] = field(default_factory=dict)
    count: int = 0

    def run(self) -> EndReason:
        """Run segments until there are none, or a signal asks to stop."""
        while not self.stop.is_set:
            answer = self._fill()
            if not self.workers and answer is Answer.DONE:
                return EndReason.TRIALS
            ready, _, _ = select.select(list(self.workers), [], [], 0.02)
            for words in ready:
                self._listen(self.workers[words])
        for worker in self.workers.values():
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
        return EndReason.INTERRUPTED

    def _fill(self) -> Answer | None:
        while len(self.workers) < self.room:
            handle = f"worker-{self.count}"
            self.count += 1
            answer = self.desk.next(handle)
            if isinstance(answer, Answer):
                return answer
            worker = self._fork(handle, answer)
            self.workers[worker.words] = worker
        return None

    def _fork(self, handle: str, payload: SegmentPayload) -> Worker:
        words, speak = os.pipe()
        hear, thanks = os.pipe()
        pid = os.fork()
        if pid == 0:
            for other in self.workers.values():
                os.close(other.words)
                os.close(other.thanks)
            os.close(words)
            os.close(thanks)
            _be_worker(payload, speak, hear)
        os.close(speak)
        os.close(hear)
        return Worker(handle, pid, words, thanks)

    def _listen(self, worker: Worker) -> None:
        text = _line(worker.words)
        if text:
            self.desk.receive(worker.handle, text)
            with suppress(BrokenPipeError):
                os.write(worker.thanks, b"!")
            return
        os.close(worker.words)
        os.close(worker.thanks)
        os.waitpid(worker.pid, 0)
        del self.workers[worker.words]
        self.desk.ended(worker.handle)


def _line(descriptor: int) -> str:
    """Return the next line; empty if the other side is gone."""
    text = b""
    while not text.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return ""
        text += byte
    return text.decode()


def _be_worker(payload: SegmentPayload, speak: int, hear: int) -> None:
    """Run the segment and end the process; like Ray's workers, not without a driver."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)

    def report(text: str) -> None:
        try:
            os.write(speak, text.encode() + b"\n")
            heard = os.read(hear, 1)
        except BrokenPipeError:
            heard = b""
        if not heard:
            os._exit(1)
        if '"kind":"finished"' in text:
            line = f"{payload.trial} {payload.attempt} {payload.until_epoch}"
            append(Path(payload.folder).parents[2] / FINISHED_LOG, line)

    run_segment(payload, report)
    os._exit(0)


def drive(folder: Path, request: dict[str, Any]) -> int:
    """Be the driver of the study in `folder`; 130 after a signal, 0 at its end."""
    workers = request.get("workers", 1)
    searcher = make_searcher(request.get("searcher", SEARCHER), startup_trials=3)
    engine = Engine(square(), searcher, Asha(epochs=EPOCHS, min_epochs=1, eta=2))
    rules = Rules(
        trials=request.get("trials", 8),
        epochs=EPOCHS,
        concurrent=workers,
        max_lost_worker_retries=1000,
    )
    with stop_on_signals() as stop, study_lock(folder / "lock"):
        journal = Journal.open(folder / "journal.jsonl")
        if not journal.entries:
            journal.append(StudyCreated(name="toy", study_digest="s", space_digest="p"))
        conductor = Conductor(journal, engine, rules)
        conductor.begin("host", os.getpid(), {})
        desk = Desk(conductor, folder, flat_payload(folder))
        payload_of = desk.payload_of
        desk.payload_of = lambda s: payload_of(s).model_copy(update={"work": COUNTED})
        reason = ForkedWorkers(desk, workers, stop).run()
        conductor.end(reason)
    return 130 if reason is EndReason.INTERRUPTED else 0


def die_while_writing(number: int, place: str, share: float) -> None:
    """Arrange that this process dies at its `number`-th write of a journal.

    Args:
        number: counts from 1.
        place: `before` the write, `torn` in the middle of it, `written` but not synced,
            or `synced` and not yet acted upon.
        share: of the line that a torn write leaves behind.
    """
    pwrite, fsync = os.pwrite, os.fsync
    count = 0

    def mortal_write(descriptor: int, data: bytes, offset: int) -> int:
        nonlocal count
        if not _is_journal(descriptor):
            return pwrite(descriptor, data, offset)
        count += 1
        if count < number:
            return pwrite(descriptor, data, offset)
        if place == "before":
            _die()
        if place == "torn":
            pwrite(descriptor, data[: int(share * len(data))], offset)
            _die()
        written = pwrite(descriptor, data, offset)
        if place == "written":
            _die()
        return written

    def mortal_sync(descriptor: int) -> None:
        fsync(descriptor)
        if count >= number and place == "synced" and _is_journal(descriptor):
            _die()

    os.pwrite = mortal_write
    os.fsync = mortal_sync


def _is_journal(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name == "journal.jsonl"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _in_child(request: dict[str, Any]) -> int:
    """Fork a driver, end it as requested, and return how it ended (as a shell does)."""
    kill = request.get("kill") or {}
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(PATIENCE)
        try:
            if "write" in kill:
                die_while_writing(kill["write"], kill["place"], kill["share"])
            code = drive(Path(request["folder"]), request)
        except SiteNetError as error:
            print(f"driver: {error}", file=sys.stderr, flush=True)  # noqa: T201
            code = error.exit_code
        finally:
            os._exit(code)
    if "lines" in kill:
        return _end_when_told(child, Path(request["folder"]) / "journal.jsonl", kill)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end_when_told(child: int, journal: Path, kill: dict[str, Any]) -> int:
    """Send the signal `delay` seconds after the journal has grown by `lines`."""
    before = _n_lines(journal)
    sent = False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if not sent and _n_lines(journal) - before >= kill["lines"]:
            time.sleep(kill["delay"])
            os.kill(child, getattr(signal, kill.get("signal", "SIGKILL")))
            sent = True
        time.sleep(0.0005)


def _n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> None:
    """Answer requests until there are no more."""
    # What every driver would import for itself.
    for name in ("gaussian", "hyperopt"):
        make_searcher(name)
    for line in sys.stdin:
        print(_in_child(json.loads(line)), flush=True)  # noqa: T201 (it is waited for)


class Nursery:
    """The process that drivers are forked from."""

    def __init__(self, root: Path) -> None:
        path = f"{root / 'tests'}{os.pathsep}{root}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.fault_driver"],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def drive(self, folder: Path, **request: Any) -> int:
        """Run a driver and return its exit code (negative: the signal)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        text = json.dumps({"folder": str(folder), **request})
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def random_kill(numbers: random.Random, events: int) -> dict[str, Any]:
    """Return one way to die: at any moment, or at any place of a write."""
    if numbers.random() < 0.5:
        delay = numbers.choice([0.0, numbers.uniform(0, 0.02)])
        return {"lines": numbers.randrange(events), "delay": delay}
    return {
        "write": numbers.randint(1, events),
        "place": numbers.choice(["before", "torn", "torn", "written", "synced"]),
        "share": numbers.random(),
    }


if __name__ == "__main__":
    main()

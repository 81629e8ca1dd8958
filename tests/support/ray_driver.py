"""A driver of a simulated study in a process of its own, to be killed by tests.

    python -m support.ray_driver FOLDER TRIALS

Exits with 0 when the trials are done and with 130 when a signal ended it.
"""

import sys
from pathlib import Path

from support.conducted_study import Bench

from search.engine.ray_cluster import TrialResources, ray_connection
from search.engine.ray_runner import RayRun, run_on_ray
from search.engine.segment import EndReason
from search.engine.stopping import stop_on_signals
from search.study.lock import study_lock


def main(folder: Path, trials: int) -> int:
    bench = Bench(folder, rules={"trials": trials})
    with stop_on_signals() as stop, study_lock(folder / "lock"), ray_connection():
        desk = bench.desk(bench.journal())
        run = RayRun(TrialResources(), folder / ".ray")
        reason = run_on_ray(desk, run, stop)
        desk.conductor.end(reason)
    return 130 if reason is EndReason.INTERRUPTED else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))

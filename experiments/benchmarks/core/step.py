"""Processor seconds and memory of one training step, in this process."""

import statistics
import time
from dataclasses import replace
from typing import Any

import torch

from experiments.benchmarks.core import measuring
from experiments.benchmarks.core.ours import configuration, open_store
from experiments.benchmarks.core.sample import POOL
from experiments.benchmarks.core.setup import Setup
from experiments.benchmarks.core.stepper import Stepper, Task, make_stepper

_LOADS = 5
_WARM_UP = {"ours": 1, "ours_compiled": 2, "dense": 1, "published": 1}
"""Steps before the measured ones; a compiled network meets new sizes in its second."""


def measure(setup: Setup, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what the steps of a `Task` took, a warm-up step apart."""
    task = Task(**arguments)
    _prepare(setup, task)
    if setup.device != "cpu":
        return _on_gpu(setup, task)
    base = measuring.resident_bytes()
    measuring.reset_peak()
    stepper = make_stepper(setup, task)
    losses = [
        float(stepper.step().mean()) for _ in range(_WARM_UP[task.implementation])
    ]
    if task.implementation == "ours_compiled":
        # compiling is done once; what it leaves in memory counts all the same
        measuring.reset_peak()
    faults = measuring.page_faults()
    seconds = []
    for _ in range(task.steps):
        begin = measuring.cpu_seconds()
        stepper.step()
        seconds.append(measuring.cpu_seconds() - begin)
    return {
        "cpu_seconds": statistics.median(seconds),
        "peak_bytes": measuring.peak_bytes() - base,
        "page_faults": (measuring.page_faults() - faults) // task.steps,
        "loader_cpu_seconds": _loader_seconds(stepper),
        "first_loss": losses[0],
        **stepper.facts,
    }


def _prepare(setup: Setup, task: Task) -> None:
    """Build stores and take a step of one crystal: imports that come late, kernels."""
    for merged in (True, False):
        config = configuration(setup, task.limit, merged=merged)
        open_store(setup, config, task.source)
    make_stepper(setup, replace(task, limit=1, sites=1, source=POOL)).step()


def _loader_seconds(stepper: Stepper) -> float | None:
    if stepper.load is None:
        return None
    seconds = []
    for _ in range(_LOADS):
        begin = measuring.cpu_seconds()
        stepper.load()
        seconds.append(measuring.cpu_seconds() - begin)
    return statistics.median(seconds)


def _on_gpu(setup: Setup, task: Task) -> dict[str, Any]:
    """Return wall seconds, memory of the device, and the share of time it worked."""
    stepper = make_stepper(setup, task)
    for _ in range(3):
        stepper.step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for _ in range(task.steps):
        stepper.step()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begin) / task.steps
    return {
        "wall_seconds": seconds,
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "gpu_share": _gpu_seconds(stepper) / seconds,
        "loader_cpu_seconds": _loader_seconds(stepper),
        **stepper.facts,
    }


def _gpu_seconds(stepper: Stepper) -> float:
    """Return how long the kernels of one step run."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        stepper.step()
        torch.cuda.synchronize()
    events = profile.key_averages()
    return sum(e.self_device_time_total for e in events) * 1e-6

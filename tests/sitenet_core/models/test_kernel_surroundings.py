"""Kernels where caches cannot be written, after a fork, and far from zero."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from numba.core import caching

from sitenet_core.models.sitenet.fused import fused_moments, kernels

FORK = """
import os, time, torch
from sitenet_core.models.sitenet.fused import fused_unit, threads
torch.set_num_threads(2)
threads.SMALLEST_PART = 1
def work():
    return fused_unit(torch.ones(8, 8), 8, None, None)[0, 0].item()
expected = work()
child = os.fork()
if child == 0:
    os._exit(0 if work() == expected else 1)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        raise SystemExit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
raise SystemExit(2)
"""


def test_kernels_work_where_no_compiled_code_can_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unwritable(*_: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", unwritable)

    def double(values: np.ndarray) -> None:
        for k in range(len(values)):
            values[k] *= 2

    values = np.ones(3, np.float32)
    kernels.kernel(double)(values)
    assert values.tolist() == [2, 2, 2]


def test_a_forked_process_can_use_the_kernels_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], timeout=120, check=False)
    assert done.returncode == 0


def test_sums_of_batch_norm_keep_their_digits_far_from_zero() -> None:
    torch.manual_seed(0)
    rows = 1e4 + torch.randn(4000, 3)
    weight = 1.0 + torch.arange(4000) % 3
    exact, double = rows.double(), weight.double()[:, None]
    _, (first, second) = fused_moments(rows.clone(), 3, weight, None)
    mean = first / double.sum()
    variance = second / double.sum() - mean.square()
    wanted = (exact * double).sum(0) / double.sum()
    spread = ((exact - wanted).square() * double).sum(0) / double.sum()
    assert float((mean - wanted).abs().max()) < 1e-4
    assert float((variance / spread - 1).abs().max()) < 1e-4

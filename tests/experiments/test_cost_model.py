"""The benchmark of the cost model counts what is right."""

from typing import Any

from experiments.benchmarks.core.cost_model import SPACE, report
from search.space import load_space


def content(*ratios: tuple[float, float]) -> dict[str, Any]:
    space = load_space(SPACE)
    config = space.configuration(space.resolve(space.known_good[0]))
    rows = [
        {
            "config": config.model_dump(mode="json"),
            "forecast_seconds": 2.0 * time,
            "seconds": 2.0,
            "forecast_peak_bytes": 2e8 * memory,
            "peak_bytes": 2e8,
            "epoch_seconds": 60.0,
        }
        for time, memory in ratios
    ]
    known = {"max_atoms": 500, "seed": 0, "commit": "0" * 40, "processor": "any"}
    known["crystals"] = 60
    return {**known, "configurations": rows}


def test_the_report_counts_forecasts_within_the_bounds() -> None:
    text = report(content((1.0, 1.0), (1.29, 0.81), (0.71, 1.19), (1.31, 0.79)))
    assert "memory within 20%: 3 of 4" in text
    assert "time within 30%: 3 of 4" in text
    assert "a few batches of at least 60 crystals" in text
    assert "| layer | 2 | 3 | 30, 16 | 1 x 225 | mean | 2.62 | 2.00 | 1.31 |" in text


def test_what_is_not_measured_yet_is_left_out() -> None:
    unfinished = content((1.0, 1.0), (1.0, 1.0))
    del unfinished["configurations"][1]["seconds"]
    assert "memory within 20%: 1 of 1" in report(unfinished)

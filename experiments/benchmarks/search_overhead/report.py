"""The tables of the report."""

from typing import Any

# Milliseconds, and seconds for segments; those of the requirement.
PROPOSAL_TARGETS = {200: 15.0, 2000: 40.0}
EVENT_TARGET = 3.0
PLAN_TARGET = 2.0
SEGMENT_TARGET = 0.2

_WHAT_AN_EVENT_IS = (
    "Ours is everything between a worker's message and the next: line, fsync, state, "
    "scheduler, budget. Optuna's is an operation on its journal file."
)

_WHAT_A_PLAN_IS = (
    "What the driver predicts before it hands a segment out, for 8192 crystals of "
    "sizes drawn like those of Matbench's band gaps: more are not looked at. The first "
    "of a trial builds the network once, to count its parameters."
)


def report(results: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    return "\n".join(
        [
            "# Overhead of a search",
            "",
            _circumstances(results),
            "",
            *_proposals(results["proposals"]),
            *_events(results["events"]),
            *_memory(results["memory"]),
            *_segments(results["segments"]),
        ]
    )


def _circumstances(results: dict[str, Any]) -> str:
    return (
        "One run of `python -m experiments.benchmarks.search_overhead.run` on "
        f"{results['cpus']} CPUs, 2023 space ({results['parameters']} parameters), "
        f"load of the machine at its start {results['load']:.1f}. *CPU* is processor "
        "time of the process, which other programs disturb little; targets are held "
        "against wall time, and on a loaded machine against CPU time too."
    )


def _proposals(found: dict[str, Any]) -> list[str]:
    lines = [
        "## A proposal (milliseconds, median)",
        "The first of a session compiles the space and loads modules; it is apart.",
        "",
        "| trials | searcher | wall | CPU | first | target |",
        "|---:|---|---:|---:|---:|---|",
    ]
    for n, by_name in found.items():
        target = PROPOSAL_TARGETS[int(n)]
        for name, row in by_name.items():
            verdict = "" if "optuna" in name else _verdict(row, target, "ms")
            lines.append(
                f"| {n} | {name} | {row['wall_ms']:.1f} | {row['cpu_ms']:.1f} | "
                f"{row['first_wall_ms']:.0f} | {verdict} |"
            )
    return [*lines, ""]


def _events(found: dict[str, Any]) -> list[str]:
    lines = [
        "## An event (milliseconds, mean)",
        _WHAT_AN_EVENT_IS,
        "",
        "| trials | what | wall | CPU | events | target |",
        "|---:|---|---:|---:|---:|---|",
    ]
    for n, by_name in found.items():
        for name, row in by_name.items():
            is_ours = name.startswith("journal")
            verdict = _verdict(row, EVENT_TARGET, "ms") if is_ours else ""
            lines.append(
                f"| {n} | {name} | {row['wall_ms']:.2f} | {row['cpu_ms']:.2f} | "
                f"{row['count']} | {verdict} |"
            )
    return [*lines, ""]


def _memory(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Memory plan of a segment (milliseconds, median)",
        _WHAT_A_PLAN_IS,
        "",
        "| segment | wall | CPU | plans | target |",
        "|---|---:|---:|---:|---|",
    ]
    for name, row in found.items():
        later = name.startswith("a later")
        verdict = _verdict(row, PLAN_TARGET, "ms") if later else ""
        lines.append(
            f"| {name} | {row['wall_ms']:.2f} | {row['cpu_ms']:.2f} | "
            f"{row['count']} | {verdict} |"
        )
    return [*lines, ""]


def _segments(found: dict[str, Any]) -> list[str]:
    lines = [
        "## A segment that does nothing, through Ray (seconds, mean; 2 at a time)",
        "Between the starts of two segments, those that start workers left out.",
        "",
        "| what | seconds | segments | target |",
        "|---|---:|---:|---|",
    ]
    for name, row in found.items():
        verdict = ""
        if name.startswith("a segment"):
            met = row["seconds"] <= SEGMENT_TARGET
            verdict = f"≤ {SEGMENT_TARGET} s: {'met' if met else 'missed'}"
        count = row["count"]
        lines.append(f"| {name} | {row['seconds']:.3f} | {count} | {verdict} |")
    return [*lines, ""]


def _verdict(row: dict[str, float], target: float, unit: str) -> str:
    if row["wall_ms"] <= target:
        return f"≤ {target:g} {unit}: met"
    if row["cpu_ms"] <= target:
        return f"≤ {target:g} {unit}: met in CPU time, missed in wall time"
    return f"≤ {target:g} {unit}: missed"

"""The tables of the report, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.benchmarks.search_quality.comparison import (
    Block,
    Blocks,
    Comparison,
    Interval,
    compare,
    grouped,
    holm,
    mean_interval,
    relative_interval,
)
from experiments.benchmarks.search_quality.methods import METHODS, OURS
from experiments.benchmarks.search_quality.plan import FAILING, WORKERS
from experiments.benchmarks.search_quality.results import Results, variant

NOT_RUN = "not run"
_LOSS_ALLOWED = 0.10
_FAILING_FLOOR, _FAILING_AIM = 0.20, 0.10
_FAILING_COST = 0.05


@dataclass(frozen=True)
class Target:
    """A regret that the engine is to reach."""

    what: str
    trainings: int
    floor: float
    aim: float
    warm: bool = False


TARGETS = (
    Target("cold", 20, 0.30, 0.28),
    Target("cold", 50, 0.20, 0.16),
    Target("warm", 10, 0.26, 0.20, warm=True),
    Target("warm", 50, 0.15, 0.12, warm=True),
)


def targets(results: Results, marks: Sequence[int]) -> str:
    """Return the regrets of the engine under test beside their floors and aims."""
    rows = []
    for target in TARGETS:
        if target.trainings not in marks:
            continue
        name = variant(OURS, warm=target.warm)
        regrets = results.regrets(name, target.trainings)
        found, verdict = NOT_RUN, ""
        if regrets:
            interval = mean_interval(regrets)
            found, verdict = _shown(interval), _verdict(interval.value, target)
        what = f"{target.what}, after {target.trainings} trainings"
        rows.append([what, f"{target.floor:.2f}", f"{target.aim:.2f}", found, verdict])
    heading = f"Engine under test: {METHODS[OURS].label}.\n\n"
    return heading + markdown(["mean regret", "floor", "aim", "found", ""], rows)


def cold(results: Results, marks: Sequence[int]) -> str:
    """Return every search's regrets at the marks, the best at the last first."""
    names = [name for name in METHODS if results.has(name)]
    names.sort(key=lambda name: results.curve(name)[marks[-1] - 1])
    rows = [
        [
            f"**{METHODS[name].label}**" if name == OURS else METHODS[name].label,
            str(results.seeds(name)),
            *(_shown(mean_interval(results.regrets(name, mark))) for mark in marks),
        ]
        for name in names
    ]
    return markdown(["search", "seeds", *(f"@{mark}" for mark in marks)], rows)


def comparisons(results: Results, trainings: int) -> str:
    """Return the paired comparison of the engine with every other search."""
    ours = results.regrets(OURS, trainings)
    found: dict[str, Comparison] = {}
    for name in METHODS:
        comparison = compare(ours, results.regrets(name, trainings))
        if name != OURS and comparison is not None:
            found[name] = comparison
    blocks = holm([c.p_blocks for c in found.values()])
    tasks = holm([c.p_tasks for c in found.values()])
    rows = [
        [
            METHODS[name].label,
            str(comparison.n_blocks),
            _signed(comparison.difference),
            f"{p_blocks:.2g}",
            f"{p_tasks:.2g}",
            str(comparison.tasks),
            str(comparison.blocks),
            _judged(comparison, p_blocks),
        ]
        for (name, comparison), p_blocks, p_tasks in zip(
            found.items(), blocks, tasks, strict=True
        )
    ]
    columns = ["against", "pairs", "difference", "p (pairs)", "p (tasks)"]
    columns += ["tasks won/tied/lost", "pairs won/tied/lost", "engine is"]
    return markdown(columns, rows)


def per_task(results: Results, trainings: int) -> str:
    """Return the mean regret of every search on every task, the best in bold."""
    names = [name for name in METHODS if results.has(name)]
    means = {name: _task_means(results.regrets(name, trainings)) for name in names}
    tasks = sorted({task for found in means.values() for task in found}, key=_as_number)
    rows = []
    for task in tasks:
        values = [means[name].get(task, np.nan) for name in names]
        best = np.nanmin(values)
        rows.append([task, *(_emphasised(value, best) for value in values)])
    return markdown(["task", *(f"`{name}`" for name in names)], rows)


def workers(results: Results, marks: Sequence[int]) -> str:
    """Return what several workers lose against one at equal epochs."""
    rows = []
    for count in WORKERS:
        name = variant(OURS, workers=count)
        for mark in marks:
            base = results.regrets(OURS, mark)
            changed = results.regrets(name, mark)
            comparison = compare(changed, base)
            if comparison is None:
                rows.append([str(count), str(mark), NOT_RUN, "", "", "", "", ""])
                continue
            rows.append(
                [
                    *(str(count), str(mark), str(results.seeds(name))),
                    _shown(mean_interval(changed)),
                    _signed(comparison.difference),
                    *_relative(changed, base),
                    _percent(relative_interval(_gains(changed), _gains(base))),
                ]
            )
    columns = ["workers", "trainings", "seeds", "regret", "minus that of one worker"]
    columns += ["relative to that of one", "interval has values below 10 %"]
    return markdown([*columns, "gain relative to that of one"], rows)


def _relative(changed: Blocks, base: Blocks) -> tuple[str, str]:
    """Return the relative loss and whether it may lie below what is allowed."""
    if not mean_interval(base).low > 0:
        return "undefined: that of one may be 0", "-"
    loss = relative_interval(changed, base)
    return _percent(loss), "yes" if loss.low < _LOSS_ALLOWED else "no"


def _gains(regrets: Blocks) -> dict[Block, float]:
    """Return what was gained on the median of random configurations, whose regret is 1.

    Other than the regret itself it is never near zero, so ratios of it mean something.
    """
    return {block: 1 - regret for block, regret in regrets.items()}


def failing(results: Results, trainings: int) -> str:
    """Return how the engine copes with a region that fails next to the optimum."""
    rows = []
    for percent in FAILING:
        name = variant(OURS, failing=percent)
        shares = results.late_failures(name)
        if not shares:
            rows.append([f"{percent} %", NOT_RUN, "", "", "", ""])
            continue
        share = mean_interval(shares)
        cost = compare(
            results.regrets(name, trainings), results.regrets(OURS, trainings)
        )
        shown = f"{share.value:.1%}"
        if share.is_known:
            shown += f" ({share.low:.1%} … {share.high:.1%})"
        row = [f"{percent} %", str(results.seeds(name)), shown]
        row.append(_reached(share.value, _FAILING_FLOOR, _FAILING_AIM))
        if cost is not None:
            within = cost.difference.value <= _FAILING_COST
            row += [_signed(cost.difference), "yes" if within else "no"]
        rows.append([*row, *[""] * (6 - len(row))])
    columns = ["failing", "seeds", "failing proposals after the 30th (random: as many "]
    columns[-1] += "as fail)"
    columns += ["floor 20 %, aim 10 %", f"regret@{trainings} against no region"]
    return markdown([*columns, "within 0.05"], rows)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _judged(comparison: Comparison, p: float) -> str:
    if p >= 0.05:
        return "not different"
    return "better" if comparison.difference.value < 0 else "worse"


def _verdict(value: float, target: Target) -> str:
    return _reached(value, target.floor, target.aim)


def _reached(value: float, floor: float, aim: float) -> str:
    if value <= aim:
        return "aim"
    return "floor" if value <= floor else "**missed**"


def _shown(interval: Interval) -> str:
    if not interval.is_known:
        return f"{interval.value:.3f}"
    half = (interval.high - interval.low) / 2
    return f"{interval.value:.3f} ± {half:.3f}"


def _signed(interval: Interval) -> str:
    if not interval.is_known:
        return f"{interval.value:+.3f}"
    return f"{interval.value:+.3f} ({interval.low:+.3f} … {interval.high:+.3f})"


def _percent(interval: Interval) -> str:
    if not interval.is_known:
        return f"{interval.value:+.1%}"
    return f"{interval.value:+.1%} ({interval.low:+.1%} … {interval.high:+.1%})"


def _emphasised(value: float, best: float) -> str:
    if np.isnan(value):
        return ""
    return f"**{value:.3f}**" if value <= best else f"{value:.3f}"


def _task_means(regrets: Blocks) -> dict[str, float]:
    return {task: float(np.mean(found)) for task, found in grouped(regrets).items()}


def _as_number(task: str) -> tuple[int, str]:
    return (int(task) if task.isdigit() else 0, task)

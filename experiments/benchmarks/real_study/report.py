"""The report: validation error at equal epochs, and paired differences to random."""

from collections.abc import Mapping

from experiments.benchmarks.search_quality.comparison import (
    Blocks,
    compare,
    mean_interval,
)

Curves = Mapping[str, Mapping[int, tuple[float, ...]]]
"""Algorithm → seed → (epochs,) best validation MAE so far, in eV."""
EPOCHS = 27
"""Of a full training."""
MARKS = (4, 8, 16)
"""In full trainings."""
LABELS = {
    "default": "**default** (`gaussian`, promotion-type halving)",
    "random-halving": "random, promotion-type halving",
    "random": "random, full trainings",
}


def report(found: Curves) -> str:
    """Return the report as Markdown."""
    n_seeds = len(next(iter(found.values())))
    head = ["search", *(f"after {mark * EPOCHS} epochs" for mark in MARKS)]
    means = [
        [LABELS[name], *(_mean(curves, mark) for mark in MARKS)]
        for name, curves in found.items()
    ]
    differences = [
        [LABELS[name], *(_difference(found["default"], curves, m) for m in MARKS)]
        for name, curves in found.items()
        if name != "default"
    ]
    seeds = [
        [str(seed), *(f"{found[name][seed][-1]:.4f}" for name in found)]
        for seed in sorted(found["default"])
    ]
    parts = (
        _INTRODUCTION.format(seeds=n_seeds),
        _table(head, means),
        _DIFFERENCES,
        _table(["against", *head[1:]], differences),
        "After the last epoch, by seed:",
        _table(["seed", *(LABELS[name] for name in found)], seeds),
    )
    return "\n\n".join(parts) + "\n"


def _at(curves: Mapping[int, tuple[float, ...]], mark: int) -> Blocks:
    return {("perovskites", s): c[mark * EPOCHS - 1] for s, c in curves.items()}


def _mean(curves: Mapping[int, tuple[float, ...]], mark: int) -> str:
    found = mean_interval(_at(curves, mark))
    return f"{found.value:.4f} ({found.low:.4f} … {found.high:.4f})"


def _difference(
    ours: Mapping[int, tuple[float, ...]],
    other: Mapping[int, tuple[float, ...]],
    mark: int,
) -> str:
    found = compare(_at(ours, mark), _at(other, mark))
    if found is None:
        return "not run"
    low, high = f"{found.difference.low:+.4f}", f"{found.difference.high:+.4f}"
    words = f"{found.difference.value:+.4f} ({low} … {high})"
    return f"{words}, p {found.p_blocks:.2g}, {found.blocks}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_INTRODUCTION = """\
# Searches on real crystals, at equal epochs

Site-Net on the heat of formation (eV per cell) of perovskites of five atoms, 400 to
train on and 100 that validate, in a space of 16 hyperparameters (`space.yaml`:
Table 1 of the 2023 paper, narrower). Whole studies through Ray, one trial at a time, as
`study.yaml` and `sitenet search run` run them: 432 epochs, sixteen full trainings of
27. {seeds} seeds, each another split and another search. Smallest validation MAE so far
in eV, mean over the seeds; in parentheses 95 % intervals from resampled seeds."""

_DIFFERENCES = """\
Difference of the default to each other search on the same split (negative is better;
paired, 95 % interval, p of Wilcoxon's signed-rank test), and on how many splits it was
better / equal / worse:"""

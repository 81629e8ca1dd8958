"""Time and memory of a step against its number of pairs."""

from pathlib import Path

from experiments.benchmarks.core.medians import Medians
from experiments.benchmarks.core.plan import OURS, SHIPPED, step_name
from experiments.benchmarks.core.setup import Setup
from experiments.benchmarks.core.tables import GIB

_STYLES = {
    "ours": ("ours, eager", "o-"),
    "ours_compiled": ("ours, compiled", "s-"),
    "dense": ("dense", "^--"),
}


def plot_growth(setup: Setup, medians: Medians, path: Path) -> None:
    """Draw both curves, as an SVG, over the pairs before merging."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    key = "cpu_seconds" if setup.device == "cpu" else "wall_seconds"
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name in (*OURS, "dense"):
        points = curve(setup, medians, name, key)
        label, style = _STYLES[name]
        if points:
            pairs, seconds, peaks = zip(*points, strict=True)
            axes[0].loglog(pairs, seconds, style, label=label)
            axes[1].loglog(pairs, [p / GIB for p in peaks], style, label=label)
    names = (key.replace("_", " "), "peak memory, GiB")
    for axis, what in zip(axes, names, strict=True):
        axis.set_xlabel("pairs of the batch before merging")
        axis.set_ylabel(f"{what}, one step")
        axis.grid(visible=True, which="major", alpha=0.3)
    if axes[0].lines:
        axes[0].legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def curve(
    setup: Setup, medians: Medians, implementation: str, key: str
) -> list[tuple[float, float, float]]:
    """Return (pairs before merging, seconds, bytes) of each measured point."""
    points = []
    for limit, sites in setup.curve:
        name = step_name(implementation, SHIPPED, limit, sites)
        values = [medians.of(name, k) for k in ("n_unmerged_pairs", key, "peak_bytes")]
        known = [v for v in values if v is not None]
        if len(known) == len(values):
            points.append((known[0], known[1], known[2]))
    return sorted(points)

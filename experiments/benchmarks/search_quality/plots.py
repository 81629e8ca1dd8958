"""Mean regret against budget."""

from pathlib import Path

from experiments.benchmarks.search_quality.methods import METHODS, OURS
from experiments.benchmarks.search_quality.results import Results, variant

_FIRST = 3
"""Budget at which the plot begins: before it every search is random."""


def plot_regret(results: Results, path: Path) -> None:
    """Draw every search's mean regret, as an SVG; ours are the thick lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "regret"
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 5), layout="constrained")
    warm = variant(OURS, warm=True)
    labels = {name: method.label for name, method in METHODS.items()}
    labels[warm] = f"{labels[OURS]}, warm"
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for index, (name, label) in enumerate(labels.items()):
        if not results.has(name):
            continue
        curve = results.curve(name)
        budgets = range(min(_FIRST, len(curve)), len(curve) + 1)
        width, style = (3, "-") if name in {OURS, warm} else (1.3, "--")
        shown = [float(curve[budget - 1]) for budget in budgets]
        axis.plot(budgets, shown, style, lw=width, label=label, color=colours[index])
    axis.set_xlabel("budget in full trainings")
    axis.set_ylabel("mean normalised regret")
    axis.grid(visible=True, alpha=0.3)
    if axis.lines:
        axis.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)

"""The tables of the report, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.benchmarks.core.medians import Medians
from experiments.benchmarks.core.plan import (
    ACCURACIES,
    GROWTH,
    KINDS,
    OURS,
    SHIPPED,
    VARIANTS,
    cold_name,
    fit_name,
    implementations,
    threads_name,
)
from experiments.benchmarks.core.plan import step_name as named
from experiments.benchmarks.core.setup import Setup

GIB, MIB, KB = 2**30, 2**20, 1e3


@dataclass(frozen=True)
class Measure:
    """One line of the table of measures."""

    what: str
    found: float | None
    floor: float | None
    """None where nothing is demanded: the number is there to be seen."""
    aim: float | None
    unit: str
    more_is_better: bool = False

    def row(self) -> list[str]:
        """Return the cells: measure, floor, aim, found, verdict."""
        found = "not measured" if self.found is None else self._shown(self.found)
        bounds = [self._shown(bound) for bound in (self.floor, self.aim)]
        return [self.what, *bounds, found, self._verdict()]

    def _shown(self, value: float | None) -> str:
        return "–" if value is None else f"{value:.3g}{self.unit}"

    def _reached(self, bound: float | None) -> bool:
        if self.found is None or bound is None:
            return False
        return self.found >= bound if self.more_is_better else self.found <= bound

    def _verdict(self) -> str:
        if self.found is None or self.floor is None:
            return "–"
        if self._reached(self.aim):
            return "aim"
        return "floor" if self._reached(self.floor) else "**below the floor**"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(value: float | None, scale: float = 1.0, digits: int = 3) -> str:
    """Return a number for a table, a dash if it was not measured."""
    return "–" if value is None else f"{value / scale:.{digits}g}"


def steps(setup: Setup, medians: Medians) -> str:
    """Return seconds, memory and page faults of a step, side by side."""
    key = "cpu_seconds" if setup.device == "cpu" else "wall_seconds"
    rows = []
    for limit in setup.limits:
        for variant in VARIANTS:
            base = named("ours", variant, limit, setup.sites)
            for implementation in implementations(setup):
                name = named(implementation, variant, limit, setup.sites)
                if not medians.count(name):
                    continue
                rows.append(
                    [
                        str(limit),
                        variant,
                        implementation.replace("_", ", "),
                        shown(medians.of(name, key)),
                        shown(medians.ratio(name, base, key)),
                        shown(medians.of(name, "peak_bytes"), GIB),
                        shown(medians.ratio(name, base, "peak_bytes")),
                        shown(medians.of(name, "page_faults"), 1e3),
                        shown(medians.of(name, "gpu_share")),
                        str(medians.count(name)),
                    ]
                )
    header = ["atoms", "variant", "implementation", f"{key.replace('_', ' ')}"]
    header += ["÷ ours", "peak GiB", "÷ ours", "10³ page faults", "GPU share", "runs"]
    return markdown(header, rows)


def fits(setup: Setup, medians: Medians) -> str:
    """Return a step through `fit`, and the loader's part of a plain step."""
    rows = []
    for limit in setup.limits:
        for kind, implementation in zip(KINDS, OURS, strict=True):
            plain = named(implementation, SHIPPED, limit, setup.sites)
            step = medians.of(plain, "cpu_seconds")
            load = medians.of(plain, "loader_cpu_seconds")
            share = load / step if load is not None and step else None
            whole = medians.of(fit_name(kind, "32", limit), "cpu_seconds")
            rows.append([str(limit), kind, shown(step), shown(whole), shown(share)])
    header = ["atoms", "network", "step, CPU-s", "epoch of one step, `fit`, CPU-s"]
    return markdown([*header, "loader ÷ step"], rows)


def features(setup: Setup, medians: Medians) -> str:
    """Return the milliseconds per structure, ours and the published code's."""
    rows = []
    for limit in setup.feature_limits:
        ours, theirs = (
            f"features/{who}/{limit} atoms" for who in ("ours", "published")
        )
        keys = ("mean_ms", "median_ms", "largest_ms", "reading_ms")
        rows.append(
            [
                str(limit),
                *(shown(medians.of(ours, key)) for key in keys),
                shown(medians.of(theirs, "mean_ms")),
                shown(medians.ratio(theirs, ours, "mean_ms")),
                shown(medians.of(ours, "bytes"), KB),
                shown(medians.of(theirs, "bytes"), KB),
            ]
        )
    header = ["atoms", "mean ms", "median ms", "largest ms", "reading before, ms"]
    header += ["published, mean ms", "published ÷ ours", "store, kB", "published, kB"]
    return markdown(header, rows)


def stages(setup: Setup, medians: Medians) -> str:
    """Return the milliseconds per structure in each function of `featurise`."""
    columns = [
        medians.last(f"features/ours/{limit} atoms").get("stages_ms", {})
        for limit in setup.feature_limits
    ]
    names = sorted(columns[-1], key=lambda name: -columns[-1][name])
    rows = [[f"`{n}`", *(shown(c.get(n)) for c in columns)] for n in names]
    header = ["function (callees apart), ms"]
    return markdown([*header, *(f"{n} atoms" for n in setup.feature_limits)], rows)


def accuracy(setup: Setup, medians: Medians) -> str:
    """Return the largest differences of predictions and gradients."""
    rows = []
    for limit, sites in setup.accuracy:
        for kind in ACCURACIES:
            found = medians.last(f"accuracy/{kind}/{limit} atoms")
            keys = ("predictions_relative", "predictions_ev")
            keys += ("gradients_relative", "gradients_l2")
            cells = [shown(found.get(key), digits=2) for key in keys]
            rows.append([kind, str(limit), str(sites), *cells])
    header = ["what", "atoms", "unique sites", "predictions, relative"]
    header += ["predictions, eV", "gradients, of the largest", "gradients, L2"]
    return markdown(header, rows)


def starts(setup: Setup, medians: Medians) -> str:
    """Return the seconds until a first batch, and of the first two steps."""
    names = [(f"{n}", f"start/{n} atoms") for n in setup.limits]
    largest = max(setup.limits)
    names.append((f"{largest}, kernels compiled anew", cold_name(largest)))
    keys = ("opening", "building", "first_batch", "wall_seconds")
    keys += ("first_step", "second_step", "kernels_compiled")
    rows = [[what, *(shown(medians.of(name, k)) for k in keys)] for what, name in names]
    header = ["atoms", "open store", "build network", "make first group", "together"]
    header += ["first step", "second step", "kernels compiled"]
    return markdown(header, rows)


def threads(setup: Setup, medians: Medians) -> str:
    """Return the seconds of a step with one and with two threads."""
    rows = []
    for limit in setup.limits:
        name = threads_name(limit)
        one, two, *cpu = (
            medians.of(name, f"{clock}_seconds_{n}")
            for clock in ("wall", "cpu")
            for n in (1, 2)
        )
        ratio = one / two if one is not None and two else None
        cells = (one, two, ratio, *cpu, medians.of(name, "load_average"))
        rows.append([str(limit), *(shown(value) for value in cells)])
    header = ["atoms", "wall s, 1 thread", "wall s, 2 threads", "1 ÷ 2 threads"]
    header += ["CPU-s, 1 thread", "CPU-s, 2 threads", "load of the machine"]
    return markdown(header, rows)


def memory(setup: Setup, medians: Medians) -> str:
    """Return growth with the supercell, and what large primitive cells take."""
    rows = []
    for limit in sorted({*setup.feature_limits, *setup.limits}):
        name = f"growth/{limit} atoms"
        what = f"{GROWTH * setup.sites} sites, {limit} atoms, {setup.pair_budget} pairs"
        rows.append([what, *_memory_cells(medians, name)])
    for n_atoms in setup.cells:
        for purpose in ("train", "predict"):
            name = f"cell/{n_atoms} sites/{purpose}"
            what = f"one primitive cell of {n_atoms}, {purpose}"
            rows.append([what, *_memory_cells(medians, name)])
    return markdown(["step", "pairs", "groups", "CPU-s", "peak MiB"], rows)


def _memory_cells(medians: Medians, name: str) -> list[str]:
    return [
        shown(medians.of(name, "n_pairs"), digits=6),
        shown(medians.of(name, "n_groups")),
        shown(medians.of(name, "cpu_seconds")),
        shown(medians.of(name, "peak_bytes"), MIB),
    ]

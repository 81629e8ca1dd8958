"""The searches that are compared, by name: the product's engines, and the peers."""

import ast
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from experiments.benchmarks.search_quality.peers.optuna_tpe import run_optuna
from experiments.benchmarks.search_quality.peers.ray_wiring import run_ray_wiring
from experiments.benchmarks.search_quality.peers.smac_search import run_smac
from experiments.benchmarks.search_quality.peers.training import FIRST_RUNG
from experiments.benchmarks.search_quality.problem import Problem
from experiments.benchmarks.search_quality.simulate import Simulation, Trace
from search.engine.rules import Engine
from search.engine.schedulers import make_scheduler
from search.engine.searchers import SEARCHERS, make_searcher
from search.engine.searchers.protocol import NO_EARLIER, Earlier
from search.study.config import AlgorithmConfig

ROOT = Path(__file__).resolve().parents[3]
_HERE = "experiments/benchmarks/search_quality"
_ENGINE_CODE = (
    "search/engine/conductor.py",
    "search/engine/progress.py",
    "search/engine/rules.py",
    "search/engine/schedulers",
    "search/engine/searchers",
    "search/journal/records.py",
    "search/journal/state.py",
    "search/space",
    f"{_HERE}/simulate.py",
)


@dataclass(frozen=True)
class EngineMethod:
    """Searcher and scheduler of the product, by the names that a study file uses."""

    label: str
    searcher: str
    scheduler: str = "asha"
    min_epochs: int = FIRST_RUNG
    eta: int = 3

    def engine(self, problem: Problem, earlier: Earlier = NO_EARLIER) -> Engine:
        """Return the objects that a study with these names would use."""
        scheduler = make_scheduler(
            self.scheduler,
            epochs=problem.epochs,
            min_epochs=self.min_epochs,
            eta=self.eta,
        )
        searcher = make_searcher(self.searcher)
        return Engine(problem.space, searcher, scheduler, earlier=earlier)

    def run(self, problem: Problem, seed: int, epochs: int) -> Trace:
        """Search with one worker."""
        return Simulation(problem, self.engine(problem), seed=seed).run(epochs)[0]

    @property
    def fingerprint(self) -> str:
        """Digest of the code that decides the result."""
        rungs = f"{self.scheduler} {self.min_epochs} {self.eta}"
        return code_digest(_ENGINE_CODE, rungs)


class Runner(Protocol):
    """A peer's loop."""

    def __call__(self, problem: Problem, seed: int, epochs: int) -> Trace:
        """Search until `epochs` epochs are trained."""
        ...


@dataclass(frozen=True)
class Peer:
    """A search that is not ours."""

    label: str
    runner: Runner
    module: str
    """Where its loop is, under `peers`."""
    packages: tuple[str, ...] = ()
    max_seeds: int | None = None
    """A slow one gets fewer."""

    def run(self, problem: Problem, seed: int, epochs: int) -> Trace:
        """Search with one worker."""
        return self.runner(problem, seed, epochs)

    @property
    def fingerprint(self) -> str:
        """Digest of its loop and of the versions of what it calls."""
        parts = (f"{_HERE}/peers/{self.module}.py", f"{_HERE}/peers/training.py")
        versions = [f"{name} {_version(name)}" for name in self.packages]
        return code_digest(parts, *versions)


Method = EngineMethod | Peer

ENGINES: dict[str, EngineMethod] = {
    f"asha-{name}": EngineMethod(f"ASHA (promotion) + `{name}`", name)
    for name in SEARCHERS
}
"""Every searcher that a study file may name, under promotion-type halving."""
OURS = f"asha-{AlgorithmConfig().searcher}"
"""The engine under test has the searcher that a study has by default."""

_ray: Callable[..., Runner] = partial(partial, run_ray_wiring)
_optuna: Callable[..., Runner] = partial(partial, run_optuna)
_RAY, _OPTUNA = ("ray", "hyperopt"), ("optuna",)
PEERS: dict[str, Peer] = {
    "random": Peer(
        "random, full trainings", _ray(searcher="random", asha=False), "ray_wiring"
    ),
    "ray-asha-random": Peer(
        "Ray's ASHA (stopping) + random",
        _ray(searcher="random", asha=True),
        "ray_wiring",
        _RAY,
    ),
    "ray-hyperopt": Peer(
        "HyperOpt as Ray wires it",
        _ray(searcher="hyperopt", asha=False),
        "ray_wiring",
        _RAY,
    ),
    "ray-asha-hyperopt": Peer(
        "Ray's ASHA (stopping) + HyperOpt, last value told",
        _ray(searcher="hyperopt", asha=True),
        "ray_wiring",
        _RAY,
    ),
    "optuna": Peer("Optuna TPE (multivariate)", _optuna(), "optuna_tpe", _OPTUNA),
    "optuna-independent": Peer(
        "Optuna TPE, independent", _optuna(multivariate=False), "optuna_tpe", _OPTUNA
    ),
    "optuna-median": Peer(
        "Optuna TPE + median pruner", _optuna(pruner="median"), "optuna_tpe", _OPTUNA
    ),
    "optuna-halving": Peer(
        "Optuna TPE + successive halving",
        _optuna(pruner="halving"),
        "optuna_tpe",
        _OPTUNA,
    ),
    "optuna-hyperband": Peer(
        "Optuna TPE + Hyperband", _optuna(pruner="hyperband"), "optuna_tpe", _OPTUNA
    ),
    "smac": Peer(
        "SMAC (random forest)", run_smac, "smac_search", ("smac",), max_seeds=3
    ),
}
METHODS: dict[str, Method] = {**ENGINES, **PEERS}


def _code(file: Path) -> str:
    """Return the syntax tree of a file without its docstrings, as text."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(line: ast.stmt) -> bool:
    if not isinstance(line, ast.Expr) or not isinstance(line.value, ast.Constant):
        return False
    return isinstance(line.value.value, str)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=64)
def code_digest(parts: tuple[str, ...], *words: str) -> str:
    """Return a digest of the code in `parts` and of `words`.

    Comments, docstrings and layout decide no result, so they are left out.

    Args:
        parts: files and folders, relative to the checkout.
        words: whatever else decides a result.
    """
    digest = hashlib.sha256()
    for part in parts:
        path = ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(_code(file).encode())
    digest.update("\n".join(words).encode())
    return digest.hexdigest()[:16]

"""The import directions that the design states, checked on every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Layer of each sub-package: a module may import its own layer and lower ones.
CORE_LAYERS = {
    "errors": 0,
    "durable": 0,
    "config": 0,
    "structures": 1,
    "data": 2,
    "models": 2,
    "features": 2,
    "families": 3,
    "bundle": 4,
    "training": 4,
    "baselines": 4,
    "predict": 4,
}
SEARCH_LAYERS = {
    "space": 1,
    "trial": 1,
    "journal": 1,
    "engine": 2,
    "tracking": 2,
    "study": 3,
    "promotion": 3,
    "cli": 4,
}
# Third-party package → the only places that may import it.
ONLY_IN = {
    "hyperopt": ("search/engine/searchers/hyperopt_tpe.py",),
    "numba": ("sitenet_core/models/sitenet/fused/kernels.py",),
    "mlflow": ("search/tracking",),
    "ray": ("search/engine/ray_", "search/trial/ray_"),
    "pymatgen": ("sitenet_core/structures", "sitenet_core/features"),
    "matminer": ("sitenet_core/structures", "sitenet_core/features"),
}


def modules() -> list[Path]:
    """Return every module of the two packages, relative to the root."""
    found = [
        p for name in ("sitenet_core", "search") for p in (ROOT / name).rglob("*.py")
    ]
    return sorted(p.relative_to(ROOT) for p in found)


def imports(path: Path, *, at_runtime: bool) -> Iterator[str]:
    """Yield the absolute names that a module imports."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    if at_runtime:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                skipped.update(n for child in node.body for n in ast.walk(child))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer(name: str) -> tuple[str, int] | None:
    """Return package and layer of a dotted module name of ours."""
    parts = name.split(".")
    table = {"sitenet_core": CORE_LAYERS, "search": SEARCH_LAYERS}.get(parts[0])
    if table is None or len(parts) < 2 or parts[1] not in table:
        return None
    return parts[0], table[parts[1]]


def test_every_subpackage_has_a_layer() -> None:
    for package, table in (("sitenet_core", CORE_LAYERS), ("search", SEARCH_LAYERS)):
        found = {
            p.stem if p.is_file() else p.name
            for p in (ROOT / package).iterdir()
            if p.name not in {"__init__.py", "__pycache__", "py.typed", "README.md"}
        }
        assert found <= set(table), f"{package}: no layer for {found - set(table)}"


@pytest.mark.parametrize("path", modules(), ids=str)
def test_a_module_imports_only_its_own_layer_and_lower_ones(path: Path) -> None:
    own = layer(".".join(path.with_suffix("").parts))
    for name in imports(path, at_runtime=False):
        if path.parts[0] == "sitenet_core":
            assert name.split(".")[0] not in {"search", "ray", "hyperopt", "mlflow"}
        other = layer(name)
        if own and other and own[0] == other[0]:
            assert other[1] <= own[1], f"{path} imports {name}, which lies above it"


@pytest.mark.parametrize("path", modules(), ids=str)
def test_a_heavy_library_is_imported_only_where_it_belongs(path: Path) -> None:
    for name in imports(path, at_runtime=True):
        places = ONLY_IN.get(name.split(".")[0])
        if places is not None:
            assert str(path).startswith(places), f"{path} imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in modules() if p.parts[:2] == ("sitenet_core", "models")], ids=str
)
def test_models_import_torch_their_config_and_nothing_else(path: Path) -> None:
    allowed = ("torch", "sitenet_core.models", "sitenet_core.config.strict", "pydantic")
    standard = ("typing", "collections", "dataclasses", "math", "enum")
    standard += ("itertools", "functools", "concurrent.futures", "os", "threading")
    if path.name == "kernels.py":
        allowed += ("numba", "numpy")
    for name in imports(path, at_runtime=True):
        assert name.startswith(allowed + standard), f"{path} imports {name}"


def test_mlflow_and_hyperopt_are_each_imported_in_one_module() -> None:
    for library in ("mlflow", "hyperopt"):
        users = [
            str(path)
            for path in modules()
            if any(n.split(".")[0] == library for n in imports(path, at_runtime=True))
        ]
        assert len(users) <= 1, f"{library} is imported in {users}"

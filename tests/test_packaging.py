"""What is declared for installation is what the tree holds."""

import importlib
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_every_package_is_listed() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in ("sitenet_core", "search")
        for path in (ROOT / name).rglob("__init__.py")
    }
    assert set(project()["tool"]["setuptools"]["packages"]) == found


def test_every_module_lies_in_a_package() -> None:
    for name in ("sitenet_core", "search"):
        for path in (ROOT / name).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


def test_every_exported_name_exists() -> None:
    for name in project()["tool"]["setuptools"]["packages"]:
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", ()):
            assert hasattr(module, exported), f"{name}.{exported}"


def test_folders_of_yaml_and_tests_are_no_packages() -> None:
    for name in ("spaces", "experiments", "docker", "tests"):
        assert not list((ROOT / name).rglob("__init__.py")), name


def test_every_installed_data_file_is_there() -> None:
    for patterns in project()["tool"]["setuptools"]["data-files"].values():
        for pattern in patterns:
            assert list(ROOT.glob(pattern)), pattern


def test_every_requirement_is_pinned() -> None:
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    }
    declared = project()["project"]
    groups = [declared["dependencies"], *declared["optional-dependencies"].values()]
    names = {
        requirement.replace("[", "<").replace(">", "<").split("<")[0].lower()
        for group in groups
        for requirement in group
    }
    assert names <= pinned

"""A study of two dozen tiny crystals that trains in seconds."""

from pathlib import Path
from typing import Any

from pymatgen.core import Lattice, Structure
from ruamel.yaml import YAML

from sitenet_core.config import merge

_METALS = ("Li", "Na", "K", "Rb", "Cs", "Ag")
_HALIDES = ("F", "Cl", "Br", "I")


def write_crystals(folder: Path) -> Path:
    """Write 24 salts with their lattice constants as targets."""
    folder.mkdir(parents=True)
    rows = ["id,target"]
    for i, metal in enumerate(_METALS):
        for j, halide in enumerate(_HALIDES):
            edge = 3.0 + 0.3 * i + 0.2 * j
            salt = Structure(
                Lattice.cubic(edge), [metal, halide], [[0, 0, 0], [0.5, 0.5, 0.5]]
            )
            salt.to(filename=str(folder / f"{metal}{halide}.cif"))
            rows.append(f"{metal}{halide},{edge}")
    (folder / "id_prop.csv").write_text("\n".join(rows) + "\n")
    return folder


SPACE = {
    "version": 1,
    "family": "sitenet",
    "description": "toy",
    "preset": "test",
    "fixed": {"cell.max_atoms": 8},
    "parameters": {
        "optimizer.learning_rate": {
            "type": "float",
            "low": 1e-4,
            "high": 1e-2,
            "log": True,
        }
    },
    "known_good": [{"optimizer.learning_rate": 1e-3}],
}


def study_document(crystals: Path, **changes: Any) -> dict[str, Any]:
    """Return the content of a small study file, with nested changes."""
    document = {
        "version": 1,
        "name": "toy",
        "space": "space.yaml",
        "data": {
            "source": str(crystals),
            "target": {"column": "target", "name": "edge", "unit": "angstrom"},
        },
        "configuration": {"training": {"epochs": 2}},
        "algorithm": {"searcher": "random", "scheduler": {"kind": "none"}},
        "budget": {"trials": 2},
        "resources": {"concurrent": 1},
    }
    return merge(document, changes)


def write_study(folder: Path, document: dict[str, Any], **space: Any) -> Path:
    """Write study and space beside each other and return the study's path."""
    folder.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    with (folder / "space.yaml").open("w") as file:
        yaml.dump({**SPACE, **space}, file)
    with (folder / "study.yaml").open("w") as file:
        yaml.dump(document, file)
    return folder / "study.yaml"

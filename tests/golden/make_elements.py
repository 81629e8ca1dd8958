"""Writes sitenet_core/features/elements.json from matminer's Magpie tables.

Run from the repository root, in the environment of the project:

    python tests/golden/make_elements.py

The tables are those of matminer's package folder, data_files/magpie_elementdata; the
values for Z = 1-103 are taken as they stand, null where the table has none.
"""

import json
from importlib.metadata import version
from pathlib import Path

import matminer.utils.data

COLUMNS = {
    "Number": "1",
    "AtomicWeight": "u",
    "Row": "1",
    "Column": "1",
    "FirstIonizationEnergy": "eV",
    "Electronegativity": "Pauling",
    "AtomicRadius": "Å",
    "Density": "kg/m³",
}
LARGEST_Z = 103
ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "sitenet_core" / "features" / "elements.json"
TABLES = Path(matminer.utils.data.__file__).parent / "data_files" / "magpie_elementdata"


def column(name: str) -> list[float | None]:
    """Return the values of one property for Z = 1 to 103, None where missing."""
    lines = (TABLES / f"{name}.table").read_text().splitlines()[:LARGEST_Z]
    values: list[float | None] = []
    for line in lines + [""] * (LARGEST_Z - len(lines)):
        try:
            number = float(line)
        except ValueError:
            number = float("nan")
        values.append(number if number == number else None)  # noqa: PLR0124 - is NaN
    return values


def main() -> None:
    """Write the file."""
    document = {
        "source": f"matminer {version('matminer')}, Magpie elemental tables",
        "units": COLUMNS,
        "columns": {name: column(name) for name in COLUMNS},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    TARGET.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

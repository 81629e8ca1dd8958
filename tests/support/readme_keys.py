"""The keys of `--json` as the README of `search/` documents them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "search" / "README.md"
ROW = re.compile(r"\| `sitenet ([a-z ]+?)(?: [A-Z].*?)?` \|.*\| (.*) \|")
KEY = re.compile(r"`(\w+)`(?: \(([^)]*)\))?")


def documented() -> dict[str, str]:
    """Return the last column of the README's table, by command."""
    text = README.read_text(encoding="utf-8")
    return {
        found[1]: found[2] for line in text.split("\n") if (found := ROW.match(line))
    }


def keys(command: str) -> dict[str, set[str]]:
    """Return the documented keys of `command`, each with those inside it."""
    cell = documented()[command]
    if cell.startswith("as `"):
        return keys(cell.removeprefix("as `").removesuffix("`"))
    outer = re.fullmatch(r"`(\w+)`: (.*)", cell)
    if outer:
        return {outer[1]: set(re.findall(r"`(\w+)`", outer[2]))}
    return {key: set(re.findall(r"`(\w+)`", inner)) for key, inner in KEY.findall(cell)}


def check_keys(document: Mapping[str, Any], command: str) -> None:
    """Assert that `document` has the documented keys, also in its parts."""
    expected = keys(command)
    assert set(document) == set(expected)
    for key, inner in expected.items():
        parts = document[key] if isinstance(document[key], list) else [document[key]]
        for part in parts if inner else ():
            assert part is None or set(part) == inner, key

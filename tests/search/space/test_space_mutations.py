"""Whatever stands in a space file, it loads or says at which line why not."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from search.space import load_space
from sitenet_core.errors import ConfigError

GOOD: dict[str, Any] = {
    "version": 1,
    "family": "sitenet",
    "preset": "test",
    "fixed": {"cell.max_atoms": 20},
    "parameters": {
        "model.embedding_dim": {
            "type": "integer",
            "low": 1,
            "high": 8,
            "prior": {"value": 3, "spread": 2, "weight": 0.5},
        },
        "optimizer.learning_rate": {
            "type": "float",
            "low": 1e-4,
            "high": 1e-2,
            "log": True,
        },
        "model.pooling": {
            "type": "choice",
            "values": ["mean", "max"],
            "prior": {"value": ["mean"]},
        },
        "model.attention_weights.depth": {"type": "integer", "low": 0, "high": 1},
        "model.attention_weights.width": {
            "type": "integer",
            "low": 2,
            "high": 8,
            "when": {"model.attention_weights.depth": {"at_least": 1}},
        },
    },
    "known_good": [
        {
            "model.embedding_dim": 3,
            "optimizer.learning_rate": 1e-3,
            "model.pooling": "mean",
            "model.attention_weights.depth": 0,
        }
    ],
    "constraints": ["model.embedding_dim * 2 <= 14"],
}
"""With every key of the format."""

RAW = (
    *("1", "-1", "0", "1.5", "1e400", "1e-320", "-1e308", ".inf", ".nan", "0x10"),
    *("1" + "0" * 400, "9007199254740993", "null", "true", "'x'", "''", "2020-01-01"),
    *("[]", "{}", "[1]", "[null]", "[[1]]", "{a: 1}", "{1: 2}", "!!binary aGk="),
    *("model.embedding_dim", "{model.pooling: {at_least: 2020-01-01}}"),
    *("{model.pooling: {in: [[1]]}}", "[model.embedding_dim <= 3, 4]"),
)


class Raw(str):
    """YAML as it stands."""

    __slots__ = ()


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything below `node`."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


PLACES = sorted(places(GOOD), key=str)


def dumped(node: Any) -> str:
    """Return `node` in YAML's flow style."""
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, dict):
        return (
            "{" + ", ".join(f"{dumped(k)}: {dumped(v)}" for k, v in node.items()) + "}"
        )
    if isinstance(node, list):
        return "[" + ", ".join(map(dumped, node)) + "]"
    return json.dumps(node)


def changed(place: tuple[Any, ...], raw: str, how: str) -> str:
    """Return the file with one value, one key or one entry changed."""
    data = copy.deepcopy(GOOD)
    parent = data
    for key in place[:-1]:
        parent = parent[key]
    if how == "value" or isinstance(parent, list):
        parent[place[-1]] = Raw(raw)
    elif how == "key":
        parent[Raw(raw)] = parent.pop(place[-1])
    else:
        del parent[place[-1]]
    return dumped(data)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(PLACES),
    st.sampled_from(RAW),
    st.sampled_from(["value", "key", "gone"]),
)
@example(("parameters", "model.pooling", "type"), "{}", "value")
@example(("parameters", "model.attention_weights.depth"), "null", "key")
@example(("parameters", "model.embedding_dim", "high"), "1" + "0" * 400, "value")
@example(("constraints", 0), "!!binary aGk=", "value")
@example(
    ("parameters", "model.attention_weights.width", "when"),
    "{model.pooling: {equals: 2020-01-01}}",
    "value",
)
def test_a_changed_space_loads_or_is_refused_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], raw: str, how: str
) -> None:
    path = tmp_path_factory.mktemp("mutation") / "space.yaml"
    path.write_text(changed(place, raw, how), encoding="utf-8")
    try:
        load_space(path)
    except ConfigError as error:
        message = str(error)
    else:
        message = f"{path}:"
    assert all(line.startswith(f"{path}:") for line in message.split("\n"))


def test_the_file_that_is_changed_is_good(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(dumped(GOOD), encoding="utf-8")
    assert list(load_space(path).parameters) == list(GOOD["parameters"])

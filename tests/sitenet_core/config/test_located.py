"""YAML errors name file, line and column, and what to do."""

from pathlib import Path

import pytest

from sitenet_core.config import DataConfig, StrictModel, load_yaml, nearest, validate
from sitenet_core.errors import ConfigError

GOOD = """\
source: embedded
target: {column: density, name: density, unit: g/cm3}
"""


class Inner(StrictModel):
    """A section."""

    depth: int


class Outer(StrictModel):
    """A document with an optional section."""

    inner: Inner | None = None


def write(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        validate(DataConfig, load_yaml(path))
    return str(caught.value).replace(str(path), "file.yaml")


def test_a_good_file_becomes_the_model_with_defaults(tmp_path: Path) -> None:
    data = validate(DataConfig, load_yaml(write(tmp_path, GOOD)))
    assert data.target.column == "density"
    assert data.split.validation_fraction == 0.2


def test_an_exponent_without_a_point_is_a_number(tmp_path: Path) -> None:
    document = load_yaml(write(tmp_path, "low: 5e-5\nword: no\n"))
    assert document.data == {"low": 5e-5, "word": "no"}


def test_an_unknown_key_is_named_with_position_and_nearest_name(tmp_path: Path) -> None:
    text = GOOD + "split:\n  knid: random\n"
    assert message(tmp_path, text) == (
        "file.yaml:4:3: split.knid: unknown key; did you mean 'kind'?"
    )


def test_the_hint_looks_into_an_optional_section(tmp_path: Path) -> None:
    path = write(tmp_path, "inner:\n  dept: 1\n  depth: 2\n")
    with pytest.raises(ConfigError, match=r":2:3: inner\.dept: .*did you mean 'depth'"):
        validate(Outer, load_yaml(path))


def test_every_problem_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "soruce: x\ntarget: {column: 3, name: n, unit: eV}\n"
    lines = message(tmp_path, text).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "file.yaml:1:1",
        "file.yaml:1:1",
        "file.yaml:2:10",
    ]
    assert any("source: this key is missing" in line for line in lines)


def test_a_wrong_value_is_shown_with_what_was_allowed(tmp_path: Path) -> None:
    text = GOOD + "split: {kind: fould}\n"
    assert "(found 'fould')" in message(tmp_path, text)
    assert "'fold', 'random'" in message(tmp_path, text)


def test_a_repeated_key_is_refused_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file\.yaml:2:1: .*duplicate key"):
        load_yaml(write(tmp_path, "a: 1\na: 2\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds nothing"),
        ("- 1\n- 2\n", "a mapping of keys was expected"),
        ("a: [1, 2\nb: 3\n", r":\d+:\d+: "),
        ("a: {b\n", r":\d+:\d+: "),
        ("{[[1]]: 1}\n", ":1:1: cannot be read: unhashable"),
        ("a: 2020-99-99\n", ":1:1: cannot be read: month must be"),
    ],
)
def test_what_is_not_a_mapping_is_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_yaml(write(tmp_path, text))


def test_a_missing_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path / "absent.yaml")
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_yaml(path)


def test_without_a_close_name_all_allowed_names_are_listed() -> None:
    assert nearest("zzz", ["b", "a"]) == "allowed: a, b"

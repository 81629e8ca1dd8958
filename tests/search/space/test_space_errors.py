"""Every mistake in a space file is named with file, line, column and a remedy."""

from pathlib import Path

import pytest

from search.space import load_space
from sitenet_core.errors import ConfigError

HEAD = """\
version: 1
family: sitenet
preset: test
"""
GOOD = (
    HEAD
    + """\
parameters:
  model.embedding_dim: {type: integer, low: 1, high: 8}
"""
)


def problems(tmp_path: Path, text: str) -> list[str]:
    """Return the lines of the error, without the folder."""
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_space(str(path))
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{tmp_path}/") for line in lines]


def parameter(text: str) -> str:
    """Return a space with one more parameter, on line 6."""
    return GOOD + f"  {text}\n"


CASES = {
    "unknown key of the file": (
        GOOD + "paramters: {}\n",
        "space.yaml:6:1: paramters: unknown key; did you mean 'parameters'?",
    ),
    "unknown version": (
        GOOD.replace("version: 1", "version: 2"),
        "space.yaml:1:1: version: input should be 1 (found 2)",
    ),
    "missing preset": (
        GOOD.replace("preset: test\n", ""),
        "space.yaml:1:1: preset: this key is missing",
    ),
    "no parameters": (
        HEAD + "parameters: {}\n",
        "space.yaml:4:1: parameters: a space needs one parameter",
    ),
    "unknown family": (
        GOOD.replace("family: sitenet", "family: sitnet"),
        "space.yaml:2:1: family: unknown family 'sitnet'; did you mean 'sitenet'?",
    ),
    "unknown preset": (
        GOOD.replace("preset: test", "preset: papers"),
        "space.yaml:3:1: preset: unknown preset; did you mean 'paper'?",
    ),
    "duplicate key": (
        parameter("model.embedding_dim: {type: integer, low: 1, high: 4}"),
        'space.yaml:6:3: found duplicate key "model.embedding_dim"',
    ),
    "duplicate key inside a parameter": (
        parameter("model.attention_heads: {type: integer, low: 1, low: 2, high: 4}"),
        'space.yaml:6:50: found duplicate key "low"',
    ),
    "unknown key of a parameter": (
        parameter("model.attention_heads: {type: integer, low: 1, hihg: 4, high: 5}"),
        (
            "space.yaml:6:50: parameters.model.attention_heads.hihg: unknown key; "
            "did you mean 'high'?"
        ),
    ),
    "missing bound": (
        parameter("model.attention_heads: {type: integer, low: 1}"),
        "space.yaml:6:3: parameters.model.attention_heads.high: this key is missing",
    ),
    "unknown type": (
        parameter("model.attention_heads: {type: int, low: 1, high: 4}"),
        (
            "space.yaml:6:27: parameters.model.attention_heads.type: unknown type "
            "'int'; did you mean 'integer'?"
        ),
    ),
    "missing type": (
        parameter("model.attention_heads: {low: 1, high: 4}"),
        (
            "space.yaml:6:3: parameters.model.attention_heads: `type` is missing; "
            "allowed: choice, float, integer"
        ),
    ),
    "no mapping": (
        parameter("model.attention_heads: 4"),
        "space.yaml:6:3: parameters.model.attention_heads: a mapping was expected",
    ),
    "reversed bounds": (
        parameter("model.attention_heads: {type: integer, low: 4, high: 1}"),
        (
            "space.yaml:6:50: parameters.model.attention_heads.high: bounds are "
            "reversed: low 4 is above high 1; exchange them"
        ),
    ),
    "reversed bounds of a float": (
        parameter("optimizer.learning_rate: {type: float, low: 0.1, high: 0.01}"),
        "space.yaml:6:52: parameters.optimizer.learning_rate.high: bounds are reversed",
    ),
    "equal bounds": (
        parameter("model.attention_heads: {type: integer, low: 4, high: 4}"),
        (
            "parameters.model.attention_heads.high: low and high are both 4: move this "
            "key to `fixed`, or widen the range"
        ),
    ),
    "log from zero": (
        parameter("optimizer.learning_rate: {type: float, low: 0, high: 1, log: true}"),
        (
            "space.yaml:6:42: parameters.optimizer.learning_rate.low: a logarithmic "
            "range cannot begin at 0.0: give a positive low, or leave out `log: true`"
        ),
    ),
    "integer bound with a fraction": (
        parameter("model.attention_heads: {type: integer, low: 1.5, high: 4}"),
        (
            "space.yaml:6:42: parameters.model.attention_heads.low: input should be a "
            "valid integer"
        ),
    ),
    "bound in quotes": (
        parameter("optimizer.learning_rate: {type: float, low: '1e-3', high: 1}"),
        (
            "space.yaml:6:42: parameters.optimizer.learning_rate.low: input should be "
            "a valid number (found '1e-3')"
        ),
    ),
    "choice of one": (
        parameter("model.pooling: {type: choice, values: [mean]}"),
        "space.yaml:6:33: parameters.model.pooling.values: a choice needs two values",
    ),
    "choice that repeats": (
        parameter("model.pooling: {type: choice, values: [mean, max, mean]}"),
        "space.yaml:6:33: parameters.model.pooling.values: 'mean' is listed twice",
    ),
    "key that the family does not have": (
        parameter("model.embeding_dim: {type: integer, low: 1, high: 4}"),
        (
            "space.yaml:6:3: parameters.model.embeding_dim: is not a key of the "
            "family's configuration; did you mean 'model.embedding_dim'?"
        ),
    ),
    "section in place of a key": (
        parameter("model.pre_pooling: {type: integer, low: 1, high: 4}"),
        (
            "space.yaml:6:3: parameters.model.pre_pooling: is a section; name one of "
            "its keys: model.pre_pooling.depth, model.pre_pooling.width"
        ),
    ),
    "epochs": (
        parameter("training.epochs: {type: integer, low: 1, high: 4}"),
        "space.yaml:6:3: parameters.training.epochs: cannot be sampled: how long",
    ),
    "upper bound outside the family's": (
        parameter("model.attention_heads: {type: integer, low: 1, high: 65}"),
        (
            "space.yaml:6:50: parameters.model.attention_heads.high: "
            "model.attention_heads: input should be less than or equal to 64 (found 65)"
        ),
    ),
    "lower bound outside the family's": (
        parameter("model.attention_heads: {type: integer, low: 0, high: 6}"),
        (
            "space.yaml:6:42: parameters.model.attention_heads.low: "
            "model.attention_heads: input should be greater than or equal to 1 (found "
            "0)"
        ),
    ),
    "choice that the family does not know": (
        parameter("model.pooling: {type: choice, values: [mean, median]}"),
        (
            "space.yaml:6:48: parameters.model.pooling.values.1: model.pooling: input "
            "should be 'mean', 'max' or 'self_attention' (found 'median')"
        ),
    ),
    "choice of numbers as text": (
        parameter("model.attention_heads: {type: choice, values: ['1', 2]}"),
        "space.yaml:6:50: parameters.model.attention_heads.values.0: '1' is read as 1",
    ),
    "float for a whole number": (
        parameter("model.attention_heads: {type: float, low: 1, high: 4}"),
        (
            "space.yaml:6:3: parameters.model.attention_heads: model.attention_heads: "
            "input should be a valid integer"
        ),
    ),
    "width without its condition": (
        parameter("model.attention_weights.depth: {type: integer, low: 0, high: 2}"),
        (
            "space.yaml:6:3: parameters.model.attention_weights.depth: "
            "model.attention_weights: depth 0 has no width"
        ),
    ),
    "fixed key that is a parameter": (
        GOOD + "fixed: {model.embedding_dim: 4}\n",
        (
            "space.yaml:6:9: fixed.model.embedding_dim: is a parameter too; a key is "
            "either fixed or sampled"
        ),
    ),
    "fixed key that does not exist": (
        GOOD + "fixed: {cell.max_atom: 4}\n",
        (
            "space.yaml:6:9: fixed.cell.max_atom: is not a key of the family's "
            "configuration; did you mean 'cell.max_atoms'?"
        ),
    ),
    "fixed value that the family refuses": (
        GOOD + "fixed: {cell.max_atoms: many}\n",
        (
            "space.yaml:6:9: fixed.cell.max_atoms: cell.max_atoms: input should be a "
            "valid integer"
        ),
    ),
    "condition on nothing": (
        parameter(
            "model.attention_heads: {type: integer, low: 1, high: 4, "
            "when: {model.embeding_dim: {at_least: 2}}}"
        ),
        (
            "space.yaml:6:66: "
            "parameters.model.attention_heads.when.model.embeding_dim: the condition "
            "names a parameter that does not exist; did you mean 'model.embedding_dim'?"
        ),
    ),
    "unknown test": (
        parameter(
            "model.attention_heads: {type: integer, low: 1, high: 4, "
            "when: {model.embedding_dim: {atleast: 2}}}"
        ),
        "when.model.embedding_dim.atleast: unknown test; did you mean 'at_least'?",
    ),
    "condition that is never true": (
        parameter(
            "model.attention_heads: {type: integer, low: 1, high: 4, "
            "when: {model.embedding_dim: {at_least: 9}}}"
        ),
        (
            "when.model.embedding_dim.at_least: never true: model.embedding_dim is "
            "integer 1 to 8"
        ),
    ),
    "condition on a value that cannot be": (
        parameter(
            "model.attention_heads: {type: integer, low: 1, high: 4, "
            "when: {model.embedding_dim: {in: [3, 9]}}}"
        ),
        "when.model.embedding_dim.in: 9 lies outside 1 to 8",
    ),
    "condition with text to compare": (
        parameter(
            "model.attention_heads: {type: integer, low: 1, high: 4, "
            "when: {model.embedding_dim: {at_least: two}}}"
        ),
        "when.model.embedding_dim.at_least: a number was expected (found 'two')",
    ),
    "condition on itself": (
        parameter(
            "model.attention_heads: {type: integer, low: 1, high: 4, "
            "when: {model.attention_heads: {at_least: 2}}}"
        ),
        (
            "conditions go round in a circle: "
            "model.attention_heads → model.attention_heads"
        ),
    ),
    "known good out of range": (
        GOOD + "known_good:\n  - model.embedding_dim: 9\n",
        "space.yaml:7:5: known_good.0.model.embedding_dim: 9 lies outside 1 to 8",
    ),
    "known good of the wrong type": (
        GOOD + "known_good:\n  - model.embedding_dim: 4.0\n",
        (
            "space.yaml:7:5: known_good.0.model.embedding_dim: an integer was expected "
            "(found 4.0)"
        ),
    ),
    "known good that is incomplete": (
        GOOD + "known_good:\n  - {}\n",
        (
            "space.yaml:7:5: known_good.0.model.embedding_dim: has no value; a "
            "known-good configuration is complete"
        ),
    ),
    "known good with a stranger": (
        GOOD + "known_good:\n  - {model.embedding_dim: 4, model.pooling: mean}\n",
        "space.yaml:7:30: known_good.0.model.pooling: is not a parameter of this space",
    ),
}


def test_the_base_of_all_cases_is_without_error(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert list(load_space(path).parameters) == ["model.embedding_dim"]


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_named_with_its_place(tmp_path: Path, case: str) -> None:
    text, expected = CASES[case]
    lines = problems(tmp_path, text)
    assert len(lines) == 1, lines
    assert expected in lines[0]


def test_a_circle_of_conditions_is_refused(tmp_path: Path) -> None:
    text = GOOD + (
        "  model.attention_heads: {type: integer, low: 1, high: 4, "
        "when: {model.attention_blocks: {at_least: 2}}}\n"
        "  model.attention_blocks: {type: integer, low: 1, high: 4, "
        "when: {model.attention_heads: {at_least: 2}}}\n"
    )
    (line,) = problems(tmp_path, text)
    assert "conditions go round in a circle: model.attention_" in line


def test_an_inactive_value_in_a_known_good_configuration_is_refused(
    tmp_path: Path,
) -> None:
    text = HEAD + (
        "parameters:\n"
        "  model.attention_weights.depth: {type: integer, low: 0, high: 1}\n"
        "  model.attention_weights.width: {type: integer, low: 2, high: 8,\n"
        "    when: {model.attention_weights.depth: {equals: 1}}}\n"
        "known_good:\n"
        "  - {model.attention_weights.depth: 0, model.attention_weights.width: 4}\n"
    )
    (line,) = problems(tmp_path, text)
    assert line.startswith(
        "space.yaml:9:40: known_good.0.model.attention_weights.width"
    )
    assert line.endswith("leave it out or write null")


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    lines = problems(
        tmp_path,
        "version: 1\n"
        "family: sitenet\n"
        "preset: tst\n"
        "fixed: {cell.max_atom: 3, model.embedding_dim: 2}\n"
        "parameters:\n"
        "  model.embedding_dim: {type: integer, low: 8, high: 1}\n"
        "  model.attention_heads: {type: integer, low: 1, high: 4,\n"
        "    when: {model.nothing: {equals: 1}}}\n"
        "  optimizer.learning_rat: {type: float, low: 0, high: 1, log: true}\n"
        "known_good:\n"
        "  - model.attention_heads: 5\n"
        "    model.stranger: 5\n",
    )
    assert [line.split(": ")[1] for line in lines] == [
        "preset",
        "fixed.cell.max_atom",
        "fixed.model.embedding_dim",
        "parameters.model.embedding_dim.high",
        "parameters.model.attention_heads.when.model.nothing",
        "parameters.optimizer.learning_rat",
        "parameters.optimizer.learning_rat.low",
        "known_good.0.model.attention_heads",
        "known_good.0.model.stranger",
    ]


def test_a_file_without_a_family_still_lists_its_other_mistakes(tmp_path: Path) -> None:
    text = GOOD.replace("family", "famly").replace("low: 1", "low: 9")
    lines = problems(tmp_path, text)
    assert [line.split(": ")[1] for line in lines] == [
        "family",
        "famly",
        "parameters.model.embedding_dim.high",
    ]


def test_a_missing_space_lists_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"no space called 'sitenet/quikstart'; did you mean "
        r"'sitenet/quickstart'\?"
        r" \(shipped spaces: .*sitenet/table1_2022.*\)",
    ):
        load_space("sitenet/quikstart")
    with pytest.raises(
        ConfigError,
        match=r"mine\.yaml: there is no such space file; shipped spaces: sitenet/quick",
    ):
        load_space("mine.yaml", relative_to=tmp_path)

"""YAML files whose errors name FILE:LINE:COLUMN, what was allowed and what to do."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sitenet_core.errors import ConfigError, LocatedError

Location = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document, at a key path inside it."""

    location: Location
    message: str


@dataclass(frozen=True)
class LocatedDocument:
    """Plain data read from a YAML file, with the position of every key and item."""

    path: Path
    data: dict[str, Any]
    positions: dict[Location, tuple[int, int]] = field(repr=False)
    """Key path → (line, column), both counted from 1."""

    def position(self, location: Sequence[str | int]) -> tuple[int, int]:
        """Return line and column of `location`, or of its nearest known ancestor."""
        path = tuple(location)
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, (1, 1))

    def without_tags(self, location: Location) -> Location:
        """Return `location` without the kinds that pydantic puts into it.

        Of a section that is one of several by its key `kind`, it names the kind after
        the section, where the file has no such key.
        """
        node: Any = self.data
        path: list[str | int] = []
        for part in location:
            if isinstance(node, dict) and part not in node and node.get("kind") == part:
                continue
            path.append(part)
            known = isinstance(node, dict) and part in node
            node = node[part] if known else None
        return tuple(path)

    def describe(self, problem: Problem) -> str:
        """Return `FILE:LINE:COLUMN: key.path: message`."""
        line, column = self.position(problem.location)
        key = ".".join(str(part) for part in problem.location)
        where = f"{self.path}:{line}:{column}: "
        return where + (f"{key}: " if key else "") + problem.message

    def error(self, problems: Iterable[Problem]) -> LocatedError:
        """Return one error that lists every problem, in the order of the file."""
        ordered = sorted(problems, key=lambda p: self.position(p.location))
        return LocatedError("\n".join(self.describe(p) for p in ordered))


def load_yaml(path: Path) -> LocatedDocument:
    """Read a YAML 1.2 mapping with the positions of its keys.

    Raises:
        ConfigError: if the file is missing, empty, not YAML, repeats a key, or is not
            a mapping of strings.
    """
    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}") from error
    except MarkedYAMLError as error:
        raise LocatedError(_syntax_message(path, error)) from error
    except YAMLError as error:
        reason = str(error).split("\n")[0]
        raise LocatedError(f"{path}:1:1: is not YAML: {reason}") from error
    except (TypeError, ValueError) as error:  # a mapping as key, an impossible date
        raise LocatedError(f"{path}:1:1: cannot be read: {error}") from error
    if not isinstance(tree, CommentedMap):
        kinds = {type(None): "nothing", CommentedSeq: "a list"}
        found = kinds.get(type(tree), "a single value")
        raise LocatedError(
            f"{path}:1:1: the file holds {found}; a mapping of keys was expected"
        )
    positions: dict[Location, tuple[int, int]] = {}
    data = _plain(tree, (), positions)
    return LocatedDocument(path, data, positions)


def validate(model: type[ModelT], document: LocatedDocument) -> ModelT:
    """Return `document` as `model`.

    Raises:
        ConfigError: one `FILE:LINE:COLUMN: key: message` line per problem, with the
            nearest allowed name where a key is unknown.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise document.error(
            Problem(document.without_tags(p.location), p.message)
            for p in problems_of(model, error)
        ) from error


def problems_of(
    model: type[BaseModel], error: ValidationError, prefix: Location = ()
) -> list[Problem]:
    """Return pydantic's complaints about `model` as problems below `prefix`."""
    return [
        Problem(prefix + tuple(details["loc"]), _message(model, details))
        for details in error.errors(include_url=False)
    ]


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint that names the closest allowed word, or all of them."""
    words = sorted(allowed)
    close = difflib.get_close_matches(name, words, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "allowed: " + ", ".join(words)


def _message(model: type[BaseModel], details: ErrorDetails) -> str:
    if details["type"] == "extra_forbidden":
        allowed = _fields_at(model, tuple(details["loc"][:-1]))
        return f"unknown key; {nearest(str(details['loc'][-1]), allowed)}"
    if details["type"] == "missing":
        return "this key is missing"
    message = details["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(details["input"], str | int | float | bool):
        message += f" (found {details['input']!r})"
    return message


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", {})
        current = fields[part].annotation if part in fields else None
        current = next(
            (a for a in getattr(current, "__args__", ()) if hasattr(a, "model_fields")),
            current,
        )
    return list(getattr(current, "model_fields", {}))


def _syntax_message(path: Path, error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(error.problem or error.context or "is not YAML").split("\n")[0]
    if problem.startswith("but "):  # the second half of a sentence
        problem = f"{error.context} {problem}"
    return f"{path}:{line}:{column}: {problem}"


def _plain(
    node: Any, path: Location, positions: dict[Location, tuple[int, int]]
) -> Any:
    if isinstance(node, CommentedMap):
        plain = {}
        for key, value in node.items():
            line, column = node.lc.key(key)
            positions[(*path, key)] = (line + 1, column + 1)
            plain[key] = _plain(value, (*path, key), positions)
        return plain
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            line, column = node.lc.item(index)
            positions[(*path, index)] = (line + 1, column + 1)
        return [_plain(v, (*path, i), positions) for i, v in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node

"""pandas' "split" JSON, `{"index": [], "columns": [], "data": [[]]}`, row by row.

The file of the largest Matbench task holds gigabytes as text; only one row of it is in
memory at a time.
"""

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 1 << 20


class _Reader:
    """Reads JSON values one after the other from a text too large for memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def value(self) -> Any:
        """Return the next list, mapping or string."""
        self.peek()
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._fill():
                    raise
            else:
                return value

    def peek(self) -> str:
        """Return the next character that is not white space; nothing at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text) or not self._fill():
                return self._text[self._at : self._at + 1]

    def take(self, *expected: str) -> str:
        """Return and pass the next character.

        Raises:
            ValueError: if it is not one of `expected`.
        """
        found = self.peek()
        if found not in expected:
            raise ValueError(f"expected {' or '.join(expected)}, found {found!r}")
        self._at += 1
        return found

    def _fill(self) -> bool:
        more = self._file.read(_CHUNK)
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)


def read_split(file: TextIO) -> tuple[dict[str, Any], Iterator[list[Any]]]:
    """Return the keys of a table before its rows, and the rows, read on demand.

    Raises:
        ValueError: if it is not such a table (also while rows are read).
    """
    reader = _Reader(file)
    head: dict[str, Any] = {}
    reader.take("{")
    while (key := reader.value()) != "data":
        reader.take(":")
        head[key] = reader.value()
        reader.take(",")
    reader.take(":")
    if not {"index", "columns"} <= head.keys():
        raise ValueError("the index and the columns do not come before the rows")
    return head, _rows(reader)


def _rows(reader: _Reader) -> Iterator[list[Any]]:
    reader.take("[")
    if reader.peek() == "]":
        return
    while True:
        yield reader.value()
        if reader.take(",", "]") == "]":
            return

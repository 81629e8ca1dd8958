"""One structure file as a data set without labels: to look at, not to train on."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sitenet_core.structures.read import parse_bytes
from sitenet_core.structures.sources.source import RawItem, Source


class SingleSource(Source):
    """One CIF, POSCAR or pymatgen JSON; its id is the file's name without ending."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def columns(self) -> tuple[str, ...]:
        """No labels."""
        return ()

    @property
    def has_folds(self) -> bool:
        """No folds."""
        return False

    def digest(self) -> str:
        """Return the SHA-256 of the id and the file."""
        digest = hashlib.sha256(f"{self._path.stem}\n".encode())
        digest.update(self._path.read_bytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return 1."""
        return 1

    def items(self) -> Iterator[RawItem]:
        """Return the file."""
        make = partial(parse_bytes, name=str(self._path))
        yield RawItem(self._path.stem, make, self._path.read_bytes())

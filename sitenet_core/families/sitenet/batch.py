"""The batch that Site-Net reads: crystals as concatenated sites and pairs."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal, Self

import torch
from torch import Tensor

Scope = Literal["crystal", "site", "pair"]


@dataclass(frozen=True)
class BatchField:
    """Scope, type and meaning of one tensor of a batch.

    An `offset` field has one row more than its scope: row k is where item k begins and
    the last row is where the last item ends.
    """

    scope: Scope
    dtype: torch.dtype
    unit: str
    description: str
    offset: bool = False
    n_dims: int = 1


_INT, _FLOAT = torch.int64, torch.float32


@dataclass(frozen=True, eq=False)
class CrystalBatch:
    """Sites of all crystals, one crystal after the other, and pairs, row by row.

    Every tensor is declared beside its name; a tensor that is not declared, or not as
    it is declared, is refused.
    """

    atomic_numbers: Annotated[Tensor, BatchField("site", _INT, "1", "atomic number Z")]
    oxidation_states: Annotated[
        Tensor, BatchField("site", _FLOAT, "e", "0 where the crystal is not decorated")
    ]
    site_multiplicity: Annotated[
        Tensor, BatchField("site", _FLOAT, "1", "equal sites that the row stands for")
    ]
    site_crystal: Annotated[Tensor, BatchField("site", _INT, "1", "its crystal")]
    pair_offsets: Annotated[
        Tensor, BatchField("site", _INT, "1", "first pair of its row", offset=True)
    ]
    pair_site: Annotated[
        Tensor, BatchField("pair", _INT, "1", "site i, the row that the pair is in")
    ]
    pair_partner: Annotated[
        Tensor, BatchField("pair", _INT, "1", "site that atom j is an image of")
    ]
    pair_distance: Annotated[
        Tensor, BatchField("pair", _FLOAT, "Å", "minimum image; 0 for a site itself")
    ]
    pair_multiplicity: Annotated[
        Tensor, BatchField("pair", _FLOAT, "1", "equal pairs that the row stands for")
    ]
    site_offsets: Annotated[
        Tensor, BatchField("crystal", _INT, "1", "its first site", offset=True)
    ]
    targets: Annotated[
        Tensor, BatchField("crystal", _FLOAT, "target", "one column each", n_dims=2)
    ]

    def __post_init__(self) -> None:
        """Refuse tensors that are not as declared; values are not looked at."""
        rows = {
            "crystal": self.n_crystals,
            "site": self.n_sites,
            "pair": len(self.pair_site),
        }
        for name, spec in declared_fields(type(self)).items():
            tensor = getattr(self, name)
            expected = rows[spec.scope] + spec.offset
            if tensor.dtype != spec.dtype or tensor.ndim != spec.n_dims:
                raise ValueError(
                    f"batch field {name}: {tensor.ndim}-dimensional {tensor.dtype}; "
                    f"{spec.n_dims}-dimensional {spec.dtype} is declared"
                )
            if len(tensor) != expected:
                raise ValueError(
                    f"batch field {name}: {len(tensor)} rows; {expected} are needed "
                    f"for scope {spec.scope!r}"
                )

    @property
    def n_crystals(self) -> int:
        """Number of crystals."""
        return len(self.site_offsets) - 1

    @property
    def n_sites(self) -> int:
        """Number of unique sites of all crystals."""
        return len(self.atomic_numbers)

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on `device`."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        return type(self)(**moved)


def declared_fields(batch_type: type[CrystalBatch]) -> dict[str, BatchField]:
    """Return the declaration of every tensor of `batch_type` by its name.

    Raises:
        TypeError: if a field has no declaration.
    """
    declared: dict[str, BatchField] = {}
    for entry in fields(batch_type):
        notes = getattr(entry.type, "__metadata__", ())
        specs = [note for note in notes if isinstance(note, BatchField)]
        if len(specs) != 1:
            raise TypeError(
                f"{batch_type.__name__}.{entry.name} declares no scope, dtype and "
                "unit; annotate it with a BatchField"
            )
        declared[entry.name] = specs[0]
    return declared

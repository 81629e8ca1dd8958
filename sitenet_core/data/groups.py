"""Which crystals must stay on one side of a split."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from sitenet_core.data.pool import ordered_map

if TYPE_CHECKING:
    from sitenet_core.structures.sources.source import RawItem, Source

_CHUNK = 64


def prototype_keys(
    source: "Source", ids: Collection[str], *, workers: int = 1
) -> Mapping[str, str]:
    """Return the prototype of the crystals `ids` of `source`, equal for near-copies.

    They are found from the crystals as the source gives them: the cells of a store are
    averaged within the store's tolerance, which moves substituted copies, whose cells
    have other sizes, to different symmetries. A crystal is left out if it cannot be
    decoded, which none that a store holds can be.

    Args:
        source: Read once, a chunk at a time; `workers` processes decode it.
        ids: Those to find; no other crystal is decoded.
        workers: Processes; 1 works in the calling one.
    """
    chunks = _chunks(source, frozenset(ids))
    with closing(ordered_map(_prototypes, chunks, workers)) as results:
        return {id_: key for keys in results for id_, key in keys}


def _chunks(source: "Source", ids: frozenset[str]) -> Iterator[list["RawItem"]]:
    items = (item for item in source.items() if item.id in ids)
    while chunk := list(islice(items, _CHUNK)):
        yield chunk


def _prototypes(items: Sequence["RawItem"]) -> list[tuple[str, str]]:
    # Deferred: only this kind of split needs pymatgen and spglib.
    from sitenet_core.structures.grouping import prototype_key
    from sitenet_core.structures.record import StructureRecord
    from sitenet_core.structures.sources.source import decode

    records = map(decode, items)
    return [
        (record.id, prototype_key(record.structure))
        for record in records
        if isinstance(record, StructureRecord)
    ]

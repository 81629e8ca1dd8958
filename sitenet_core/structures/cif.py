"""CIF text to a structure, with a person's reason where pymatgen would guess.

pymatgen's reader merges, renames or drops atoms with a warning at most: a second data
block wins or loses by order, an unknown symbol becomes the element of its first letter,
an atom labelled OH vanishes. Here each of these is refused with a reason. Warnings
about what remains are logged, never raised and never dropped.
"""

import logging
import re
import warnings
from collections.abc import Sequence

from pymatgen.core import Element, Structure
from pymatgen.io.cif import CifBlock, CifParser

from sitenet_core.errors import StructureError
from sitenet_core.structures.checks import FULL_OCCUPANCY, check_structure

logger = logging.getLogger(__name__)

_BLOCK = re.compile(r"^[ \t]*data_(\S*)", re.MULTILINE | re.IGNORECASE)
_SITES = re.compile(r"^[ \t]*_atom_site_fract_x\b", re.MULTILINE | re.IGNORECASE)
_TEXT_FIELD = re.compile(r"^;.*?^;", re.MULTILINE | re.DOTALL)
_SYMBOL = re.compile(r"[A-Za-z]+")
_GROUPS = ("NO3", "O-H")
"""Begin with a chemical symbol, but pymatgen reads them as groups of atoms."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(\(\d*\)?)?")
"""A CIF number with an optional standard uncertainty, `0.3333(2)`."""
_CHARGED = re.compile(r"[A-Za-z]{1,2}(?P<n>\d*)(?P<sign>[+-])(?P<m>\d*)")
_CELL = [f"_cell_{key}" for key in ("length_a", "length_b", "length_c")] + [
    f"_cell_angle_{key}" for key in ("alpha", "beta", "gamma")
]
_ROUTINE = (
    "fractional coordinates rounded to ideal values",  # 0.3333 is read as 1/3
    "Cannot determine chemical composition from CIF",  # it gives no formula
    "Spacegroup from",  # symmetry operations come from the group's name or number
    "Defaulting to P1",  # `_check_symmetry` refuses the file if it names another group
    "Skipping relative stoichiometry check",  # it gives no formula
)
"""Parts of warnings that change nothing a user would want to know."""


def parse_cif(text: str, name: str) -> Structure:
    """Return the one structure in the CIF `text`, unchecked; `name` is for messages.

    Raises:
        StructureError: if there is no data block with atom sites or more than one, or
            the block cannot be read without guessing.
    """
    text = _only_block(text, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        block = _block(text, name)
        _check_columns(block, name)
        try:
            structure = _parse(text + _charges(block))
        except Exception as error:  # pymatgen raises many kinds on malformed text
            raise _failure(text, name, error) from error
    messages = [str(warning.message) for warning in caught]
    _check_symmetry(block, messages, name)
    _report(name, messages)
    return structure


def _only_block(text: str, name: str) -> str:
    """Return the text of the only data block that lists atom sites."""
    # Text fields may quote CIF, and pymatgen would split the file there.
    text = _TEXT_FIELD.sub(lambda m: _BLOCK.sub(r"(data)_\1", m.group()), text)
    plain = _TEXT_FIELD.sub(lambda m: " " * len(m.group()), text)
    starts = list(_BLOCK.finditer(plain))
    if not starts:
        raise StructureError(
            f"{name}: cannot be parsed as a CIF: it has no line that starts with "
            "'data_'; a CIF begins each structure with data_NAME"
        )
    ends = [match.start() for match in starts[1:]] + [len(text)]
    spans = [(m.start(), end) for m, end in zip(starts, ends, strict=True)]
    full = [i for i, (a, b) in enumerate(spans) if _SITES.search(plain[a:b])]
    if not full:
        raise StructureError(
            f"{name}: cannot be parsed as a CIF: no sites: none of its {len(starts)} "
            "data block(s) has a loop with _atom_site_fract_x, _y and _z; give the "
            "fractional coordinates of the atoms"
        )
    if len(full) > 1:
        names = ", ".join(starts[i].group(1) or "(unnamed)" for i in full)
        raise StructureError(
            f"{name}: holds {len(full)} data blocks with a structure ({names}); one "
            "structure per file is allowed: split it into one file per block"
        )
    start, end = spans[full[0]]
    return text[start:end]


def _parse(text: str, *, check_occupancy: bool = True) -> Structure:
    parser = CifParser.from_str(text, occupancy_tolerance=2 - FULL_OCCUPANCY)
    structures: list[Structure] = parser.parse_structures(
        primitive=False, check_occu=check_occupancy, on_error="raise"
    )
    for message in parser.warnings:
        warnings.warn(message, stacklevel=1)
    return structures[0]


def _block(text: str, name: str) -> CifBlock:
    """Return keys and loops of the block.

    Raises:
        StructureError: if a loop has no rows, or a row too few or too many values.
    """
    try:
        return CifBlock.from_str(text)
    except ZeroDivisionError as error:
        raise StructureError(
            f"{name}: cannot be parsed as a CIF: a loop_ has no complete row, so "
            "there are no sites; list one row of values per atom"
        ) from error
    except (ValueError, IndexError) as error:
        raise StructureError(
            f"{name}: cannot be parsed as a CIF: a loop_ has a row with too few or too "
            "many values; each row needs one value per column"
        ) from error


def _check_columns(block: CifBlock, name: str) -> None:
    """Refuse what pymatgen would turn into another element, drop, or read as 0.

    Raises:
        StructureError: naming the key and the value.
    """
    for key in _CELL:
        value = _column(block, key)
        if len(value) != 1 or not _NUMBER.fullmatch(value[0]):
            found = repr(value[0]) if value else "nothing"
            raise StructureError(
                f"{name}: cannot be parsed as a CIF: {key} is {found}; a number in Å "
                "or degrees is needed"
            )
    typed = "_atom_site_type_symbol"
    key = typed if typed in block.data else "_atom_site_label"
    symbols = _column(block, key)
    for symbol in symbols:
        _check_symbol(symbol, key, name)
    for axis in "xyz":
        key = f"_atom_site_fract_{axis}"
        _check_numbers(symbols, _column(block, key), key, name)
    key = "_atom_site_occupancy"
    occupancies = [v for v in _column(block, key) if v != "?"]  # unknown means full
    if occupancies:
        _check_numbers(symbols, occupancies, key, name)


def _check_symbol(symbol: str, key: str, name: str) -> None:
    letters = _SYMBOL.match(symbol)
    known = letters is not None and Element.is_valid_symbol(letters.group().title())
    if not known or symbol.startswith(_GROUPS):
        raise StructureError(
            f"{name}: {key} {symbol!r} names an unknown element; allowed is a chemical "
            "symbol, D or T, followed by a charge or a number (Fe3+, Fe1), one site "
            "per atom: mend the symbol, or add a column _atom_site_type_symbol"
        )


def _check_numbers(symbols: list[str], values: list[str], key: str, name: str) -> None:
    for symbol, value in zip(symbols, values, strict=False):
        zero = key == "_atom_site_occupancy" and not value.strip("0.+-")
        if zero or not _NUMBER.fullmatch(value):
            allowed = "a positive number" if "occupancy" in key else "a finite number"
            raise StructureError(
                f"{name}: cannot be parsed as a CIF: {key} of {symbol!r} is {value!r}; "
                f"{allowed} is needed: mend it or remove the site"
            )


def _charges(block: CifBlock) -> str:
    """Return the loop of oxidation states that charged type symbols (Fe3+) imply.

    Without it pymatgen drops the charges of a file that has no such loop.
    """
    symbols = dict.fromkeys(_column(block, "_atom_site_type_symbol"))
    charged = [(s, m) for s in symbols if (m := _CHARGED.fullmatch(s))]
    if not charged or "_atom_type_oxidation_number" in block.data:
        return ""
    rows = [f"{s} {m['sign']}{m['n'] or m['m'] or 1}" for s, m in charged]
    head = ["", "loop_", "_atom_type_symbol", "_atom_type_oxidation_number"]
    return "\n".join([*head, *rows, ""])


def _check_symmetry(block: CifBlock, messages: list[str], name: str) -> None:
    """Refuse a file whose space group pymatgen did not understand and took for P1."""
    if not any("Defaulting to P1" in message for message in messages):
        return
    for key, value in block.data.items():
        if "space_group" in key and ("name" in key.lower() or "number" in key.lower()):
            group = "".join(_column(block, key)).replace(" ", "")
            if group not in ("P1", "1", "?", "."):
                raise StructureError(
                    f"{name}: cannot be parsed as a CIF: the space group {value!r} "
                    f"({key}) is not known; give a standard symbol, or list the "
                    "symmetry operations"
                )


def _column(block: CifBlock, key: str) -> list[str]:
    value = block.data.get(key, [])
    return [value] if isinstance(value, str) else list(value)


def _failure(text: str, name: str, error: Exception) -> StructureError:
    """Return the reason for a failed parse, from the sites themselves if possible."""
    if "Occupancy" in str(error):
        try:
            check_structure(_parse(text, check_occupancy=False))
        except StructureError as reason:
            return StructureError(f"{name}: {reason}")
    detail = str(error).split("\n")[-1].rstrip(".") or type(error).__name__
    if "thickness" in detail:
        detail = "the cell is thinner than 0.01 Å"
    return StructureError(
        f"{name}: cannot be parsed as a CIF: {detail}; needed are cell lengths and "
        "angles, symmetry operations or a space group, and a loop of atom sites with "
        "fractional coordinates"
    )


def _report(name: str, messages: Sequence[str]) -> None:
    """Log what pymatgen warned of: routine rounding quietly, the rest as warnings."""
    for message in dict.fromkeys(messages):
        if message.startswith("Issues encountered while parsing CIF"):
            continue  # repeats the others
        routine = any(part in message for part in _ROUTINE)
        level = logging.DEBUG if routine else logging.WARNING
        logger.log(level, "%s: %s", name, " ".join(message.split()))

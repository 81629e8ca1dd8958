"""Whether a structure can be used, and its cleaned form."""

from pymatgen.core import Structure


def check_structure(structure: Structure) -> Structure:
    """Return `structure` cleaned (see the module); StructureError if unusable."""
    return structure

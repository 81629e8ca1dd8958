"""Reading one structure: what is accepted, and what each refusal says."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from support.structure_files import POSCAR, cif, rock_salt

from sitenet_core.errors import StructureError
from sitenet_core.structures import read_structure, structure_from_text


def refuse(text: str, reason: str) -> None:
    with pytest.raises(StructureError, match=reason):
        structure_from_text(text, "here.txt")


def test_symmetry_of_a_cif_is_applied() -> None:
    structure = structure_from_text(cif(group="F m -3 m"), "NaCl.cif")
    assert structure.composition.formula == "Na4 Cl4"


@pytest.mark.parametrize("name", ["a.cif", "POSCAR", "a.vasp", "a.json", "a.txt"])
def test_the_kind_of_a_file_is_found_by_its_content(tmp_path: Path, name: str) -> None:
    for text in (cif(), POSCAR, rock_salt().to(fmt="json")):
        if name.endswith(".cif") and text == POSCAR:
            continue
        path = tmp_path / name
        path.write_text(text)
        assert read_structure(path).composition.reduced_formula == "NaCl"


def test_a_cif_with_author_names_in_latin_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_bytes(b"# by J. M\xfcller\n" + cif().encode())
    assert len(read_structure(path)) == 2


def test_a_written_cif_comes_back_with_its_oxidation_states() -> None:
    structure = rock_salt("Na+", "Cl-")
    back = structure_from_text(structure.to(fmt="cif"), "a.cif")
    assert {site.specie.oxi_state for site in back} == {1, -1}
    assert np.isclose(back.volume, structure.volume)


def test_charges_of_type_symbols_are_oxidation_states() -> None:
    rows = ["Fe1 Fe3+ 0 0 0", "N1 N3- 0.5 0.5 0.5"]
    structure = structure_from_text(cif(rows, columns=["type_symbol"]), "FeN.cif")
    assert {str(site.specie) for site in structure} == {"Fe3+", "N3-"}


def test_deuterium_in_a_cif_is_hydrogen() -> None:
    rows = ["D1 D 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
    structure = structure_from_text(cif(rows, columns=["type_symbol"]), "DCl.cif")
    assert structure.composition.formula == "H1 Cl1"


@pytest.mark.parametrize("name", ["none.cif", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StructureError, match=r"cannot be read .* give a CIF"):
        read_structure(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.cif"
    path.write_bytes(content)
    with pytest.raises(StructureError, match=r"empty\.cif: is empty; give a CIF"):
        read_structure(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.cif"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    with pytest.raises(StructureError, match="is not a text file"):
        read_structure(path)


def test_several_data_blocks_are_counted_and_named() -> None:
    text = cif(name="first") + cif(name="second")
    refuse(text, r"2 data blocks with a structure \(first, second\).*split it")


def test_blocks_of_one_name_are_several_blocks_too() -> None:
    refuse(cif() + cif(), r"2 data blocks with a structure \(NaCl, NaCl\)")


def test_data_blocks_without_sites_do_not_count() -> None:
    text = "data_global\n_journal_year 1998\n" + cif()
    assert len(structure_from_text(text, "a.cif")) == 2


def test_a_cif_quoted_in_a_text_field_is_no_block() -> None:
    text = cif(extra="_refine_details\n;\ndata_old\n_atom_site_fract_x\n;")
    assert len(structure_from_text(text, "a.cif")) == 2


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["Na1 0.5 0 0 0"], r"site 1 \(Na:0.5\).*partially occupied.*0.999"),
        (["Na1 1 0 0 0", "Cl1 1 0 0 0"], "occupied 2 times: atoms overlap"),
        (["Na1 0 0 0 0"], "_atom_site_occupancy of 'Na1' is '0'; a positive number"),
        (["Na1 . 0 0 0"], "_atom_site_occupancy of 'Na1' is '.'; a positive number"),
    ],
)
def test_occupancies_other_than_one_are_refused(rows: list[str], reason: str) -> None:
    refuse(cif(rows, columns=["occupancy"]), reason)


@pytest.mark.parametrize("occupancy", ["0.9995", "1.0005", "1.000(2)", "?"])
def test_occupancies_near_one_are_full(occupancy: str) -> None:
    text = cif([f"Na1 {occupancy} 0 0 0"], columns=["occupancy"])
    structure = structure_from_text(text, "Na.cif")
    assert structure.is_ordered
    assert structure.formula == "Na1"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["Na1 0 0 0", "Na2 0 0 0"], "occupied 2 times: atoms overlap"),
        (["Na1 0 0 0", "Cl1 0 0 0.001"], "overlap: they are 0.006 Å apart"),
        (["Xx1 0 0 0"], "_atom_site_label 'Xx1' names an unknown element"),
        (["Bx1 0 0 0"], "'Bx1' names an unknown element"),
        (["OH1 0 0 0"], "'OH1' names an unknown element.*one site per atom"),
        (["Wat1 0 0 0"], "'Wat1' names an unknown element"),
        (["NO3 0 0 0"], "'NO3' names an unknown element"),
        (["Rf1 0 0 0"], "holds element 104"),
        (["Na1 nan 0 0"], "_atom_site_fract_x of 'Na1' is 'nan'"),
        (["Na1 ? 0 0"], "_atom_site_fract_x of 'Na1' is '.'; a finite number"),
        (["Na1 0 0"], "a loop_ has no complete row, so there are no sites"),
        (["Na1 0 0 0", "Cl1 0 0"], "a loop_ has a row with too few or too many values"),
        ([], "no sites"),
    ],
)
def test_sites_that_cannot_be_used_are_refused(rows: list[str], reason: str) -> None:
    refuse(cif(rows), reason)


def test_unknown_type_symbols_are_refused() -> None:
    rows = ["Bx1 Bx 0 0 0"]
    refuse(cif(rows, columns=["type_symbol"]), "_atom_site_type_symbol 'Bx' names")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("data_", "dat_", "cannot be parsed as a POSCAR"),
        ("_cell_length_a 5.64", "", "_cell_length_a is nothing; a number"),
        ("_cell_angle_beta 90", "_cell_angle_beta x", "_cell_angle_beta is 'x'"),
        ("5.64", "0.001", "thinner than 0.01 Å"),
        ("5.64", "0.1", "almost no volume"),
        ("P 1", "Q 77", "the space group 'Q 77' .* is not known"),
        ("_atom_site_fract_x", "_atom_site_x", "no sites: none of its 1 data block"),
    ],
)
def test_a_cif_that_cannot_be_parsed_is_refused(
    old: str, new: str, reason: str
) -> None:
    refuse(cif().replace(old, new), reason)


def test_a_cif_without_a_data_line_is_refused() -> None:
    with pytest.raises(StructureError, match="no line that starts with 'data_'"):
        structure_from_text("loop_\n", "x.cif")


def test_a_warning_that_matters_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    structure_from_text(cif(extra="_chemical_formula_sum 'Na1 Cl1 O2'"), "odd.cif")
    assert "odd.cif: Missing elements O" in caplog.text


BARE_CIF = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{symmetry}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


@pytest.mark.parametrize(
    ("symmetry", "silenced"),
    [
        ("", "Defaulting to P1"),
        ("_symmetry_space_group_name_H-M 'P 1'", ""),
        ("loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'x+1/2,y,z'", "Skipping rel"),
    ],
)
def test_what_holds_for_every_file_of_a_kind_is_not_a_line_per_file(
    caplog: pytest.LogCaptureFixture, symmetry: str, silenced: str
) -> None:
    with caplog.at_level(logging.DEBUG, "sitenet_core"):
        structure_from_text(BARE_CIF.format(symmetry=symmetry), "a.cif")
    assert silenced in caplog.text
    assert [r for r in caplog.records if r.levelno > logging.DEBUG] == []


def test_routine_rounding_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    rows = ["Na1 0.3333 0.6667 0", "Cl1 0.6667 0.3333 0.5"]
    with caplog.at_level(logging.INFO):
        structure_from_text(cif(rows), "a.cif")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Na Cl\n", "", "does not name its elements"),
        ("Na Cl", "Qq Cl", "'Qq', which is not a chemical element"),
        ("1 1\n", "0 0\n", "it has no sites"),
        ("0.5 0.5 0.5\n", "", "it ends too early"),
        ("0.5 0.5 0.5", "0.5 nan 0.5", r"site 2 \(Cl\).*not a finite number"),
        ("3 0 0", "three", "cannot be parsed as a POSCAR"),
        ("0 3 0", "3 0 0", "almost no volume"),
    ],
)
def test_a_poscar_that_cannot_be_used_is_refused(
    old: str, new: str, reason: str
) -> None:
    refuse(POSCAR.replace(old, new), reason)


def test_selective_dynamics_are_ignored_in_silence() -> None:
    text = POSCAR.replace("Direct", "Selective dynamics\nDirect")
    text = text.replace("0 0 0\n0.5 0.5 0.5", "0 0 0 T T T\n0.5 0.5 0.5 T T T")
    assert len(structure_from_text(text, "POSCAR")) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be parsed as JSON: .* at line 1"),
        ("[1, 2]", "is not a pymatgen Structure: it needs the keys"),
        ('{"a": 1}', "found is a; write it with"),
        (json.dumps({"lattice": {}, "sites": []}), "has no sites"),
        (json.dumps({"lattice": {}, "sites": [1]}), "cannot be parsed as a pymatgen"),
    ],
)
def test_json_that_is_no_structure_is_refused(text: str, reason: str) -> None:
    refuse(text, reason)

"""Site-Net keeps the contract of every model family."""

from typing import ClassVar

from support.family_contract import FamilyContract


class TestSiteNetContract(FamilyContract):
    """With the default cell settings a supercell is reduced to its primitive cell."""

    family_name: ClassVar[str] = "sitenet"
    same_for_supercells: ClassVar[bool] = True

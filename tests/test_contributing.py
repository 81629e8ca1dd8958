"""What the guide for contributors says of the code is so."""

import re
from pathlib import Path

from sitenet_core.families import ModelFamily

NUMBER = r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d+"
ROOT = Path(__file__).resolve().parent.parent


def members(protocol: type) -> set[str]:
    """Return what a class must have to satisfy a protocol."""
    defined = {name for name in vars(protocol) if not name.startswith("_")}
    return defined | set(protocol.__annotations__)


def test_a_new_family_is_told_of_every_member_that_it_needs() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("## A new model family\n")
    section, _, _ = rest.partition("\n## ")
    listed = "".join(line for line in section.splitlines() if line[:2] in ("- ", "  "))
    assert set(re.findall(r"`(\w+)`", listed)) == members(ModelFamily)


def test_no_text_counts_the_members_of_a_family() -> None:
    protocol = ROOT / "sitenet_core" / "families" / "protocol.py"
    for path in (ROOT / "CONTRIBUTING.md", ROOT / "README.md", protocol):
        text = path.read_text(encoding="utf-8")
        assert not re.search(rf"\b({NUMBER})\s+members\b", text, re.IGNORECASE), (
            path.name
        )

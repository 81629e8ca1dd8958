"""The versions that decide numbers: of Python, of named packages, of this code."""

import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return Python's version and that of each package, `not installed` without one."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def session_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return `installed_versions`, with the commit as `git` in a git checkout."""
    versions = installed_versions(packages)
    commit = git_commit()
    return versions if commit is None else {**versions, "git": commit}


def git_commit(checkout: Path = _CHECKOUT) -> str | None:
    """Return the commit that is checked out in `checkout`, None if there is none.

    The files of git are read, so that neither git nor its opinion of who owns the
    checkout is needed. What cannot be read counts as no checkout.
    """
    try:
        folder = checkout / ".git"
        if folder.is_file():  # a worktree: `gitdir: PATH`
            link = folder.read_text(encoding="utf-8").partition(":")[2].strip()
            folder = checkout / link
        commit = _resolved(folder, (folder / "HEAD").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _resolved(folder: Path, head: str) -> str:
    """Return the commit that the content of `HEAD` stands for; empty if unborn."""
    kind, _, name = head.strip().partition(" ")
    if kind != "ref:":
        return head.strip()
    common = folder / "commondir"
    shared = folder
    if common.is_file():  # of a worktree: where the branches are
        shared = folder / common.read_text(encoding="utf-8").strip()
    for place in (folder, shared):
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8").strip()
    for line in (shared / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    return ""

"""Which commit a session says it ran from."""

from pathlib import Path

import pytest

from sitenet_core.config import session_versions
from sitenet_core.config.versions import git_commit

COMMIT, OTHER = "a1" * 20, "b2" * 20


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_commit_of_a_branch_is_found_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    packed = f"# pack-refs with: peeled\n{OTHER} refs/heads/x\n{COMMIT} refs/heads/main"
    write(tmp_path / ".git" / "packed-refs", packed)
    assert git_commit(tmp_path) == COMMIT
    write(tmp_path / ".git" / "refs" / "heads" / "main", OTHER + "\n")
    assert git_commit(tmp_path) == OTHER, "a loose branch is newer than a packed one"


def test_a_detached_head_and_a_worktree_have_a_commit(tmp_path: Path) -> None:
    write(tmp_path / "main" / ".git" / "HEAD", COMMIT + "\n")
    assert git_commit(tmp_path / "main") == COMMIT
    place = tmp_path / "main" / ".git" / "worktrees" / "other"
    write(place / "HEAD", "ref: refs/heads/other\n")
    write(place / "commondir", "../..\n")
    write(tmp_path / "main" / ".git" / "refs" / "heads" / "other", OTHER)
    write(tmp_path / "other" / ".git", f"gitdir: {place}\n")
    assert git_commit(tmp_path / "other") == OTHER


@pytest.mark.parametrize("head", [None, "", "ref: refs/heads/unborn", "nonsense"])
def test_what_is_no_checkout_has_no_commit(tmp_path: Path, head: str | None) -> None:
    if head is not None:
        write(tmp_path / ".git" / "HEAD", head)
    assert git_commit(tmp_path) is None


def test_without_a_checkout_the_versions_have_no_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for commit, expected in ((None, {"python"}), (COMMIT, {"python", "git"})):
        monkeypatch.setattr(
            "sitenet_core.config.versions.git_commit", lambda found=commit: found
        )
        assert session_versions([]).keys() == expected

"""What every repository promises, on the fake and on git; then what only git can get wrong."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from selfbuild.adapters.git_mirror import OpenMirror, error_of
from selfbuild.adapters.git_repository import GitRepository
from selfbuild.domain.applications import Application, ProcessTarget, RepositoryConfig, TelemetryConfig
from selfbuild.domain.errors import (
    AccessDenied,
    Conflict,
    InvalidRequest,
    MalformedAnswer,
    Misconfigured,
    NotFound,
    Unreachable,
)
from selfbuild.domain.patches import Edit, Patch
from selfbuild.ports import Repository
from tests.fakes.repository import FakeRepository

FILES = {
    "app.py": "".join(f"line_{n} = {n}\n" for n in range(1, 21)),
    "pkg/windows.py": "a = 1\r\nb = 2\r\n",
    "README.md": "# Sample\n",
}
PATCH = Patch(
    summary="s",
    edits=(
        Edit(path="app.py", search="line_3 = 3\n", replace="line_3 = 33\n"),
        Edit(path="pkg/windows.py", search="b = 2\n", replace="b = 22\n"),
    ),
)
TRAILERS = {"Release-Id": "rel-1", "Patch-Digest": "abc"}
ABSENT = "0" * 39 + "1"


class Remote(Protocol):
    """A person's view of the remote."""

    def push(self, files: Mapping[str, str]) -> str:
        """Commit on the branch; the commit's sha."""
        ...


class GitRemote:
    """A bare repository and commands on it, as a person with push rights would give them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(path), inside=False)
        self.push(FILES)

    def git(self, *args: str, stdin: str | bytes = b"", inside: bool = True) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_{part}": "p@x" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
            "GIT_INDEX_FILE": str(self.path.parent / "person-index"),
        }
        where = [f"--git-dir={self.path}"] if inside else []
        stdin = stdin.encode() if isinstance(stdin, str) else stdin
        ran = subprocess.run(["git", *where, *args], input=stdin, capture_output=True, env=environment, check=True)
        return ran.stdout.decode().strip()

    def push(self, files: Mapping[str, str]) -> str:
        return self.push_entries({name.encode(): ("100644", text.encode()) for name, text in files.items()})

    def push_entries(self, entries: Mapping[bytes, tuple[str, bytes]]) -> str:
        """Commit entries of any mode and name on the branch; the content of a submodule is its sha."""
        tip = self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main")
        records = b""
        for name, (mode, content) in entries.items():
            blob = content.decode() if mode == "160000" else self.git("hash-object", "-w", "--stdin", stdin=content)
            records += f"{mode} {blob}\t".encode() + name + b"\0"
        self.git("read-tree", *([tip] if tip else ["--empty"]))
        self.git("update-index", "-z", "--index-info", stdin=records)
        return self.commit(self.git("write-tree"), *([tip] if tip else []))

    def commit(self, tree: str, *parents: str, message: str = "Change by hand") -> str:
        flags = [part for parent in parents for part in ("-p", parent)]
        sha = self.git("commit-tree", tree, *flags, stdin=message)
        self.git("update-ref", "refs/heads/main", sha)
        return sha

    def count(self) -> int:
        return int(self.git("rev-list", "--count", "main"))


def an_application(url: str) -> Application:
    return Application(
        tenant_id="acme",
        name="meetnotes",
        telemetry=TelemetryConfig(log_group="/x"),
        repository=RepositoryConfig(url=url),
        release=ProcessTarget(control_url="http://127.0.0.1:1"),
    )


@pytest.fixture
def git_remote(tmp_path: Path) -> GitRemote:
    return GitRemote(tmp_path / "remote.git")


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return an_application(str(tmp_path / "remote.git"))


@pytest.fixture
def git(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "mirrors")


@pytest.fixture(params=["fake", "git"])
def both(request: pytest.FixtureRequest) -> tuple[Repository, Remote]:
    if request.param == "fake":
        fake = FakeRepository(FILES)
        return fake, fake
    return request.getfixturevalue("git"), request.getfixturevalue("git_remote")


async def release(repository: Repository, application: Application, base: str, trailers: dict[str, str]) -> str:
    return await repository.commit_release(
        application, base_sha=base, patch=PATCH, subject="Make it faster", trailers=trailers
    )


async def revert(repository: Repository, application: Application, release_id: str = "rel-1") -> str | None:
    return await repository.revert(application, release_id=release_id, subject="Take it back", trailers={})


async def text_at(repository: Repository, application: Application, sha: str, path: str) -> str:
    (found,) = await repository.read(application, sha, [path])
    return found.text


async def test_files_are_listed_read_and_exported_byte_for_byte(
    both: tuple[Repository, Remote], application: Application, tmp_path: Path
) -> None:
    repository, _ = both
    sha = await repository.head(application)
    into = tmp_path / "tree"
    into.mkdir()

    listed = await repository.list_files(application, sha)
    read = await repository.read(application, sha, ["pkg/windows.py", "missing.py", "app.py"])
    await repository.export(application, sha, into)

    assert listed == ("README.md", "app.py", "pkg/windows.py")
    assert {file.path: file.text for file in read} == {path: FILES[path] for path in ("pkg/windows.py", "app.py")}
    assert {str(p.relative_to(into)): p.read_bytes() for p in into.rglob("*") if p.is_file()} == {
        path: text.encode() for path, text in FILES.items()
    }


async def test_history_tells_our_commits_from_those_of_people(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, remote = both
    base = await repository.head(application)
    released = await release(repository, application, base, TRAILERS)
    reverted = await revert(repository, application)
    pushed = remote.push({"app.py": "x = 1\n"})

    newest = await repository.history(application, limit=3)

    assert [(each.sha, each.by_agent) for each in newest] == [(pushed, False), (reverted, True), (released, True)]
    assert all(each.subject and each.author_name for each in newest)


async def test_export_into_a_folder_that_is_not_empty_is_refused(
    both: tuple[Repository, Remote], application: Application, tmp_path: Path
) -> None:
    repository, _ = both
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()

    with pytest.raises(InvalidRequest, match="empty folder"):
        await repository.export(application, await repository.head(application), tmp_path / "full")


async def test_unknown_commit_is_not_found(both: tuple[Repository, Remote], application: Application) -> None:
    repository, _ = both

    with pytest.raises(NotFound, match=ABSENT):
        await repository.read(application, ABSENT, ["app.py"])


async def test_release_is_the_new_head_with_all_edits_and_the_files_newlines(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, _ = both
    base = await repository.head(application)

    sha = await release(repository, application, base, TRAILERS)

    assert await repository.head(application) == sha
    assert await repository.find_release(application, "rel-1") == sha
    assert "line_3 = 33\n" in await text_at(repository, application, sha, "app.py")
    assert await text_at(repository, application, sha, "pkg/windows.py") == "a = 1\r\nb = 22\r\n"
    assert await text_at(repository, application, base, "app.py") == FILES["app.py"]


async def test_release_run_twice_is_committed_once_even_when_people_pushed_since(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, remote = both
    base = await repository.head(application)
    first = await release(repository, application, base, TRAILERS)
    remote.push({"other.py": "x = 1\n"})

    assert await release(repository, application, base, TRAILERS) == first


async def test_release_on_a_branch_that_moved_on_is_a_conflict(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, remote = both
    base = await repository.head(application)
    pushed = remote.push({"other.py": "x = 1\n"})

    with pytest.raises(Conflict, match="moved on"):
        await release(repository, application, base, TRAILERS)
    assert await repository.head(application) == pushed


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(Edit(path="app.py", search="nowhere", replace="x"), id="not there"),
        pytest.param(Edit(path="app.py", search="line_1", replace="x"), id="several times"),
        pytest.param(Edit(path="absent.py", search="x", replace="y"), id="no such file"),
    ],
)
async def test_patch_that_does_not_apply_is_a_conflict_and_commits_nothing(
    both: tuple[Repository, Remote], application: Application, edit: Edit
) -> None:
    repository, _ = both
    base = await repository.head(application)
    patch = Patch(summary="s", edits=(PATCH.edits[0], edit))

    with pytest.raises(Conflict, match=edit.path):
        await repository.commit_release(application, base_sha=base, patch=patch, subject="s", trailers=TRAILERS)
    assert await repository.head(application) == base


async def test_release_without_its_trailer_is_refused(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, _ = both

    with pytest.raises(InvalidRequest, match="Release-Id"):
        await release(repository, application, await repository.head(application), {})


async def test_revert_run_twice_restores_once_and_keeps_later_commits(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, remote = both
    await release(repository, application, await repository.head(application), TRAILERS)
    remote.push({"app.py": FILES["app.py"].replace("line_3 = 3\n", "line_3 = 33\n").replace("= 19", "= 1900")})

    first = await revert(repository, application)
    again = await revert(repository, application)

    assert first is not None
    assert (again, await repository.head(application)) == (first, first)
    assert await text_at(repository, application, first, "app.py") == FILES["app.py"].replace("= 19", "= 1900")
    assert await text_at(repository, application, first, "pkg/windows.py") == FILES["pkg/windows.py"]


async def test_revert_of_lines_that_changed_since_is_a_conflict_naming_the_file(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, remote = both
    await release(repository, application, await repository.head(application), TRAILERS)
    pushed = remote.push({"app.py": FILES["app.py"].replace("line_3 = 3\n", "line_3 = 34\n")})

    with pytest.raises(Conflict, match=r"app\.py"):
        await revert(repository, application)
    assert await repository.head(application) == pushed


async def test_revert_without_a_release_commit_is_none(
    both: tuple[Repository, Remote], application: Application
) -> None:
    repository, _ = both

    assert await revert(repository, application) is None
    assert await repository.find_release(application, "rel-1") is None


async def test_similar_release_ids_are_told_apart(both: tuple[Repository, Remote], application: Application) -> None:
    repository, _ = both
    await release(repository, application, await repository.head(application), {"Release-Id": "rel-10"})

    assert await repository.find_release(application, "rel-1") is None
    assert await revert(repository, application) is None


# Git alone


class _Killed(BaseException):
    """Stands for the end of the process."""


async def test_crash_between_commit_and_push_gives_the_same_commit_again(
    git: GitRepository, git_remote: GitRemote, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    async def die(self: OpenMirror, url: str, branch: str, *, sha: str, expected: str) -> bool:
        made.append(sha)
        raise _Killed

    base = await git.head(application)
    with monkeypatch.context() as patching:  # the adapter has no seam between its two git commands
        patching.setattr(OpenMirror, "push", die)
        with pytest.raises(_Killed):
            await release(git, application, base, TRAILERS)

    assert await git.find_release(application, "rel-1") is None
    assert await release(git, application, base, TRAILERS) == made[0]
    assert git_remote.count() == 2


async def test_lost_answer_to_a_push_is_found_again_by_another_mirror(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    base = await git.head(application)
    sha = await release(git, application, base, TRAILERS)

    elsewhere = GitRepository(tmp_path / "other-mirrors")

    assert await release(elsewhere, application, base, TRAILERS) == sha
    assert git_remote.count() == 2


async def test_person_pushing_between_fetch_and_push_is_a_conflict_for_a_release(
    git: GitRepository, git_remote: GitRemote, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = await git.head(application)
    before_push(monkeypatch, git_remote, times=1)

    with pytest.raises(Conflict, match="moved on"):
        await release(git, application, base, TRAILERS)
    assert await git.find_release(application, "rel-1") is None


async def test_person_pushing_between_fetch_and_push_only_delays_a_revert(
    git: GitRepository, git_remote: GitRemote, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    await release(git, application, await git.head(application), TRAILERS)
    before_push(monkeypatch, git_remote, times=3)

    sha = await revert(git, application)

    assert sha == await git.head(application)
    assert await git.list_files(application, sha) == (
        "README.md",
        "app.py",
        "p0.py",
        "p1.py",
        "p2.py",
        "pkg/windows.py",
    )
    assert await text_at(git, application, sha, "app.py") == FILES["app.py"]


async def test_revert_that_always_comes_too_late_is_worth_trying_again(
    git: GitRepository, git_remote: GitRemote, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    await release(git, application, await git.head(application), TRAILERS)
    before_push(monkeypatch, git_remote, times=100)

    with pytest.raises(Unreachable, match="faster"):
        await revert(git, application)


def before_push(monkeypatch: pytest.MonkeyPatch, remote: GitRemote, *, times: int) -> None:
    """Let a person push first, so many times; the race has no other handle."""
    push, left = OpenMirror.push, list(range(times))

    async def later(self: OpenMirror, url: str, branch: str, *, sha: str, expected: str) -> bool:
        if left:
            remote.push({f"p{left.pop(0)}.py": "x = 1\n"})
        return await push(self, url, branch, sha=sha, expected=expected)

    monkeypatch.setattr(OpenMirror, "push", later)


async def test_revert_after_a_revert_by_hand_is_recorded_by_an_empty_commit(
    git: GitRepository, git_remote: GitRemote, application: Application
) -> None:
    await release(git, application, await git.head(application), TRAILERS)
    by_hand = git_remote.push(FILES)

    sha = await revert(git, application)

    assert sha is not None
    assert git_remote.git("rev-parse", f"{sha}^") == by_hand
    assert git_remote.git("rev-parse", f"{sha}^{{tree}}") == git_remote.git("rev-parse", f"{by_hand}^{{tree}}")


async def test_revert_follows_a_renamed_file(
    git: GitRepository, git_remote: GitRemote, application: Application
) -> None:
    released = await release(git, application, await git.head(application), TRAILERS)
    text = await text_at(git, application, released, "app.py")
    git_remote.push({"renamed.py": text})
    git_remote.git("update-index", "--index-info", stdin=f"0 {ABSENT}\tapp.py\n")
    git_remote.commit(git_remote.git("write-tree"), git_remote.git("rev-parse", "main"))

    sha = await revert(git, application)

    assert sha is not None
    assert await text_at(git, application, sha, "renamed.py") == FILES["app.py"]


async def test_commit_carries_author_subject_and_trailers_only_as_given(
    git: GitRepository, git_remote: GitRemote, application: Application
) -> None:
    trailers = {**TRAILERS, "Verdict": "PASS\nReviewed-by: nobody"}
    sha = await git.commit_release(
        application,
        base_sha=await git.head(application),
        patch=PATCH,
        subject="Make it\n\nRelease-Id: other",
        trailers=trailers,
    )

    shown = git_remote.git("show", "--no-patch", "--format=%an <%ae>%n%B", sha)
    assert shown.splitlines() == [
        "Self-Building Agent <agent@selfbuild.invalid>",
        "Make it Release-Id: other",
        "",
        "Release-Id: rel-1",
        "Patch-Digest: abc",
        "Verdict: PASS Reviewed-by: nobody",
    ]
    assert await git.find_release(application, "other") is None


async def test_mode_of_an_executable_file_is_kept(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    git_remote.push_entries({b"app.py": ("100755", FILES["app.py"].encode())})
    (tmp_path / "tree").mkdir()

    sha = await release(git, application, await git.head(application), TRAILERS)
    await git.export(application, sha, tmp_path / "tree")

    assert git_remote.git("ls-tree", sha, "app.py").startswith("100755 ")
    assert os.access(tmp_path / "tree" / "app.py", os.X_OK)


async def test_links_submodules_and_hostile_names_do_no_harm(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    names = [b"-rf", b"--output=x", b"with\nnewline.py", b"tab\there", "späße.py".encode(), b'quo"te', b"a b", b"*"]
    entries = dict.fromkeys(names, ("100644", b"x = 1\n"))
    sha = git_remote.push_entries(
        {
            **entries,
            b"latin\xe9.py": ("100644", b"x"),
            b"binary": ("100644", b"\xff\x00"),
            b"link": ("120000", b"/etc/passwd"),
            b"up": ("120000", b"../.."),
            b"vendored": ("160000", ABSENT.encode()),
        }
    )
    (tmp_path / "tree").mkdir()

    listed = await git.list_files(application, sha)
    read = await git.read(application, sha, [*(name.decode() for name in names), "link", "vendored", "binary"])
    await git.export(application, sha, tmp_path / "tree")

    expected = {name.decode() for name in names}
    assert set(listed) == {*expected, "binary", *FILES}
    assert {file.path for file in read} == expected
    found = {os.fsencode(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*")}
    assert found - {b"vendored", b"pkg"} == {*names, b"latin\xe9.py", b"binary", *(name.encode() for name in FILES)}
    assert not [path for path in (tmp_path / "tree").rglob("*") if path.is_symlink()]


async def test_edit_of_a_link_is_a_conflict(
    git: GitRepository, git_remote: GitRemote, application: Application
) -> None:
    base = git_remote.push_entries({b"link": ("120000", b"app.py")})
    patch = Patch(summary="s", edits=(Edit(path="link", search="app.py", replace="/etc/passwd"),))

    with pytest.raises(Conflict, match="unknown_path"):
        await git.commit_release(application, base_sha=base, patch=patch, subject="s", trailers=TRAILERS)


async def test_attributes_in_the_tree_do_not_change_an_export(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    attributes = "*.md export-ignore\n*.py export-subst eol=crlf text ident\n"
    sha = git_remote.push({".gitattributes": attributes, "id.py": "v = '$Format:%H$ $Id$'\n"})
    (tmp_path / "tree").mkdir()

    await git.export(application, sha, tmp_path / "tree")

    assert (tmp_path / "tree" / "README.md").read_text() == FILES["README.md"]
    assert (tmp_path / "tree" / "id.py").read_bytes() == b"v = '$Format:%H$ $Id$'\n"


async def test_tree_leading_out_of_the_folder_writes_nothing_outside(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    blob = git_remote.git("hash-object", "-w", "--stdin", stdin="evil\n")
    inner = git_remote.git("hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin=entry("evil.py", blob))
    tree = git_remote.git(
        "hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin=entry("..", inner, mode="40000")
    )
    sha = git_remote.commit(tree, git_remote.git("rev-parse", "main"))
    into = tmp_path / "deep" / "tree"
    into.mkdir(parents=True)

    with pytest.raises(MalformedAnswer):
        await git.export(application, sha, into)
    assert not (tmp_path / "deep" / "evil.py").exists()


def entry(name: str, sha: str, mode: str = "100644") -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(sha)


async def test_hooks_of_the_mirror_are_never_run(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    base = await git.head(application)
    for name in ("pre-push", "reference-transaction", "post-index-change"):
        hook = tmp_path / "mirrors" / "acme" / "meetnotes.git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\nexit 1\n")
        hook.chmod(0o755)

    await release(git, application, base, TRAILERS)

    assert not (tmp_path / "ran").exists()


async def test_remote_that_refuses_the_push_is_access_denied(
    git: GitRepository, git_remote: GitRemote, application: Application
) -> None:
    hook = git_remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(AccessDenied, match="hook declined"):
        await release(git, application, await git.head(application), TRAILERS)


async def test_missing_remote_and_missing_branch_are_not_found(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        await git.head(an_application(str(tmp_path / "absent.git")))
    branchless = application.repository.model_copy(update={"branch": "other"})
    with pytest.raises(NotFound, match="other"):
        await git.head(application.model_copy(update={"repository": branchless}))


@pytest.mark.parametrize(
    ("url", "branch"),
    [
        pytest.param("--upload-pack=touch x", "main", id="option as url"),
        pytest.param("ext::sh -c 'touch x'", "main", id="command as url"),
        pytest.param("/x", "--force", id="option as branch"),
        pytest.param("/x", "a..b", id="range as branch"),
        pytest.param("/x", "a:b", id="refspec as branch"),
        pytest.param("", "main", id="no url"),
    ],
)
async def test_names_that_git_would_read_as_something_else_are_refused(
    git: GitRepository, url: str, branch: str
) -> None:
    application = an_application(url)
    config = RepositoryConfig(url=url, branch=branch)

    with pytest.raises(InvalidRequest):
        await git.head(application.model_copy(update={"repository": config}))


async def test_closed_port_is_unreachable(git: GitRepository) -> None:
    with pytest.raises(Unreachable):
        await git.head(an_application("http://127.0.0.1:9/x.git"))


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        pytest.param("fatal: Authentication failed for 'https://h/r'", AccessDenied, id="password"),
        pytest.param("git@h: Permission denied (publickey).\nCould not read from remote", AccessDenied, id="key"),
        pytest.param("remote: Repository not found.\nfatal: repository 'x' not found", NotFound, id="no repository"),
        pytest.param("fatal: unable to access 'https://h/': Could not resolve host: h", Unreachable, id="dns"),
        pytest.param("error: RPC failed; HTTP 502; The requested URL returned error: 502", Unreachable, id="502"),
        pytest.param("fatal: something else", MalformedAnswer, id="unknown"),
    ],
)
def test_stderr_of_git_is_translated(stderr: str, kind: type[Exception]) -> None:
    assert type(error_of("fetch", stderr)) is kind


def test_error_text_is_cut_and_has_no_credentials() -> None:
    text = str(error_of("fetch", "x" * 9000 + " https://user:secret@host/r.git"))

    assert len(text) < 600
    assert "secret" not in text


def test_author_of_another_form_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="Name <address>"):
        GitRepository(tmp_path, "nobody")


async def test_left_overs_of_a_killed_git_are_removed(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    base = await git.head(application)
    mirror = tmp_path / "mirrors" / "acme" / "meetnotes.git"
    stale = [mirror / "refs/remotes/origin/main.lock", mirror / "packed-refs.lock", mirror / "private/tmp1/index"]
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    git_remote.push({"other.py": "x = 1\n"})

    assert await git.head(application) != base
    assert not [path for path in stale if path.exists()]


async def test_half_made_and_corrupt_mirrors_are_made_anew(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirrors" / "acme" / "meetnotes.git"
    (mirror / "objects").mkdir(parents=True)
    base = await git.head(application)
    for path in (mirror / "objects").glob("??/*"):
        path.chmod(0o600)
        path.write_bytes(b"")

    with pytest.raises(Unreachable, match="failed"):
        await git.list_files(application, base)
    assert await git.list_files(application, base) == tuple(sorted(FILES))


async def test_mirror_in_use_by_another_process_is_waited_for(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    await git.head(application)
    lock = tmp_path / "mirrors" / "acme" / "meetnotes.lock"
    code = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f,2); print('held',flush=True); sys.stdin.read()"
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(lock), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"

    hurried = GitRepository(tmp_path / "mirrors", timeout_s=0.2)
    with pytest.raises(Unreachable, match="in use"):
        await hurried.head(application)
    waiting = asyncio.create_task(git.head(application))
    holder.stdin.close()

    assert await waiting == git_remote.git("rev-parse", "main")
    await holder.wait()


async def test_many_releases_at_once_from_two_processes_views_make_one_commit(
    git: GitRepository, git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    base = await git.head(application)
    others = [git, git, GitRepository(tmp_path / "mirrors"), GitRepository(tmp_path / "other")]

    shas = await asyncio.gather(*(release(one, application, base, TRAILERS) for one in others))

    assert len(set(shas)) == 1
    assert git_remote.count() == 2


async def test_cancelled_call_kills_git_and_frees_the_mirror(
    git_remote: GitRemote, application: Application, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    shell = tmp_path / "ssh"
    shell.write_text(f"#!/bin/sh\necho $$ > {started}.part\nmv {started}.part {started}\nexec sleep 60\n")
    shell.chmod(0o755)
    git = GitRepository(tmp_path / "mirrors", environment={"GIT_SSH_COMMAND": str(shell)})
    waiting = asyncio.create_task(git.head(an_application("ssh://host.invalid/x.git")))
    await until(started.exists)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert await git.head(application) == git_remote.git("rev-parse", "main")
    await until(lambda: not Path(f"/proc/{started.read_text().strip()}").exists())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)

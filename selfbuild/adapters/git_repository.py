"""The applications' git repositories through local mirrors: plumbing only, no working copy, compare-and-swap pushes.

A process killed at any point leaves nothing half done: objects without a name in the mirror, or a pushed commit that
the next run finds.
"""

import asyncio
import contextlib
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

import structlog

from selfbuild.adapters.git_mirror import GitMirror, OpenMirror
from selfbuild.domain.applications import Application
from selfbuild.domain.edits import EditError, apply_edits
from selfbuild.domain.errors import Conflict, InvalidRequest, MalformedAnswer, Misconfigured, NotFound, Unreachable
from selfbuild.domain.patches import Patch, SourceFile
from selfbuild.domain.releases import CommitInfo

log = structlog.get_logger()

RELEASE_TRAILER = "Release-Id"
REVERT_TRAILER = "Reverts-Release"

_LOG_FORMAT = (
    f"%H%x1f%an%x1f%cI%x1f%s%x1f%(trailers:key={RELEASE_TRAILER},valueonly)%(trailers:key={REVERT_TRAILER},valueonly)"
)
MAX_SUBJECT = 200
_REGULAR_MODES = ("100644", "100755")
_REVERT_ATTEMPTS = 8
"""Each loses only against a push of somebody else between our fetch and our push, a few hundred milliseconds."""


@dataclass(frozen=True)
class _Blob:
    mode: str
    sha: str


class GitRepository:
    """Git remotes, each mirrored under `root/tenant/application.git`."""

    def __init__(
        self,
        root: Path,
        author: str = "Self-Building Agent <agent@selfbuild.invalid>",
        *,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 120,
    ) -> None:
        """Open nothing yet.

        Args:
            root: Folder of the mirrors; several processes may share it.
            author: `Name <address>` of the commits made.
            environment: What git needs to reach its remotes, for example `SSH_AUTH_SOCK`; nothing else is passed on.
            timeout_s: Bound of every git command.

        Raises:
            Misconfigured: `author` is not of its form.
        """
        match = re.fullmatch(r"([^<>\n]*[^<>\s])\s*<([^<>\s]+)>", author.strip())
        if match is None:
            raise Misconfigured(f"author {author!r} is not of the form 'Name <address>'")
        self._root = root.absolute()
        self._timeout_s = timeout_s
        self._mirrors: dict[str, GitMirror] = {}
        self._identity = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in zip(("NAME", "EMAIL"), match.groups(), strict=True)
        }
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._root),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
            **(environment or {}),
        }

    async def head(self, application: Application) -> str:
        """Sha of the branch's newest commit."""
        async with self._mirror(application).opened() as mirror:
            return await _fetch(mirror, application)

    async def read(self, application: Application, sha: str, paths: Sequence[str]) -> tuple[SourceFile, ...]:
        """Text of the files at `sha`; what is not there, is no regular file or is not UTF-8 is left out."""
        async with self._mirror(application).opened() as mirror:
            await _require_commit(mirror, application, sha)
            blobs = await _regular_files(mirror, sha)
            texts = await _texts(mirror, {path: blobs[path] for path in paths if path in blobs})
        return tuple(SourceFile(path=path, text=text) for path, text in texts.items())

    async def history(self, application: Application, *, limit: int) -> tuple[CommitInfo, ...]:
        """The newest commits of the branch, newest first. What people wrote into them is untrusted text."""
        async with self._mirror(application).opened() as mirror:
            tip = await _fetch(mirror, application)
            answer = await mirror.run("log", f"--max-count={limit}", f"--format={_LOG_FORMAT}", "-z", tip)
        return tuple(_commit_info(record) for record in answer.stdout.split(b"\0") if record)

    async def list_files(self, application: Application, sha: str) -> tuple[str, ...]:
        """Paths of all regular files at `sha`, sorted; without links, submodules and names that are not UTF-8."""
        async with self._mirror(application).opened() as mirror:
            await _require_commit(mirror, application, sha)
            return tuple(sorted(await _regular_files(mirror, sha)))

    async def export(self, application: Application, sha: str, into: Path) -> None:
        """Write the regular files of `sha` into the existing empty folder `into`.

        Raises:
            InvalidRequest: `into` is not an empty folder.
            MalformedAnswer: the tree holds a name that would lead out of `into`.
        """
        if not into.is_dir() or any(into.iterdir()):
            raise InvalidRequest(f"{str(into)!r} is not an existing empty folder")
        async with self._mirror(application).opened() as mirror:
            await _require_commit(mirror, application, sha)
            with mirror.private_folder() as private:
                archive = private / "tree.tar"
                await mirror.run("archive", "--format=tar", f"--output={archive}", sha)
                left_out = await asyncio.to_thread(_unpack, archive, into)
        if left_out:
            log.warning("tree.links_skipped", app_id=application.key, sha=sha, count=left_out)

    async def commit_release(
        self,
        application: Application,
        *,
        base_sha: str,
        patch: Patch,
        subject: str,
        trailers: Mapping[str, str],
    ) -> str:
        """Commit the patch on `base_sha` and push it; see the port."""
        release_id = trailers.get(RELEASE_TRAILER)
        if not release_id:
            raise InvalidRequest(f"a release commit needs the trailer {RELEASE_TRAILER!r}")
        message = _message(subject, "", trailers)
        async with self._mirror(application).opened() as mirror:
            tip = await _fetch(mirror, application)
            if not await mirror.has_commit(_checked(base_sha)):
                raise Conflict(f"{base_sha} is not in the repository of {application.key}")
            if found := await _find(mirror, RELEASE_TRAILER, release_id, above=base_sha, tip=tip):
                return found
            if tip != base_sha:
                raise Conflict(f"branch {application.repository.branch!r} has moved on from {base_sha} to {tip}")
            tree = await _patched_tree(mirror, base_sha, patch)
            sha = await self._commit(mirror, tree, base_sha, message)
            config = application.repository
            if not await mirror.push(config.url, config.branch, sha=sha, expected=base_sha):
                # Another run of the same step may have been first: it makes the very same commit.
                tip = await _fetch(mirror, application)
                if tip != sha:
                    raise Conflict(f"branch {config.branch!r} has moved on from {base_sha} to {tip}")
            log.info("release.committed", app_id=application.key, sha=sha)
            return sha

    async def find_release(self, application: Application, release_id: str) -> str | None:
        """Sha of the release commit with that `Release-Id` trailer on the branch, if there is one."""
        async with self._mirror(application).opened() as mirror:
            tip = await _fetch(mirror, application)
            return await _find(mirror, RELEASE_TRAILER, release_id, tip=tip)

    async def contains(self, application: Application, *, commit: str, tip: str) -> bool:
        """Whether `commit` is `tip` or one of its ancestors. False where either is unknown."""
        async with self._mirror(application).opened() as mirror:
            for sha in (_checked(commit), _checked(tip)):
                if not await mirror.has_commit(sha):
                    await _fetch(mirror, application)
            answer = await mirror.run("merge-base", "--is-ancestor", commit, tip, ok=(0, 1, 128))
            return answer.code == 0

    async def revert(
        self, application: Application, *, release_id: str, subject: str, trailers: Mapping[str, str]
    ) -> str | None:
        """Revert the release commit on the branch and push; see the port.

        A release whose lines are back already (somebody reverted it by hand) gets an empty commit that records it.

        Raises:
            Unreachable: others pushed faster than we could, again and again.
        """
        async with self._mirror(application).opened() as mirror:
            for _ in range(_REVERT_ATTEMPTS):
                tip = await _fetch(mirror, application)
                if done := await _find(mirror, REVERT_TRAILER, release_id, tip=tip):
                    return done
                release = await _find(mirror, RELEASE_TRAILER, release_id, tip=tip)
                if release is None:
                    return None
                body = f"This reverts commit {release}."
                message = _message(subject, body, {**trailers, REVERT_TRAILER: release_id})
                tree = await self._reverted_tree(mirror, release, tip)
                sha = await self._commit(mirror, tree, tip, message)
                config = application.repository
                if await mirror.push(config.url, config.branch, sha=sha, expected=tip):
                    log.info("release.reverted", app_id=application.key, release_id=release_id, sha=sha)
                    return sha
        raise Unreachable(f"branch {application.repository.branch!r} moves on faster than the revert can be pushed")

    def _mirror(self, application: Application) -> GitMirror:
        if application.key not in self._mirrors:
            path = self._root / application.tenant_id / f"{application.name}.git"
            self._mirrors[application.key] = GitMirror(path, self._environment, timeout_s=self._timeout_s)
        return self._mirrors[application.key]

    async def _commit(self, mirror: OpenMirror, tree: str, parent: str, message: str) -> str:
        """Commit one second after `parent`, so that doing it again gives the same sha."""
        shown = await mirror.run("show", "--no-patch", "--format=%ct", parent, "--")
        date = f"@{int(shown.line) + 1} +0000"
        identity = {**self._identity, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        command = ("commit-tree", tree, "-p", parent, "-F", "-")
        return (await mirror.run(*command, stdin=message.encode(), environment=identity)).line

    async def _reverted_tree(self, mirror: OpenMirror, release: str, tip: str) -> str:
        """Three-way merge of "undo the release" into `tip`, on commits made up so that their merge base is right."""
        parents = (await mirror.run("show", "--no-patch", "--format=%P", release, "--")).line.split()
        if len(parents) != 1:
            raise Conflict(f"release commit {release} has {len(parents)} parents: revert it by hand")
        base = await self._made_up(mirror, release)
        ours = await self._made_up(mirror, tip, "-p", base)
        theirs = await self._made_up(mirror, parents[0], "-p", base)
        command = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
        answer = await mirror.run(*command, ok=(0, 1, 129))
        if answer.code == 129:
            raise Misconfigured("this git cannot merge trees: install git 2.38 or newer")
        tree, *files = answer.stdout.decode(errors="replace").rstrip("\0").split("\0")
        if answer.code == 1:
            names = ", ".join(sorted(set(files)))
            raise Conflict(f"later commits touch what release commit {release} changed in {names}: revert it by hand")
        return tree.strip()

    async def _made_up(self, mirror: OpenMirror, commit: str, *parents: str) -> str:
        identity = {**self._identity, "GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"}
        command = ("commit-tree", f"{commit}^{{tree}}", *parents, "-m", "merge")
        return (await mirror.run(*command, environment=identity)).line


def _commit_info(record: bytes) -> CommitInfo:
    sha, author, committed, subject, trailers = record.decode("utf-8", "replace").split("\x1f", 4)
    return CommitInfo(
        sha=sha,
        author_name=author[:MAX_SUBJECT],
        committed_at=datetime.fromisoformat(committed),
        subject=subject[:MAX_SUBJECT],
        by_agent=bool(trailers.strip()),
    )


async def _fetch(mirror: OpenMirror, application: Application) -> str:
    return await mirror.fetch(application.repository.url, application.repository.branch)


async def _require_commit(mirror: OpenMirror, application: Application, sha: str) -> None:
    if await mirror.has_commit(_checked(sha)):
        return
    await _fetch(mirror, application)
    if not await mirror.has_commit(sha):
        raise NotFound(f"commit {sha} is not in the repository of {application.key}")


def _checked(sha: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise InvalidRequest(f"{sha!r} is no full commit sha")
    return sha


async def _regular_files(mirror: OpenMirror, sha: str) -> dict[str, _Blob]:
    listing = (await mirror.run("ls-tree", "-r", "-z", "--full-tree", sha)).stdout
    files: dict[str, _Blob] = {}
    for record in listing.rstrip(b"\0").split(b"\0") if listing else ():
        meta, _, name = record.partition(b"\t")
        mode, _, blob = meta.decode().split(" ")
        with contextlib.suppress(UnicodeDecodeError):
            if mode in _REGULAR_MODES:
                files[name.decode()] = _Blob(mode, blob)
    return files


async def _texts(mirror: OpenMirror, blobs: Mapping[str, _Blob]) -> dict[str, str]:
    """Path -> content of those that are UTF-8, byte for byte."""
    asked = "".join(f"{blob.sha}\n" for blob in blobs.values()).encode()
    stream = (await mirror.run("cat-file", "--batch", stdin=asked)).stdout
    texts: dict[str, str] = {}
    position = 0
    for path, blob in blobs.items():
        header, _, _ = stream[position:].partition(b"\n")
        _, kind, size = header.decode().split(" ")
        if kind != "blob":
            raise MalformedAnswer(f"{blob.sha} of {path!r} is a {kind}")
        start = position + len(header) + 1
        position = start + int(size) + 1
        try:
            texts[path] = stream[start : position - 1].decode()
        except UnicodeDecodeError:
            log.info("file.skipped", path=path, reason="not UTF-8")
    return texts


async def _patched_tree(mirror: OpenMirror, base_sha: str, patch: Patch) -> str:
    blobs = await _regular_files(mirror, base_sha)
    named = {edit.path: blobs[edit.path] for edit in patch.edits if edit.path in blobs}
    try:
        changed = apply_edits(await _texts(mirror, named), patch)
    except EditError as error:
        path = patch.edits[error.index].path
        raise Conflict(f"the patch does not apply to {path!r} at {base_sha}: {error}") from error
    records = []
    for path, text in changed.items():
        blob = (await mirror.run("hash-object", "-w", "--stdin", stdin=text.encode())).line
        records.append(f"{blobs[path].mode} {blob}\t{path}\0")
    with mirror.private_folder() as private:
        index = {"GIT_INDEX_FILE": str(private / "index")}
        await mirror.run("read-tree", base_sha, environment=index)
        await mirror.run("update-index", "-z", "--index-info", stdin="".join(records).encode(), environment=index)
        return (await mirror.run("write-tree", environment=index)).line


async def _find(mirror: OpenMirror, trailer: str, value: str, *, tip: str, above: str | None = None) -> str | None:
    """The oldest commit of `tip`, not of `above`, with the trailer; a commit that takes the release back is none."""
    fields = f"%H%x1f%(trailers:key={trailer},valueonly,separator=%x1e)%x1f%(trailers:key={REVERT_TRAILER},valueonly)"
    reach = (tip, f"^{above}") if above else (tip,)
    grep = ("--fixed-strings", "-i", f"--grep={trailer}: {value}")
    answer = await mirror.run("log", "--no-color", "-z", "--reverse", f"--format={fields}", *grep, *reach, "--")
    for record in answer.stdout.decode(errors="replace").split("\0"):
        sha, _, rest = record.partition("\x1f")
        values, _, reverted = rest.partition("\x1f")
        own = [found.strip() for found in values.split("\x1e")]
        if value in own and (trailer == REVERT_TRAILER or value not in reverted.split()):
            return sha
    return None


def _message(subject: str, body: str, trailers: Mapping[str, str]) -> str:
    lines = []
    for key, value in trailers.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", key):
            raise InvalidRequest(f"{key!r} is no name of a trailer")
        lines.append(f"{key}: {' '.join(value.split())}")
    title = " ".join(subject.replace("\0", "").split()) or "Release"
    return "\n\n".join(part for part in (title, body, "\n".join(lines)) if part) + "\n"


def _unpack(archive: Path, into: Path) -> int:
    """Write the archive's folders and regular files; the number of other members, which are left out."""
    left_out = 0
    try:
        with tarfile.open(archive, mode="r:", encoding="utf-8") as tar:
            for member in tar:
                own = ".git" in (part.lower() for part in PurePosixPath(member.name).parts)
                if own or not (member.isreg() or member.isdir()):
                    left_out += 1
                else:
                    tar.extract(member, into, filter="data")
    except tarfile.TarError as error:
        raise MalformedAnswer(f"the tree cannot be written: {error}") from error
    return left_out

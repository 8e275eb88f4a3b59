"""Writes components to branches of the tenants' component repositories: plumbing only, compare-and-swap pushes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import structlog

from selfbuild.adapters.git_mirror import GitMirror, OpenMirror
from selfbuild.component_ports import ComponentCommit
from selfbuild.domain.base import AwareDatetime, digest_of
from selfbuild.domain.components import ComponentFile, ComponentRequest
from selfbuild.domain.errors import Conflict, NotFound

log = structlog.get_logger()

FILES_TRAILER = "Files-Digest"
MAIN = "main"
"""The branch that components grow from, where it exists."""
_ATTEMPTS = 4
_IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Self-Building Agent"), ("EMAIL", "agent@selfbuild.invalid"))
}


class GitComponents:
    """Implements `component_ports.ComponentRepository`.

    A tenant without a repository of its own gets a bare one below `root`, made at the first use.
    """

    def __init__(self, root: Path, remotes: Mapping[str, str], *, timeout_s: float = 120) -> None:
        """
        Args:
            root: Folder of the bare repositories and of the mirrors; several processes may share it.
            remotes: Tenant -> git URL or path.
            timeout_s: Bound of every git command.
        """
        self._root = root.absolute()
        self._remotes = dict(remotes)
        self._timeout_s = timeout_s
        self._mirrors: dict[str, GitMirror] = {}
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._root),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        }

    async def commit(
        self,
        request: ComponentRequest,
        files: Sequence[ComponentFile],
        *,
        subject: str,
        trailers: Mapping[str, str],
        at: AwareDatetime,
    ) -> ComponentCommit:
        """Write the files to the component's branch and push it; see the port."""
        branch, folder = f"component/{request.component_id}", f"components/{request.requirements.name}"
        digest = digest_of(*sorted(digest_of(file.path, file.content) for file in files))
        message = _message(subject, {**trailers, FILES_TRAILER: digest})
        url = await self._url(request.tenant_id)
        async with self._mirror(request.tenant_id).opened() as mirror:
            for _ in range(_ATTEMPTS):
                tip = await _tip(mirror, url, branch)
                if tip is not None and await _digest_at(mirror, tip) == digest:
                    return ComponentCommit(repository=_shown(url), branch=branch, commit=tip, path=folder)
                parent = tip or await _tip(mirror, url, MAIN)
                tree = await _tree(mirror, parent, folder, files)
                sha = await self._commit(mirror, tree, parent, message, at)
                if await mirror.push(url, branch, sha=sha, expected=tip or ""):
                    log.info("component.committed", tenant_id=request.tenant_id, sha=sha, branch=branch)
                    return ComponentCommit(repository=_shown(url), branch=branch, commit=sha, path=folder)
        raise Conflict(f"branch {branch!r} of {_shown(url)} moves on faster than it can be pushed: ask again")

    def _mirror(self, tenant_id: str) -> GitMirror:
        if tenant_id not in self._mirrors:
            path = self._root / "mirrors" / f"{tenant_id}.git"
            self._mirrors[tenant_id] = GitMirror(path, self._environment, timeout_s=self._timeout_s)
        return self._mirrors[tenant_id]

    async def _url(self, tenant_id: str) -> str:
        if tenant_id in self._remotes:
            return self._remotes[tenant_id]
        path = self._root / f"{tenant_id}.git"
        # Opened only to be made, under the lock that guards mirrors: opening removes locks that a push may hold.
        if not (path / "info" / "attributes").exists():
            own = GitMirror(path, self._environment, timeout_s=self._timeout_s)
            async with own.opened() as repository:
                await repository.run("symbolic-ref", "HEAD", f"refs/heads/{MAIN}")
        return str(path)

    async def _commit(self, mirror: OpenMirror, tree: str, parent: str | None, message: str, at: AwareDatetime) -> str:
        """At the time the component was asked for, so that doing it again gives the same sha."""
        date = f"@{int(at.timestamp())} +0000"
        identity = {**_IDENTITY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        parents = ("-p", parent) if parent else ()
        command = ("commit-tree", tree, *parents, "-F", "-")
        return (await mirror.run(*command, stdin=message.encode(), environment=identity)).line


async def _tip(mirror: OpenMirror, url: str, branch: str) -> str | None:
    listed = (await mirror.run("ls-remote", "--", url, f"refs/heads/{branch}")).line
    if not listed:
        return None
    try:
        return await mirror.fetch(url, branch)
    except NotFound:
        return None


async def _digest_at(mirror: OpenMirror, sha: str) -> str:
    shown = await mirror.run("show", "--no-patch", f"--format=%(trailers:key={FILES_TRAILER},valueonly)", sha, "--")
    return shown.line


async def _tree(mirror: OpenMirror, parent: str | None, folder: str, files: Sequence[ComponentFile]) -> str:
    """The parent's tree with the component's folder replaced by the files."""
    records = []
    for file in files:
        blob = (await mirror.run("hash-object", "-w", "--stdin", stdin=file.content.encode())).line
        records.append(f"100644 {blob}\t{folder}/{file.path}\0")
    with mirror.private_folder() as private:
        index = {"GIT_INDEX_FILE": str(private / "index")}
        if parent is not None:
            await mirror.run("read-tree", parent, environment=index)
            old = (await mirror.run("ls-files", "-z", "--", folder, environment=index)).stdout
            gone = [f"0 {'0' * 40}\t{path}\0" for path in old.decode().split("\0") if path]
            records = gone + records
        await mirror.run("update-index", "-z", "--index-info", stdin="".join(records).encode(), environment=index)
        return (await mirror.run("write-tree", environment=index)).line


def _message(subject: str, trailers: Mapping[str, str]) -> str:
    lines = [f"{key}: {' '.join(value.split())}" for key, value in trailers.items()]
    return f"{' '.join(subject.split())[:72]}\n\n" + "\n".join(lines) + "\n"


def _shown(url: str) -> str:
    """The remote without the credentials that a URL may carry."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url

"""A repository in memory: one branch of commits, with a person who may push to it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from selfbuild.domain.applications import Application
from selfbuild.domain.edits import EditError, apply_edits
from selfbuild.domain.errors import Conflict, InvalidRequest, NotFound
from selfbuild.domain.patches import Edit, Patch, SourceFile
from selfbuild.domain.releases import CommitInfo


@dataclass(frozen=True)
class FakeCommit:
    """One commit on the branch."""

    sha: str
    files: dict[str, str]
    subject: str
    trailers: dict[str, str] = field(default_factory=dict)
    patch: Patch | None = None


class FakeRepository:
    """Implements `selfbuild.ports.Repository` for one branch, whatever the application."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.commits: list[FakeCommit] = []
        self._append(dict(files), "Begin", {}, None)

    def push(self, files: Mapping[str, str], subject: str = "Change by hand") -> str:
        """A person's commit that writes `files`; its sha."""
        return self._append({**self.commits[-1].files, **files}, subject, {}, None)

    async def head(self, application: Application) -> str:
        return self.commits[-1].sha

    async def read(self, application: Application, sha: str, paths: Sequence[str]) -> tuple[SourceFile, ...]:
        files = self._at(sha).files
        return tuple(SourceFile(path=path, text=files[path]) for path in dict.fromkeys(paths) if path in files)

    async def history(self, application: Application, *, limit: int) -> tuple[CommitInfo, ...]:
        newest = list(reversed(self.commits))[:limit]
        return tuple(
            CommitInfo(
                sha=each.sha,
                author_name="p",
                committed_at=datetime(2026, 1, 1, tzinfo=UTC),
                subject=each.subject,
                by_agent=bool(each.trailers.keys() & {"Release-Id", "Reverts-Release"}),
            )
            for each in newest
        )

    async def list_files(self, application: Application, sha: str) -> tuple[str, ...]:
        return tuple(sorted(self._at(sha).files))

    async def export(self, application: Application, sha: str, into: Path) -> None:
        if not into.is_dir() or any(into.iterdir()):
            raise InvalidRequest(f"{str(into)!r} is not an existing empty folder")
        for path, text in self._at(sha).files.items():
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())

    async def commit_release(
        self,
        application: Application,
        *,
        base_sha: str,
        patch: Patch,
        subject: str,
        trailers: Mapping[str, str],
    ) -> str:
        release_id = trailers.get("Release-Id")
        if not release_id:
            raise InvalidRequest("a release commit needs the trailer 'Release-Id'")
        if found := await self.find_release(application, release_id):
            return found
        tip = self.commits[-1]
        if tip.sha != base_sha:
            raise Conflict(f"the branch has moved on from {base_sha} to {tip.sha}")
        return self._append({**tip.files, **_applied(tip.files, patch)}, subject, trailers, patch)

    async def find_release(self, application: Application, release_id: str) -> str | None:
        return next((c.sha for c in self.commits if c.trailers.get("Release-Id") == release_id), None)

    async def contains(self, application: Application, *, commit: str, tip: str) -> bool:
        line = [each.sha for each in self.commits]
        return commit in line and tip in line and line.index(commit) <= line.index(tip)

    async def revert(
        self, application: Application, *, release_id: str, subject: str, trailers: Mapping[str, str]
    ) -> str | None:
        for commit in self.commits:
            if commit.trailers.get("Reverts-Release") == release_id:
                return commit.sha
        release = next((c for c in self.commits if c.trailers.get("Release-Id") == release_id), None)
        if release is None or release.patch is None:
            return None
        edits = (Edit(path=e.path, search=e.replace, replace=e.search) for e in release.patch.edits)
        tip = self.commits[-1].files
        back = _applied(tip, Patch(summary="revert", edits=tuple(edits)))
        return self._append({**tip, **back}, subject, {**trailers, "Reverts-Release": release_id}, None)

    def _at(self, sha: str) -> FakeCommit:
        for commit in self.commits:
            if commit.sha == sha:
                return commit
        raise NotFound(f"commit {sha} is not in the repository")

    def _append(self, files: dict[str, str], subject: str, trailers: Mapping[str, str], patch: Patch | None) -> str:
        parent = self.commits[-1].sha if self.commits else ""
        content = repr((parent, sorted(files.items()), subject, sorted(trailers.items())))
        sha = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.commits.append(FakeCommit(sha, files, subject, dict(trailers), patch))
        return sha


def _applied(files: Mapping[str, str], patch: Patch) -> dict[str, str]:
    try:
        return apply_edits(files, patch)
    except EditError as error:
        raise Conflict(f"{patch.edits[error.index].path}: {error}") from error

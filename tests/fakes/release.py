"""A release target in memory, whose releases can be made unhealthy and which can be made unreachable."""

from dataclasses import dataclass, field
from pathlib import Path

from selfbuild.domain.applications import Application
from selfbuild.domain.errors import Conflict, InvalidRequest, Unreachable
from selfbuild.domain.releases import TargetStatus


@dataclass
class FakeReleaseTarget:
    """Implements `selfbuild.ports.ReleaseTarget` for one application, whatever its name."""

    baseline_sha: str | None
    workers: int = 4
    canary_workers: int = 2
    unhealthy: set[str] = field(default_factory=set)
    """Commits that never become healthy."""
    unreachable: bool = False
    """Whether every call fails."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """(method, release id or sha) of every change that had an effect."""
    barred: set[str] = field(default_factory=set)
    canary_sha: str | None = None
    canary_release_id: str | None = None
    baseline_release_id: str | None = None

    async def describe(self, application: Application) -> TargetStatus:
        return self._status()

    async def start_canary(self, application: Application, *, release_id: str, sha: str, tree: Path) -> TargetStatus:
        self._require_reachable()
        if (self.canary_release_id, self.canary_sha) == (release_id, sha):
            return self._status()
        if self.canary_release_id is not None:
            raise Conflict(f"release {self.canary_release_id!r} is on trial: promote or stop it first")
        if release_id in self.barred or release_id == self.baseline_release_id:
            raise Conflict(f"release {release_id!r} is barred or the baseline: deploy under another release id")
        self._require_healthy(sha)
        self.calls.append(("start_canary", release_id))
        self.canary_release_id, self.canary_sha = release_id, sha
        return self._status()

    async def promote(self, application: Application, *, release_id: str) -> TargetStatus:
        self._require_reachable()
        if release_id != self.baseline_release_id:
            if release_id != self.canary_release_id:
                raise Conflict(f"release {release_id!r} is not on trial: it cannot be promoted")
            self.calls.append(("promote", release_id))
            self.baseline_sha, self.baseline_release_id = self.canary_sha, release_id
            self._end_trial()
        return self._status()

    async def stop_canary(self, application: Application, *, release_id: str) -> TargetStatus:
        self._require_reachable()
        if release_id not in self.barred:
            self.calls.append(("stop_canary", release_id))
        self.barred.add(release_id)
        if release_id == self.canary_release_id:
            self._end_trial()
        return self._status()

    async def replace_baseline(self, application: Application, *, sha: str, tree: Path) -> TargetStatus:
        self._require_reachable()
        if self.baseline_sha != sha or self.canary_sha is not None:
            self._require_healthy(sha)
            self.calls.append(("replace_baseline", sha))
            self.baseline_sha, self.baseline_release_id = sha, None
            self._end_trial()
        return self._status()

    def _end_trial(self) -> None:
        self.canary_sha = self.canary_release_id = None

    def _require_reachable(self) -> None:
        if self.unreachable:
            raise Unreachable("the supervisor does not answer")

    def _require_healthy(self, sha: str) -> None:
        if sha in self.unhealthy:
            raise InvalidRequest(f"release {sha[:12]} is not healthy")

    def _status(self) -> TargetStatus:
        self._require_reachable()
        return TargetStatus(
            baseline_sha=self.baseline_sha,
            canary_sha=self.canary_sha,
            canary_release_id=self.canary_release_id,
            workers=self.workers if self.baseline_sha else 0,
            canary_workers=self.canary_workers if self.canary_sha else 0,
            healthy=self.baseline_sha is not None,
        )

"""The release target `process`: tells the supervisor of an application, on this machine, what to serve."""

from pathlib import Path
from typing import Annotated, Any

import httpx2
from pydantic import Field, ValidationError

from selfbuild.domain.applications import Application
from selfbuild.domain.base import Sha, Value
from selfbuild.domain.errors import Conflict, InvalidRequest, MalformedAnswer, SelfBuildError, Unreachable
from selfbuild.domain.releases import TargetStatus

_ERROR_TEXT_LIMIT = 4000


class _Running(Value):
    sha: Sha
    release_id: str | None = None


class _Status(Value):
    baseline: _Running
    canary: _Running | None
    workers: Annotated[int, Field(ge=0)]
    canary_workers: Annotated[int, Field(ge=0)]
    healthy: bool


class ProcessRelease:
    """Talks to supervisors at `application.release.control_url`; a release's tree is used where it is."""

    def __init__(self, *, timeout_s: float = 120) -> None:
        """Set how long one change may take: starting workers, then letting the replaced ones finish."""
        self._timeout = httpx2.Timeout(timeout_s, connect=3)

    async def describe(self, application: Application) -> TargetStatus:
        """What runs now."""
        return await self._call(application, "GET", "/status")

    async def start_canary(self, application: Application, *, release_id: str, sha: str, tree: Path) -> TargetStatus:
        """Serve a share of the traffic from `tree`, the release `sha`, beside the baseline; see the port."""
        body = {"release_id": release_id, "sha": sha, "tree": str(tree.absolute())}
        return await self._call(application, "POST", "/canary", body)

    async def promote(self, application: Application, *, release_id: str) -> TargetStatus:
        """Serve everything from the canary; Conflict when it is neither on trial nor the baseline."""
        return await self._call(application, "POST", "/promote", {"release_id": release_id})

    async def stop_canary(self, application: Application, *, release_id: str) -> TargetStatus:
        """Serve everything from the baseline; bars a later `start_canary` of the same release."""
        return await self._call(application, "POST", "/stop-canary", {"release_id": release_id})

    async def replace_baseline(self, application: Application, *, sha: str, tree: Path) -> TargetStatus:
        """Serve everything from `tree`, without a canary; InvalidRequest when it is not healthy."""
        return await self._call(application, "POST", "/baseline", {"sha": sha, "tree": str(tree.absolute())})

    async def _call(
        self, application: Application, method: str, path: str, body: dict[str, Any] | None = None
    ) -> TargetStatus:
        url = application.release.control_url.rstrip("/") + path
        try:
            async with httpx2.AsyncClient(timeout=self._timeout, trust_env=False) as client:
                answer = await client.request(method, url, json=body)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise InvalidRequest(f"control_url of {application.key} is no url: {error}") from error
        except httpx2.TransportError as error:
            raise Unreachable(f"supervisor of {application.key} does not answer at {url}: {error!r}") from error
        if answer.status_code != 200:
            raise _error_of(application, answer)
        try:
            status = _Status.model_validate_json(answer.content)
        except ValidationError as error:
            raise MalformedAnswer(f"{url} answered something that is no status of a supervisor") from error
        return TargetStatus(
            baseline_sha=status.baseline.sha,
            canary_sha=status.canary.sha if status.canary else None,
            canary_release_id=status.canary.release_id if status.canary else None,
            workers=status.workers,
            canary_workers=status.canary_workers,
            healthy=status.healthy,
        )


def _error_of(application: Application, answer: httpx2.Response) -> SelfBuildError:
    try:
        text = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    message = f"supervisor of {application.key}: {text[:_ERROR_TEXT_LIMIT]}"
    if answer.status_code == 409:
        return Conflict(message)
    if answer.status_code in (400, 415, 422):
        return InvalidRequest(message)
    if answer.status_code >= 500:
        return Unreachable(message)
    return MalformedAnswer(f"{message} (HTTP {answer.status_code})")

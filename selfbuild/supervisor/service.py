"""Keeps the workers as the state says, and changes the state: fresh workers first, then the surplus leaves."""

import asyncio
import socket
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import structlog

from selfbuild.domain.errors import Conflict
from selfbuild.supervisor.state import RunningRelease, State, StateFile
from selfbuild.supervisor.worker import Unhealthy, Worker, WorkerSettings

log = structlog.get_logger()

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
CRASHES_ALLOWED = 3
"""A canary whose workers end more often than this within `CRASH_WINDOW_S` is taken out."""
CRASH_WINDOW_S = 60.0

_Release = tuple[str, Path]


def _key(release: RunningRelease) -> _Release:
    return release.sha, release.tree


class Supervisor:
    """The workers behind one listening socket.

    Every change is serialised. The state is saved when the workers it needs are healthy and before they serve: a
    supervisor that is killed at any point comes back with the state before or the state after.
    """

    def __init__(
        self,
        listening: socket.socket,
        file: StateFile,
        state: State,
        settings: WorkerSettings,
        *,
        workers: int,
        canary_workers: int,
    ) -> None:
        self._listening = listening
        self._file = file
        self._state = state
        self._settings = settings
        self._count = workers
        self._canary_count = canary_workers
        self._workers: list[Worker] = []
        self._lock = asyncio.Lock()
        self._worker_missing = asyncio.Event()
        self._canary_crashes: deque[float] = deque(maxlen=CRASHES_ALLOWED + 1)
        self._mending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start what the state says. A canary that is not healthy is barred, the baseline must be.

        Raises:
            Unhealthy: the baseline is not; no worker is left.
        """
        async with self._lock:
            try:
                await self._change(self._state)
            except Unhealthy as error:
                canary = self._state.canary
                if canary is None or _key(error.release) != _key(canary):
                    raise
                self._give_up_canary(str(error))
                await self._change(self._state)
        self._mending = asyncio.create_task(self._mend_forever())

    async def stop(self) -> None:
        """Let all workers finish what they have accepted, and end them."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])
        async with self._lock:
            await _all(worker.drain() for worker in self._workers)
            self._workers.clear()

    def status(self) -> dict[str, Any]:
        """What is served, by how many workers."""
        serving = [worker for worker in self._workers if worker.serving]
        canary = self._state.canary
        by_release = Counter(_key(worker.release) for worker in serving)
        return {
            "baseline": self._state.baseline.model_dump(mode="json"),
            "canary": canary.model_dump(mode="json") if canary else None,
            "barred": list(self._state.barred),
            "workers": len(serving),
            "canary_workers": by_release[_key(canary)] if canary else 0,
            "healthy": by_release == self._wanted(self._state),
            "pids": [worker.pid for worker in serving],
        }

    async def start_canary(self, release_id: str, sha: str, tree: Path) -> None:
        """Put the release on trial beside the baseline; without effect when it is.

        Raises:
            Conflict: another release is on trial, or this one is barred.
            Unhealthy: the release is not; the baseline serves everything as before.
        """
        async with self._lock:
            canary = self._state.canary
            if canary is not None and canary.release_id == release_id and canary.sha == sha:
                return
            if canary is not None:
                raise Conflict(f"release {canary.release_id!r} is on trial: promote or stop it first")
            if release_id in self._state.barred:
                raise Conflict(f"release {release_id!r} is barred: deploy under another release id")
            if self._state.baseline.release_id == release_id:
                raise Conflict(f"release {release_id!r} is the baseline already")
            fresh = RunningRelease(sha=sha, tree=tree, release_id=release_id)
            self._canary_crashes.clear()
            await self._change(State(baseline=self._state.baseline, canary=fresh, barred=self._state.barred))
            log.info("canary.started", release_id=release_id, sha=sha)

    async def promote(self, release_id: str) -> None:
        """Serve everything from the canary; without effect when it is the baseline already.

        Raises:
            Conflict: the release is not on trial.
            Unhealthy: further workers of it are not; nothing has changed.
        """
        async with self._lock:
            if self._state.baseline.release_id == release_id:
                return
            canary = self._state.canary
            if canary is None or canary.release_id != release_id:
                raise Conflict(f"release {release_id!r} is not on trial: it cannot be promoted")
            await self._change(self._state.promoted())
            log.info("canary.promoted", release_id=release_id)

    async def stop_canary(self, release_id: str) -> None:
        """Bar the release, and serve everything from the baseline where it is on trial."""
        async with self._lock:
            if release_id in self._state.barred:
                return
            self._save(self._state.with_barred(release_id))
            await self._settle()
            log.info("canary.stopped", release_id=release_id)

    async def replace_baseline(self, sha: str, tree: Path) -> None:
        """Serve everything from `tree`; without effect when it is the only thing served already.

        Raises:
            Unhealthy: the release is not; nothing has changed.
        """
        async with self._lock:
            if self._state.baseline.sha == sha and self._state.canary is None:
                return
            await self._change(State(baseline=RunningRelease(sha=sha, tree=tree), barred=self._state.barred))
            log.info("baseline.replaced", sha=sha)

    def _wanted(self, state: State) -> Counter[_Release]:
        on_trial = self._canary_count if state.canary else 0
        wanted = Counter({_key(state.baseline): self._count - on_trial})
        if state.canary:
            wanted[_key(state.canary)] += on_trial
        return wanted

    async def _change(self, state: State) -> None:
        """Move to `state`: start what is missing held back, save, let it serve, then drain the surplus."""
        fresh = await self._start_missing(state, state.releases())
        self._save(state)
        await self._let_serve(fresh)
        await self._drain_surplus()

    async def _settle(self) -> None:
        """Move to the saved state as far as its releases are healthy; the rest is tried again later."""
        for release in self._state.releases():
            try:
                await self._let_serve(await self._start_missing(self._state, [release]))
            except Unhealthy as error:
                log.error("worker.failed", error_message=str(error))
                self._note_missing(release)
        await self._drain_surplus()

    async def _start_missing(self, state: State, releases: Sequence[RunningRelease]) -> list[Worker]:
        missing = self._wanted(state) - Counter(_key(worker.release) for worker in self._workers)
        wanted = [release for release in releases for _ in range(missing.pop(_key(release), 0))]
        started: list[Worker] = []
        try:
            for release in wanted:
                started.append(await Worker.start(release, self._listening, self._settings, self._lost))
            await _all(worker.healthy() for worker in started)
        except BaseException:
            await _all(worker.kill() for worker in started)
            raise
        return started

    async def _let_serve(self, workers: Sequence[Worker]) -> None:
        results = await asyncio.gather(*(worker.serve() for worker in workers), return_exceptions=True)
        for worker, result in zip(workers, results, strict=True):
            if not isinstance(result, BaseException):
                self._workers.append(worker)
            elif isinstance(result, Unhealthy):
                self._note_missing(worker.release)
            else:
                raise result

    async def _drain_surplus(self) -> None:
        wanted = self._wanted(self._state)
        leaving: list[Worker] = []
        for worker in self._workers:
            wanted[_key(worker.release)] -= 1
            if wanted[_key(worker.release)] < 0:
                leaving.append(worker)
        self._workers = [worker for worker in self._workers if worker not in leaving]
        await _all(worker.drain() for worker in leaving)

    def _save(self, state: State) -> None:
        self._file.save(state)
        self._state = state

    def _lost(self, worker: Worker) -> None:
        log.warning("worker.ended", pid=worker.pid, sha=worker.release.sha)
        if worker in self._workers:
            self._workers.remove(worker)
            self._note_missing(worker.release)

    def _note_missing(self, release: RunningRelease) -> None:
        canary = self._state.canary
        if canary is not None and _key(release) == _key(canary):
            self._canary_crashes.append(time.monotonic())
        self._worker_missing.set()

    def _canary_keeps_crashing(self) -> bool:
        crashes = self._canary_crashes
        return len(crashes) > CRASHES_ALLOWED and crashes[-1] - crashes[0] < CRASH_WINDOW_S

    def _give_up_canary(self, reason: str) -> None:
        canary = self._state.canary
        if canary is not None:
            log.error("canary.failed", release_id=canary.release_id, sha=canary.sha, error_message=reason)
            self._canary_crashes.clear()
            self._save(self._state.with_barred(canary.release_id or ""))

    async def _mend_forever(self) -> None:
        """Replace workers that ended, pausing ever longer while that does not help."""
        pause_s = FIRST_PAUSE_S
        while True:
            calm_since = time.monotonic()
            await self._worker_missing.wait()
            if time.monotonic() - calm_since > CRASH_WINDOW_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            async with self._lock:
                self._worker_missing.clear()
                if self._canary_keeps_crashing():
                    self._give_up_canary("its workers end again and again")
                await self._settle()


async def _all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end, then raise the first failure."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result

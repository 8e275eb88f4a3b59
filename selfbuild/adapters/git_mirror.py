"""Runs git on the bare mirror of one repository: clean environment, one user at a time, errors translated.

A mirror is only a cache: whatever is wrong with it is mended by throwing it away.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    MalformedAnswer,
    Misconfigured,
    NotFound,
    SelfBuildError,
    Unreachable,
)

log = structlog.get_logger()

_ERROR_TEXT_LIMIT = 500
_LOCK_POLL_S = 0.05
_FORBIDDEN_STARTS = ("-", "ext::", "fd::")

_SAFE_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "credential.helper=",
    "gc.autoDetach=false",  # a collection in the background would outlive the mirror's lock
    "commit.gpgSign=false",
    "push.gpgSign=false",
)

_ATTRIBUTES = "* -export-ignore -export-subst -text -ident -filter -working-tree-encoding\n"
"""Overrides the tree's own .gitattributes, so that an export is byte for byte what was committed."""

_CORRUPT = re.compile(
    r"bad object|object file .* is empty|loose object .* is corrupt|is corrupt|not a git repository: |"
    r"index file corrupt|invalid index-pack|unable to read (tree|sha1|object)|missing (blob|tree|commit)|"
    r"bad tree object|inflate: |broken (ref|link)|unable to parse object|does not point to a valid object|"
    r"unable to unpack"
)

_MEANINGS: tuple[tuple[re.Pattern[str], type[SelfBuildError]], ...] = (
    (
        re.compile(
            r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied|"
            r"host key verification failed|dubious ownership|access denied|returned error: 40[13]|"
            r"invalid username or (password|token)|hook declined|protected branch|[(\[]remote rejected[)\]]|"
            r"transport '.*' not allowed",
            re.I,
        ),
        AccessDenied,
    ),
    (
        re.compile(
            r"couldn't find remote ref|does not appear to be a git repository|repository .*not found|"
            r"returned error: 404|no such file or directory|not a valid object name|bad object",
            re.I,
        ),
        NotFound,
    ),
    (
        re.compile(
            r"could not resolve|connection (refused|reset|timed out|closed)|timed out|unable to access|early eof|"
            r"remote end hung up|could not read from remote|network is unreachable|returned error: (429|5\d\d)|"
            r"no space left|unable to connect",
            re.I,
        ),
        Unreachable,
    ),
)


@dataclass(frozen=True)
class GitAnswer:
    """How a git command ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def line(self) -> str:
        """The one line it printed."""
        return self.stdout.decode().strip()


class _MirrorCorrupt(Unreachable):
    """The mirror has to be made anew; a further attempt does."""


def error_of(command: str, stderr: str) -> SelfBuildError:
    """What a failed git command means for the caller; credentials within urls are left out of the text."""
    text = re.sub(r"://[^/@\s]+@", "://***@", stderr.strip())[-_ERROR_TEXT_LIMIT:]
    message = f"git {command} failed: {text or 'no message'}"
    if _CORRUPT.search(stderr):
        return _MirrorCorrupt(message)
    kind = next((kind for pattern, kind in _MEANINGS if pattern.search(stderr)), MalformedAnswer)
    return kind(message)


class GitMirror:
    """One bare mirror and its lock.

    The lock is a `flock` on a file beside the mirror, inherited by every git process: it is free only when no git
    process of a killed owner runs any more, so that lock files found inside the mirror under it are stale.
    """

    def __init__(self, path: Path, environment: Mapping[str, str], *, timeout_s: float) -> None:
        self.path = path
        self._environment = environment
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenMirror"]:
        """The mirror for sole use, made if there is none, with the left-overs of killed users removed.

        Raises:
            Unreachable: the mirror stayed in use, or was found corrupt and thrown away.
        """
        async with self._turn:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await self._wait_for(lock)
                mirror = OpenMirror(self.path, self._environment, lock, timeout_s=self._timeout_s)
                await mirror.prepare()
                yield mirror
            except _MirrorCorrupt as error:
                log.warning("git_mirror.discarded", mirror=self.path.name, error_message=str(error))
                shutil.rmtree(self.path, ignore_errors=True)
                raise Unreachable(str(error)) from error
            finally:
                os.close(lock)

    async def _wait_for(self, lock: int) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    with contextlib.suppress(BlockingIOError):
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        return
                    await asyncio.sleep(_LOCK_POLL_S)
        except TimeoutError as error:
            raise Unreachable(f"mirror {self.path.name!r} is in use by another process") from error


class OpenMirror:
    """Git commands on a mirror whose lock is held."""

    def __init__(self, path: Path, environment: Mapping[str, str], lock: int, *, timeout_s: float) -> None:
        self.path = path
        self._environment = environment
        self._lock = lock
        self._timeout_s = timeout_s

    async def prepare(self) -> None:
        """Make the mirror if it is missing or half made, and remove what killed processes left."""
        for pattern in ("*.lock", "refs/**/*.lock", "objects/info/**/*.lock", "objects/pack/*.lock"):
            for stale in self.path.glob(pattern):
                log.warning("git_lock.removed", path=stale.name)
                stale.unlink(missing_ok=True)
        shutil.rmtree(self._private_root, ignore_errors=True)
        attributes = self.path / "info" / "attributes"
        if not attributes.exists():
            await self._execute("init", "--quiet", "--bare", "--", str(self.path))
            attributes.parent.mkdir(exist_ok=True)
            attributes.write_text(_ATTRIBUTES)

    @property
    def _private_root(self) -> Path:
        return self.path / "private"

    @contextlib.contextmanager
    def private_folder(self) -> Iterator[Path]:
        """A folder for one operation; what a killed process leaves of it goes when the mirror is opened next."""
        self._private_root.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._private_root) as folder:
            yield Path(folder)

    async def fetch(self, url: str, branch: str) -> str:
        """Fetch the branch; the sha of its newest commit."""
        _check_remote(url, branch)
        tracking = f"refs/remotes/origin/{branch}"
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        await self.run("fetch", *flags, "--", url, f"+refs/heads/{branch}:{tracking}")
        return (await self.run("rev-parse", "--verify", "--quiet", f"{tracking}^{{commit}}")).line

    async def push(self, url: str, branch: str, *, sha: str, expected: str) -> bool:
        """Move the remote branch from `expected` to `sha`; False when it is not at `expected` any more."""
        _check_remote(url, branch)
        lease = f"--force-with-lease=refs/heads/{branch}:{expected}"
        command = ("push", "--porcelain", "--no-verify", lease, "--", url, f"{sha}:refs/heads/{branch}")
        answer = await self.run(*command, ok=(0, 1))
        if answer.code == 0:
            return True
        said = f"{answer.stdout.decode(errors='replace')}\n{answer.stderr}"
        if re.search(r"stale info|non-fast-forward|fetch first|cannot lock ref|failed to update ref", said):
            return False
        raise error_of("push", said)

    async def has_commit(self, sha: str) -> bool:
        """Whether the mirror holds the commit."""
        return (await self.run("cat-file", "-e", f"{sha}^{{commit}}", ok=(0, 1, 128))).code == 0

    async def run(
        self,
        *args: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
    ) -> GitAnswer:
        """Run git on the mirror.

        Raises:
            SelfBuildError: the exit code is not among `ok`; its class says why.
            Unreachable: it took too long; it has been killed.
        """
        answer = await self._execute(f"--git-dir={self.path}", *args, stdin=stdin, environment=environment)
        if answer.code not in ok:
            raise error_of(args[0], answer.stderr)
        return answer

    async def _execute(self, *args: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> GitAnswer:
        settings = [part for setting in _SAFE_SETTINGS for part in ("-c", setting)]
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *settings,
                *args,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=self.path.parent,
                env={**self._environment, **(environment or {})},
                pass_fds=(self._lock,),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Misconfigured("git is not installed: install git 2.38 or newer") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                stdout, stderr = await process.communicate(stdin)
        except TimeoutError as error:
            raise Unreachable(f"git {args[0]} took longer than {self._timeout_s:g} s") from error
        finally:
            if process.returncode is None:
                await _kill(process)
        return GitAnswer(process.returncode or 0, stdout, stderr.decode(errors="replace"))


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End git with its own children, also while the caller is being cancelled."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())


def _check_remote(url: str, branch: str) -> None:
    if not url or url.startswith(_FORBIDDEN_STARTS) or "\0" in url:
        raise InvalidRequest(f"repository url {url!r} is not allowed: give a git url or a path")
    # The rules of git-check-ref-format that keep a name from being read as something else.
    if not re.fullmatch(r"(?!.*(\.\.|//|@\{|\.lock(/|$)))[\w][\w./+@=-]*(?<![./])", branch):
        raise InvalidRequest(f"branch {branch!r} is no name of a branch")

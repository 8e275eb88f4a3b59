"""Artifacts in a folder, named by the SHA-256 of their content."""

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

from selfbuild.domain.base import ArtifactRef
from selfbuild.domain.errors import MalformedAnswer, NotFound, Unreachable


class FolderArtifacts:
    """Implements `ports.Artifacts`. Several processes may write to the same folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, content: bytes, media_type: str = "application/json") -> ArtifactRef:
        digest = hashlib.sha256(content).hexdigest()
        await asyncio.to_thread(self._write, digest, content)
        return ArtifactRef(digest=digest, size_bytes=len(content), media_type=media_type)

    async def get(self, ref: ArtifactRef) -> bytes:
        content = await asyncio.to_thread(self._read, ref.digest)
        if hashlib.sha256(content).hexdigest() != ref.digest:
            raise MalformedAnswer(f"artifact {ref.digest} has changed on disk: remove {self._path(ref.digest)}")
        return content

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise NotFound(f"no artifact {digest!r}: not a SHA-256 in hex")
        return self._root / digest[:2] / digest

    def _write(self, digest: str, content: bytes) -> None:
        path = self._path(digest)
        if self._intact(path, digest):
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        except OSError as error:
            raise Unreachable(f"artifact folder {self._root} cannot be written: {error.strerror}") from error
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A rename on one file system is atomic: readers see the whole content or none.
            os.replace(name, path)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise Unreachable(f"artifact folder {self._root} cannot be written: {error.strerror}") from error

    def _intact(self, path: Path, digest: str) -> bool:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Unreachable(f"artifact {digest} in {self._root} cannot be read: {error.strerror}") from error

    def _read(self, digest: str) -> bytes:
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"no artifact {digest} in {self._root}") from error
        except OSError as error:
            raise Unreachable(f"artifact {digest} in {self._root} cannot be read: {error.strerror}") from error

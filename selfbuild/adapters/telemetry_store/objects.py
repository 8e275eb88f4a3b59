"""Where segments lie, known by key and never changed: the protocol, and its form as files below a folder."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from selfbuild.domain.errors import Unreachable

STALE_S = 3600.0
"""A file being written for so long was left by a crash: the largest takes seconds."""

_SCRATCH = ".writing"
"""Tenants' names do not start with a dot, so it stands beside them."""


class Vanished(Exception):
    """An object was there when it was listed and is not there any more."""


class SegmentObjects(Protocol):
    """Immutable objects by key. Raises Unreachable and AccessDenied."""

    def entries(self, prefix: str = "", *, days: tuple[str, str] | None = None) -> dict[str, int]:
        """Key -> bytes of all objects below `prefix`, which is empty or ends in a slash.

        Every object that is there during the whole call is in the answer; of an object that replaces others, either
        it or they. `days` (first and last, inclusive) bounds the third part of the key.
        """
        ...

    def put(self, key: str, source: Path) -> None:
        """Store the content of `source`, which is consumed: wholly and durably, or not at all."""
        ...

    def local(self, sizes: dict[str, int]) -> list[Path]:
        """Files with the content of the objects `key -> bytes`, in their order. Raises Vanished."""
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Remove, in this order; without effect for those not there."""
        ...

    def claim(self, key: str, content: bytes) -> bool:
        """Create the object unless there is one; whether this call created it."""
        ...

    def claimed(self, key: str) -> bytes | None:
        """The content of a claim, None when there is none."""
        ...

    def reclaim(self, key: str, *, seen: bytes) -> bool:
        """Remove the claim if it still is what was seen; of several callers one gets True."""
        ...

    def scratch(self) -> Path:
        """A folder for files that `put` is to take."""
        ...

    def clean(self) -> int:
        """Remove what crashed writers left; how many files went."""
        ...


class FolderObjects:
    """Objects as files below a folder, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entries(self, prefix: str = "", *, days: tuple[str, str] | None = None) -> dict[str, int]:
        found: dict[str, int] = {}
        with disk_errors(self._root, "read"):
            for folder in self._folders(prefix, days):
                found |= {f"{folder}/{name}": size for name, size in _settled(self._root / folder).items()}
        return found

    def put(self, key: str, source: Path) -> None:
        path = self._root / key
        with disk_errors(self._root, "written"):
            _sync(source)
            for _ in range(5):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Expiry may remove the empty folder of a day in between.
                with suppress(FileNotFoundError):
                    # A rename on one file system is atomic: readers see the whole content or none.
                    os.replace(source, path)
                    return _sync(path.parent)
                if not source.exists():
                    break
        raise Unreachable(f"telemetry folder {self._root} cannot be written: {source.name} was removed meanwhile")

    def local(self, sizes: dict[str, int]) -> list[Path]:
        return [self._root / key for key in sizes]

    def remove(self, keys: Iterable[str]) -> None:
        with disk_errors(self._root, "written"):
            for key in keys:
                (self._root / key).unlink(missing_ok=True)
                # Fails while the day has other files, which is the point.
                with suppress(OSError):
                    (self._root / key).parent.rmdir()

    def claim(self, key: str, content: bytes) -> bool:
        path = self._root / key
        with disk_errors(self._root, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._draft(content)
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
            finally:
                draft.unlink()
        return True

    def claimed(self, key: str) -> bytes | None:
        with disk_errors(self._root, "read"):
            try:
                return (self._root / key).read_bytes()
            except FileNotFoundError:
                return None

    def reclaim(self, key: str, *, seen: bytes) -> bool:
        with disk_errors(self._root, "written"):
            taken = self._draft(b"")
            try:
                os.rename(self._root / key, taken)
            except FileNotFoundError:
                taken.unlink()
                return False
            if taken.read_bytes() == seen:
                taken.unlink()
                return True
            # Somebody else's newer claim: give it back, unless a third one came meanwhile.
            with suppress(FileExistsError):
                os.link(taken, self._root / key)
            taken.unlink()
        return False

    def scratch(self) -> Path:
        return scratch_in(self._root)

    def clean(self) -> int:
        return clean_scratch(self._root) + self._clean_orphans()

    def _draft(self, content: bytes) -> Path:
        handle, name = tempfile.mkstemp(dir=self.scratch())
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return Path(name)

    def _clean_orphans(self) -> int:
        keys = self.entries()
        orphans = [self._root / key for key in orphaned(keys)]
        stale = [path for path in orphans if _is_stale(path)]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _folders(self, prefix: str, days: tuple[str, str] | None) -> Iterator[str]:
        depth = prefix.count("/")
        parents = [prefix.rstrip("/")]
        for level in range(depth, 3):
            children = [f"{each}/{name}".lstrip("/") for each in parents for name in _folders_in(self._root / each)]
            parents = [each for each in children if level < 2 or in_days(each.rpartition("/")[2], days)]
        return iter(parents)


def orphaned(keys: Iterable[str]) -> list[str]:
    """Events files whose series file, which is written after them, is not there."""
    present = set(keys)
    suffix = ".events.parquet"
    return [
        key for key in present if key.endswith(suffix) and key.removesuffix(suffix) + ".series.parquet" not in present
    ]


def in_days(day: str, days: tuple[str, str] | None) -> bool:
    """Whether the day lies in the range of days, whose ends belong to it; None = all."""
    return days is None or days[0] <= day <= days[1]


def _folders_in(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(each.name for each in entries if not each.name.startswith(".") and each.is_dir())
    except FileNotFoundError:
        return []


def _settled(path: Path) -> dict[str, int]:
    """Name -> bytes of the folder's files. A large folder is not listed in one step: it is asked until it settles."""
    listing = _files_in(path)
    for _ in range(20):
        again = listing if len(listing) < 100 else _files_in(path)
        if again == listing:
            break
        listing = again
    return listing


def _files_in(path: Path) -> dict[str, int]:
    found = {}
    with suppress(FileNotFoundError), os.scandir(path) as entries:
        for each in entries:
            with suppress(FileNotFoundError):
                found[each.name] = each.stat().st_size
    return found


def scratch_in(root: Path) -> Path:
    """The folder for files being written, on the same file system as what lies below `root`."""
    path = root / _SCRATCH
    with disk_errors(root, "written"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def clean_scratch(root: Path) -> int:
    """Remove what lies in the scratch folder for longer than any write takes; how many entries went."""
    scratch = root / _SCRATCH
    try:
        stale = [path for path in scratch.iterdir() if _is_stale(path)]
    except FileNotFoundError:
        return 0
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(stale)


def _is_stale(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - STALE_S
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(root: Path, what: str) -> Iterator[None]:
    """Raise Unreachable for errors of the operating system; `what` could not be done: read, written."""
    try:
        yield
    except OSError as error:
        raise unreachable(root, what, error) from error


def unreachable(root: Path, what: str, error: OSError) -> Unreachable:
    """The error for a folder that cannot be used, with the remedy."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "make room on its disk" if full else "correct the path or its permissions"
    return Unreachable(f"telemetry folder {root} cannot be {what}: {error.strerror or error}: {remedy}")

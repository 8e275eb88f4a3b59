"""The lines of a folder of OTLP JSON files, while a collector appends to them and rotates them."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from selfbuild.domain.errors import AccessDenied, NotFound, Unreachable

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
ROUNDS = 3
"""The folder is listed again as often, for files that were renamed while others were read."""
MAX_LINE_BYTES = 64 << 20
MAX_READ_BYTES = 1 << 30
"""Bytes of one reading, newest files first."""
SLACK_S = 120
"""A file that was last written so long before the window holds nothing of it."""


@dataclass
class FolderReader:
    """One reading of a folder.

    Lines without one of `needles` are passed over before they are parsed.
    """

    folder: Path
    since: datetime
    needles: Sequence[str]
    problems: Counter[str] = field(default_factory=Counter)
    """What could not be read -> how often."""
    bytes_read: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def documents(self) -> Iterator[dict[str, Any]]:
        """The JSON objects of all lines, in no particular order, each file once under whatever name.

        Raises:
            NotFound: there is no such folder.
            AccessDenied, Unreachable: a file cannot be read.
        """
        needles = [json.dumps(needle)[1:-1].encode() for needle in self.needles]
        for _ in range(ROUNDS):
            paths = self._unread()
            if not paths:
                return
            for path in paths:
                yield from self._file(path, needles)

    def _unread(self) -> list[Path]:
        """Files not read yet that may hold something of the window, newest first."""
        try:
            found = list(_listed(self.folder))
        except OSError as error:
            raise _refused(self.folder, error) from error
        oldest = self.since.timestamp() - SLACK_S
        fresh = [
            (status.st_mtime, path)
            for status, path in found
            if (status.st_dev, status.st_ino) not in self._seen and status.st_mtime >= oldest
        ]
        return [path for _, path in sorted(fresh, reverse=True)]

    def _file(self, path: Path, needles: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        try:
            with path.open("rb") as raw:
                status = _identity(raw)
                if status in self._seen:
                    return
                self._seen.add(status)
                if path.suffix == ".gz":
                    with gzip.open(raw) as unpacked:
                        yield from self._lines(unpacked, path, needles)  # type: ignore[arg-type]
                else:
                    yield from self._lines(raw, path, needles)
        except FileNotFoundError:
            return  # Renamed since it was listed; the next listing has its new name.
        except EOFError:
            self.problems[f"{path.name}: ends within a compressed block"] += 1
        except gzip.BadGzipFile:
            self.problems[f"{path.name}: is not compressed by gzip"] += 1
        except OSError as error:
            raise _refused(path, error) from error

    def _lines(self, stream: BinaryIO, path: Path, needles: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        while True:
            if self.bytes_read >= MAX_READ_BYTES:
                self.problems[f"{path.name}: {MAX_READ_BYTES:,} bytes were read before its end"] += 1
                return
            line = stream.readline(MAX_LINE_BYTES)
            if not line:
                return
            self.bytes_read += len(line)
            if not any(needle in line for needle in needles):
                continue
            document = _parsed(line)
            if document is not None:
                yield document
            elif line.endswith(b"\n"):
                # The last line may be torn: the collector is writing it, and it is whole at the next reading.
                self.problems[f"{path.name}: lines that are no JSON object"] += 1


def _listed(folder: Path) -> Iterator[tuple[os.stat_result, Path]]:
    for path in folder.iterdir():
        if path.name.endswith(SUFFIXES):
            try:
                yield path.stat(), path
            except FileNotFoundError:
                continue  # Renamed or deleted since the folder was opened.


def _identity(stream: BinaryIO) -> tuple[int, int]:
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refused(path: Path, error: OSError) -> Exception:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"no folder {str(path)!r}: let the collector's file exporter write there")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{str(path)!r} cannot be read: {error.strerror}: grant the worker read access")
    return Unreachable(f"{str(path)!r} cannot be read: {error.strerror}")

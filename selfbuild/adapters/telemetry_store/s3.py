"""Segments in S3, read through a bounded cache folder."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from selfbuild.adapters.aws import translated_errors
from selfbuild.adapters.telemetry_store.objects import (
    STALE_S,
    Vanished,
    clean_scratch,
    disk_errors,
    in_days,
    orphaned,
    scratch_in,
)
from selfbuild.domain.errors import NotFound

DEFAULT_CACHE_BYTES = 2 << 30


class S3Objects:
    """Objects in a bucket. Segments never change, so each is fetched once into a cache folder and read from there.

    The cache is bounded by `cache_bytes`; what one call needs stays even when it is more. DuckDB's own S3 reader is
    an extension that is downloaded at run time, so it is not used.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket, which exists.
        prefix: Put before every key; empty or ending in a slash.
        cache: A folder of this machine; processes may share it.
        cache_bytes: Bound of the cache.
    """

    def __init__(
        self, client: Any, bucket: str, *, cache: Path, prefix: str = "", cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._cache = cache
        self._cache_bytes = cache_bytes

    def entries(self, prefix: str = "", *, days: tuple[str, str] | None = None) -> dict[str, int]:
        listing, pages = self._listed(prefix, days)
        while pages > 1:
            # One page is a consistent view; several are one only if nothing changed in between.
            again, pages = self._listed(prefix, days)
            if again == listing:
                break
            listing = again
        return {key: size for key, (size, _) in listing.items()}

    def put(self, key: str, source: Path) -> None:
        with disk_errors(self._cache, "read"), source.open("rb") as body, self._translated("s3:PutObject"):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body)
        with disk_errors(self._cache, "written"):
            path = self._cached(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, path)

    def local(self, sizes: dict[str, int]) -> list[Path]:
        with disk_errors(self._cache, "written"):
            paths = [self._fetched(key, size) for key, size in sizes.items()]
            self._evict(keep=set(paths))
        return paths

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._translated("s3:DeleteObject"):
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
            with disk_errors(self._cache, "written"):
                self._cached(key).unlink(missing_ok=True)

    def claim(self, key: str, content: bytes) -> bool:
        return self._if("s3:PutObject", self._client.put_object, key, Body=content, IfNoneMatch="*")

    def claimed(self, key: str) -> bytes | None:
        answer = self._get(key)
        return None if answer is None else answer[0]

    def reclaim(self, key: str, *, seen: bytes) -> bool:
        answer = self._get(key)
        if answer is None or answer[0] != seen:
            return False
        # A marker in its place, written only over what was seen: of several callers one succeeds.
        if not self._if("s3:PutObject", self._client.put_object, key, Body=b"", IfMatch=answer[1]):
            return False
        with self._translated("s3:DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        return True

    def scratch(self) -> Path:
        return scratch_in(self._cache)

    def clean(self) -> int:
        listing, _ = self._listed("", None)
        stale = time.time() - STALE_S
        orphans = [key for key in orphaned(listing) if listing[key][1] < stale]
        self.remove(orphans)
        return len(orphans) + clean_scratch(self._cache)

    def _listed(self, prefix: str, days: tuple[str, str] | None) -> tuple[dict[str, tuple[int, float]], int]:
        base = self._prefix + prefix
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": base}
        if days is not None and prefix.count("/") == 2:
            request["StartAfter"] = base + days[0]
        found: dict[str, tuple[int, float]] = {}
        pages = 0
        with self._translated("s3:ListBucket"):
            for page in self._client.get_paginator("list_objects_v2").paginate(**request):
                pages += 1
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._prefix)
                    found[key] = (entry["Size"], entry["LastModified"].timestamp())
                if days is not None and "StartAfter" in request and _past(found, days[1]):
                    break
        return {key: each for key, each in found.items() if _within_key(key, days)}, pages

    def _cached(self, key: str) -> Path:
        return self._cache / "objects" / key

    def _fetched(self, key: str, size: int) -> Path:
        path = self._cached(key)
        with suppress(FileNotFoundError):
            if path.stat().st_size == size:
                # Its age decides what is evicted.
                os.utime(path)
                return path
        answer = self._get(key)
        if answer is None:
            path.unlink(missing_ok=True)
            raise Vanished(key)
        handle, name = tempfile.mkstemp(dir=self.scratch())
        with os.fdopen(handle, "wb") as file:
            file.write(answer[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(name, path)
        return path

    def _evict(self, *, keep: set[Path]) -> None:
        held = []
        for path in (self._cache / "objects").rglob("*.parquet"):
            with suppress(FileNotFoundError):
                status = path.stat()
                held.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in held) - self._cache_bytes
        for _, size, path in sorted(held):
            if excess <= 0:
                return
            if path not in keep:
                path.unlink(missing_ok=True)
                excess -= size

    def _get(self, key: str) -> tuple[bytes, str] | None:
        with self._translated("s3:GetObject"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    return None
                raise
            with answer["Body"] as body:
                return body.read(), answer["ETag"]

    def _if(self, operation: str, call: Callable[..., Any], key: str, **fields: Any) -> bool:
        with self._translated(operation):
            try:
                call(Bucket=self._bucket, Key=self._prefix + key, **fields)
            except ClientError as error:
                if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"):
                    return False
                raise
        return True

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        with translated_errors(f"{operation} on {self._bucket}"):
            try:
                yield
            except ClientError as error:
                if _code(error) == "NoSuchBucket":
                    raise NotFound(f"no bucket {self._bucket!r}: create it, or correct the telemetry store") from error
                raise


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _within_key(key: str, days: tuple[str, str] | None) -> bool:
    parts = key.split("/")
    return len(parts) == 4 and in_days(parts[2], days)


def _past(found: dict[str, Any], last_day: str) -> bool:
    newest = next(reversed(found), "")
    return newest.count("/") == 3 and newest.split("/")[2] > last_day

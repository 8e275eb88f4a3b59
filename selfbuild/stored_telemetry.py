"""Opens the telemetry store that the settings name: a folder, or a bucket in S3. For composition roots only."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfbuild.adapters.telemetry_store import FolderObjects, ParquetTelemetryStore, SegmentObjects
from selfbuild.domain.errors import Misconfigured
from selfbuild.settings import Settings

FOLDER = "telemetry"
CACHE_FOLDER = "telemetry-cache"


def open_telemetry_store(settings: Settings) -> ParquetTelemetryStore:
    """The store, to be closed after use; it is a context manager too.

    Raises:
        Misconfigured: TELEMETRY_STORE_URL names neither a folder nor a bucket.
    """
    return ParquetTelemetryStore(_objects(settings))


def _objects(settings: Settings) -> SegmentObjects:
    url = settings.telemetry_store_url
    if url is None:
        return FolderObjects(settings.state_dir / FOLDER)
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        from selfbuild.adapters.aws import make_client
        from selfbuild.adapters.telemetry_store import S3Objects

        prefix = parts.path.strip("/")
        return S3Objects(
            make_client("s3", region=settings.aws_region, endpoint_url=settings.aws_endpoint_url),
            parts.netloc,
            prefix=f"{prefix}/" if prefix else "",
            cache=settings.state_dir / CACHE_FOLDER,
        )
    if parts.scheme == "file":
        return FolderObjects(Path(unquote(parts.path)))
    if parts.scheme:
        raise Misconfigured(f"TELEMETRY_STORE_URL: {parts.scheme}:// is unknown: name a folder or s3://BUCKET/PREFIX")
    return FolderObjects(Path(url).expanduser().absolute())

"""The telemetry store and sources that the settings ask for; the worker, the API and the command line share it."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from selfbuild.adapters.aws import make_client
from selfbuild.adapters.cloudwatch import CloudWatchSource
from selfbuild.adapters.otlp_files import OtlpFilesSource
from selfbuild.adapters.stored_source import StoredSource
from selfbuild.adapters.telemetry_store import FolderObjects, ParquetTelemetryStore, S3Objects, SegmentObjects
from selfbuild.domain.errors import Misconfigured
from selfbuild.ports import TelemetrySource, TelemetryStore
from selfbuild.settings import Settings


def open_store(settings: Settings) -> ParquetTelemetryStore:
    """The rolling store of telemetry. Close it after use.

    Raises:
        Misconfigured: TELEMETRY_STORE_URL is neither a folder nor an S3 address.
    """
    return ParquetTelemetryStore(_objects(settings), skip_corrupt=True)


def live_source(settings: Settings) -> TelemetrySource:
    """Where telemetry comes from: CloudWatch, or the stand-in that the settings name."""
    if settings.telemetry_files is not None:
        return OtlpFilesSource(settings.telemetry_files)
    cloudwatch, logs = (
        make_client(name, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
        for name in ("cloudwatch", "logs")
    )
    return CloudWatchSource(
        cloudwatch,
        logs,
        clock=lambda: datetime.now(UTC),
        insights_byte_budget=settings.insights_byte_budget or None,
    )


def cycle_source(settings: Settings, live: TelemetrySource, store: TelemetryStore) -> TelemetrySource:
    """What cycles read: history from the store as far as it goes, the rest from the source."""
    if not settings.enable_cloudwatch_streaming:
        return live
    return StoredSource(live, store)


def _objects(settings: Settings) -> SegmentObjects:
    url = settings.telemetry_store_url
    if url is None:
        return FolderObjects(settings.state_dir / "telemetry")
    parsed = urlsplit(url)
    if parsed.scheme in ("", "file"):
        return FolderObjects(Path(parsed.path).expanduser().absolute())
    if parsed.scheme != "s3" or not parsed.netloc:
        raise Misconfigured(f"TELEMETRY_STORE_URL={url!r}: must be a folder or s3://BUCKET/PREFIX")
    client = make_client("s3", region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
    prefix = parsed.path.strip("/")
    return S3Objects(
        client,
        parsed.netloc,
        cache=settings.state_dir / "telemetry-cache",
        prefix=f"{prefix}/" if prefix else "",
    )

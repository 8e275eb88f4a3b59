"""The rolling store of telemetry on immutable Parquet segments."""

from selfbuild.adapters.telemetry_store.hot import HotEvents
from selfbuild.adapters.telemetry_store.objects import FolderObjects, SegmentObjects
from selfbuild.adapters.telemetry_store.parquet import EVENT_COLUMNS, SeriesKey
from selfbuild.adapters.telemetry_store.s3 import S3Objects
from selfbuild.adapters.telemetry_store.store import ParquetTelemetryStore

__all__ = [
    "EVENT_COLUMNS",
    "FolderObjects",
    "HotEvents",
    "ParquetTelemetryStore",
    "S3Objects",
    "SegmentObjects",
    "SeriesKey",
]

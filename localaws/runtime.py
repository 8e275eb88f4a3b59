"""What one embedded AWS keeps beside moto's own state: metric stores, alarms, queries and retention."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from localaws.alarms.watcher import AlarmWatcher
from localaws.logs.api import LogWriter
from localaws.logs.insights.api import QueryBook
from localaws.metrics.store import MetricStore, Retention


class Runtime:
    """The state that the replaced operations share."""

    def __init__(self, clock: Callable[[], float] = time.time, retention: Retention | None = None) -> None:
        self.clock = clock
        self.retention = retention or Retention()
        self.watcher = AlarmWatcher(self.metrics, clock)
        self.log_writer = LogWriter(clock, self.retention)
        self.queries = QueryBook()
        self._stores: dict[tuple[str, str], MetricStore] = {}
        self._lock = threading.Lock()

    def metrics(self, account_id: str, region: str) -> MetricStore:
        """The metric store of an account and region.

        The bound on points is of the process: every further store takes an equal share, for points that
        come after it.
        """
        with self._lock:
            store = self._stores.get((account_id, region))
            if store is None:
                store = self._stores[account_id, region] = MetricStore(self.clock, self.retention)
                share = max(1, self.retention.max_points // len(self._stores))
                for each in self._stores.values():
                    each.retention = replace(self.retention, max_points=share)
            return store

    def point_count(self) -> int:
        """Metric samples held over all accounts and regions."""
        with self._lock:
            return sum(store.point_count for store in self._stores.values())

    def clear(self) -> None:
        """Forgets everything but the retention."""
        with self._lock:
            self._stores.clear()
        self.queries.clear()

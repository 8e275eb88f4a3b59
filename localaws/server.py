"""The embedded AWS as a server: moto behind the gateway, with its alarms evaluated in the background."""

import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer

from localaws.faults import Faults
from localaws.gateway import Gateway
from localaws.install import Uninstall, install
from localaws.metrics.store import Retention
from localaws.runtime import Runtime

_active = threading.Lock()


class _QuietHandler(MotoRequestHandler):
    """Writes no access log: stdout belongs to the ready line."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class LocalAws:
    """An embedded AWS that serves between `start` and `stop`, or inside a `with` block.

    moto keeps its state in the process, so one instance can be active in a process at a time.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        source: Decides faults with a probability.
        clock: Seconds since the epoch; what samples, events and alarms are dated with.
        retention: Bounds of the memory for samples and log events.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        source: random.Random | None = None,
        clock: Callable[[], float] = time.time,
        retention: Retention | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._retention = retention
        self.faults = Faults(source or random.Random(), time.monotonic)
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._runtime: Runtime | None = None
        self._uninstall: Uninstall | None = None

    @property
    def endpoint_url(self) -> str:
        """The URL to give to boto3."""
        return f"http://{self._host}:{self.port}"

    @property
    def port(self) -> int:
        """The port in use once started."""
        return self._server.port if self._server else self._port

    def start(self) -> None:
        """Starts to serve in a thread.

        Raises:
            OSError: The port is in use.
            RuntimeError: Another instance is active in this process.
        """
        if not _active.acquire(blocking=False):
            raise RuntimeError("another LocalAws is active in this process: stop it first")
        try:
            application = DomainDispatcherApplication(create_backend_app)
            gateway = Gateway(application, self.faults, self.health)
            self._server = _listening(self._host, self._port, gateway)
        except BaseException:
            _active.release()
            raise
        self._runtime = Runtime(self._clock, self._retention)
        self._uninstall = install(self._runtime)
        self._clear()
        self._runtime.watcher.start()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="localaws-http",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stops serving, forgets all state and puts moto back as it was; harmless when stopped."""
        if self._server is None or self._thread is None or self._runtime is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._runtime.watcher.stop()
        self._clear()
        if self._uninstall is not None:
            self._uninstall()
        self._server = self._thread = self._runtime = self._uninstall = None
        _active.release()

    def reset(self) -> None:
        """Forgets every resource, sample, log event, fault, quota and recorded call."""
        self._clear()
        self.faults.reset()

    def health(self) -> Mapping[str, Any]:
        """Whether every part runs; `ok` is false once the alarm thread has died."""
        runtime = self._runtime
        alive = runtime is not None and runtime.watcher.is_alive()
        points = runtime.point_count() if runtime else 0
        return {"ok": alive, "alarms_alive": alive, "metric_points": points}

    def _clear(self) -> None:
        BackendDict.reset()
        reset_model_data()
        if self._runtime is not None:
            self._runtime.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _listening(host: str, port: int, gateway: Gateway) -> BaseWSGIServer:
    """Binds first: on a busy port werkzeug itself prints advice and ends the process."""
    with socket.create_server((host, port)) as listener:
        return ThreadedWSGIServer(host, listener.getsockname()[1], gateway, _QuietHandler, fd=listener.fileno())

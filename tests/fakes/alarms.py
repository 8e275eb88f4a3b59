"""An alarm source in memory, and the events and alarms that tests put into it."""

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

from selfbuild.domain.alarms import STATE_CHANGE, Alarm, AlarmMetric
from selfbuild.ports import AlarmMessage

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMESPACE = "MeetMind/MCPUIHub"


def an_alarm(name: str = "shop-errors", **changes: Any) -> Alarm:
    """An alarm on a metric of tenant acme."""
    fields: dict[str, Any] = {
        "event_id": f"event-of-{name}",
        "name": name,
        "changed_at": NOON,
        "reason": "Threshold Crossed: 1 datapoint",
        "metrics": (AlarmMetric(namespace=NAMESPACE, name="Errors", dimensions={"tenant_id": "acme"}),),
    }
    return Alarm(**{**fields, **changes})


def a_state_change(name: str = "shop-errors", *, event_id: str = "e-1", **changes: Any) -> dict[str, Any]:
    """An event as EventBridge sends it; `changes` replace members of its detail."""
    metric = {"namespace": NAMESPACE, "name": "Errors", "dimensions": {"tenant_id": "acme", "component": "cart"}}
    detail = {
        "alarmName": name,
        "configuration": {
            "metrics": [{"id": "m1", "metricStat": {"metric": metric, "period": 60, "stat": "Sum"}, "returnData": True}]
        },
        "previousState": {"value": "OK", "timestamp": "2026-11-23T11:00:00.000+0000"},
        "state": {
            "value": "ALARM",
            "reason": "Threshold Crossed: 1 datapoint",
            "timestamp": "2026-11-23T12:00:00.000+0000",
        },
    }
    return {
        "version": "0",
        "id": event_id,
        "detail-type": STATE_CHANGE,
        "source": "aws.cloudwatch",
        "account": "123456789012",
        "time": "2026-11-23T12:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"],
        "detail": {**detail, **changes},
    }


class FakeAlarmSource:
    """Implements `ports.AlarmSource`; `failure` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.in_alarm: list[Alarm] = []
        self.polls = 0
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._taken: dict[str, str] = {}
        self._deliveries: dict[str, int] = {}
        self._receipts = 0

    @property
    def left(self) -> list[str]:
        """Bodies that nobody has acknowledged."""
        with self._changed:
            return [*self._waiting, *self._taken.values()]

    def send(self, body: str | dict[str, Any]) -> None:
        """Put a message into the queue."""
        with self._changed:
            self._waiting.append(body if isinstance(body, str) else json.dumps(body))
            self._changed.notify_all()

    def expire(self) -> None:
        """End the visibility time-out of all that was taken and not acknowledged."""
        with self._changed:
            self._waiting.extend(self._taken.values())
            self._taken.clear()
            self._changed.notify_all()

    def receive(self, wait_s: int) -> tuple[AlarmMessage, ...]:
        """As the port says."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            self.polls += 1
            while not self._waiting and self.failure is None and time.monotonic() < deadline:
                self._changed.wait(0.05)
            self._fail()
            bodies, self._waiting = self._waiting[:10], self._waiting[10:]
            return tuple(self._delivered(body) for body in bodies)

    def acknowledge(self, message: AlarmMessage) -> None:
        """As the port says."""
        with self._changed:
            self._fail()
            self._taken.pop(message.receipt, None)

    def alarms_in_alarm(self, prefix: str) -> tuple[Alarm, ...]:
        """As the port says."""
        with self._changed:
            self._fail()
            found = [alarm for alarm in self.in_alarm if alarm.name.startswith(prefix)]
        return tuple(sorted(found, key=lambda alarm: alarm.name))

    def _delivered(self, body: str) -> AlarmMessage:
        self._receipts += 1
        receipt = f"r{self._receipts}"
        self._taken[receipt] = body
        self._deliveries[body] = self._deliveries.get(body, 0) + 1
        return AlarmMessage(body=body, receipt=receipt, receive_count=self._deliveries[body])

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

"""Alarms as EventBridge puts them into an SQS queue, and as CloudWatch knows them when it is asked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from selfbuild.adapters.aws import make_client, required, translated_errors
from selfbuild.domain.alarms import REASON_LENGTH, Alarm, AlarmMetric
from selfbuild.domain.errors import MalformedAnswer, NotFound
from selfbuild.ports import AlarmMessage

LONG_POLL_S = 20
"""The longest SQS allows."""
BATCH = 10
"""The most SQS gives at once."""
MAX_PAGES = 100
"""Of a hundred alarms each; an account may have 5,000 a region by default."""
NO_QUEUE_CODES = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


def make_queue_client(*, region: str, endpoint_url: str | None = None) -> Any:
    """An SQS client that waits for the end of a long poll."""
    return make_client("sqs", region=region, endpoint_url=endpoint_url, read_timeout_s=LONG_POLL_S + 10)


class AlarmQueue:
    """Implements `ports.AlarmSource`.

    Args:
        sqs: Made by `make_queue_client`.
        cloudwatch: A CloudWatch client.
        queue_name: Looked up at the first call where `queue_url` is None.
        queue_url: The queue.
    """

    def __init__(self, sqs: Any, cloudwatch: Any, *, queue_name: str, queue_url: str | None = None) -> None:
        self._sqs = sqs
        self._cloudwatch = cloudwatch
        self._queue_name = queue_name
        self._queue_url = queue_url

    def receive(self, wait_s: int) -> tuple[AlarmMessage, ...]:
        """As the port says."""
        with self._errors("sqs:ReceiveMessage"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url(),
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return tuple(_message(each) for each in answer.get("Messages", ()))

    def acknowledge(self, message: AlarmMessage) -> None:
        """As the port says."""
        with self._errors("sqs:DeleteMessage"):
            self._sqs.delete_message(QueueUrl=self._url(), ReceiptHandle=message.receipt)

    def alarms_in_alarm(self, prefix: str) -> tuple[Alarm, ...]:
        """As the port says. Composite alarms are not asked for: they name no metric, and tell by event."""
        operation = "cloudwatch:DescribeAlarms"
        request: dict[str, Any] = {"StateValue": "ALARM"} | ({"AlarmNamePrefix": prefix} if prefix else {})
        found: list[Alarm] = []
        for _ in range(MAX_PAGES):
            with translated_errors(operation):
                answer = self._cloudwatch.describe_alarms(**request)
            found.extend(_alarm(each) for each in required(answer, "MetricAlarms", operation=operation))
            if not answer.get("NextToken"):
                return tuple(sorted(found, key=lambda alarm: alarm.name))
            request["NextToken"] = answer["NextToken"]
        raise MalformedAnswer(f"{operation}: more than {MAX_PAGES} pages: narrow CLOUDWATCH_ALARM_PREFIX")

    def _url(self) -> str:
        if self._queue_url is None:
            answer = self._sqs.get_queue_url(QueueName=self._queue_name)
            self._queue_url = str(required(answer, "QueueUrl", operation="sqs:GetQueueUrl"))
        return self._queue_url

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        with translated_errors(operation):
            try:
                yield
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in NO_QUEUE_CODES:
                    raise
                raise NotFound(
                    f"no queue {self._queue_name!r}: only the reconciler learns of alarms, every five minutes; "
                    "set the queue up, or name it in ALARM_QUEUE_NAME or ALARM_QUEUE_URL"
                ) from error


def _message(raw: Mapping[str, Any]) -> AlarmMessage:
    count = raw.get("Attributes", {}).get("ApproximateReceiveCount", "1")
    return AlarmMessage(body=raw.get("Body", ""), receipt=raw["ReceiptHandle"], receive_count=int(count))


def _alarm(raw: Mapping[str, Any]) -> Alarm:
    # StateUpdatedTimestamp also moves when only the reason changes.
    changed_at = raw.get("StateTransitionedTimestamp") or raw["StateUpdatedTimestamp"]
    return Alarm(
        event_id=f"{raw['AlarmName']}@{changed_at.isoformat()}",
        name=raw["AlarmName"],
        changed_at=changed_at,
        reason=raw.get("StateReason", "")[:REASON_LENGTH],
        metrics=tuple(_metrics(raw)),
    )


def _metrics(raw: Mapping[str, Any]) -> Iterator[AlarmMetric]:
    if raw.get("MetricName"):
        yield _metric(raw)
    for query in raw.get("Metrics") or ():
        if "MetricStat" in query:
            yield _metric(query["MetricStat"]["Metric"])


def _metric(raw: Mapping[str, Any]) -> AlarmMetric:
    return AlarmMetric(
        namespace=raw.get("Namespace", ""),
        name=raw["MetricName"],
        dimensions={each["Name"]: each["Value"] for each in raw.get("Dimensions") or ()},
    )

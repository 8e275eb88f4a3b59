"""Creates what brings alarms to the agent: EventBridge rules, an SQS queue and its dead-letter queue.

It reads before it writes and changes only what differs, so it may be run as often as one likes.
"""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from selfbuild.adapters.alarm_queue import LONG_POLL_S, NO_QUEUE_CODES
from selfbuild.adapters.aws import required, translated_errors
from selfbuild.domain.alarms import IN_ALARM, LAMBDA_FAILURE, STATE_CHANGE
from selfbuild.domain.base import Value
from selfbuild.domain.errors import Unreachable

MAX_RECEIVE_COUNT = 5
"""Deliveries before a message goes to the dead-letter queue."""
VISIBILITY_S = 30
"""Taking ten messages takes less than a second; what a killed worker held comes again after this."""
RETENTION_S = 4 * 24 * 3600
DEAD_LETTER_RETENTION_S = 14 * 24 * 3600
"""The longest SQS allows: a person has to look."""
TARGET_ID = "self-building-agent"
POLICY_SID = "AlarmsFromEventBridge"


class AlarmWiring(Value):
    """What there is after the set-up."""

    queue_url: str
    queue_arn: str
    dead_letter_arn: str
    rule_arns: tuple[str, ...]
    changed: tuple[str, ...]
    """What was created or changed; empty when all was as it should be."""


def ensure_alarm_queue(sqs: Any, events: Any, *, queue_name: str, prefix: str = "") -> AlarmWiring:
    """Create or correct the queues, the rules, the policy that lets the rules send, and the targets.

    Args:
        sqs: A client for the account and region of the alarms; so is `events`.
        queue_name: `{queue_name}-dead` and `{queue_name}-...` name the rest.
        prefix: Alarms of other names are not sent.

    Raises:
        AccessDenied, InvalidRequest, Throttled, Unreachable: as their docstrings say; running it again goes on.
    """
    setup = _Setup(sqs, events)
    dead_url = setup.queue(f"{queue_name}-dead", {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S)})
    dead_arn = setup.attributes(dead_url)["QueueArn"]
    redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": MAX_RECEIVE_COUNT}
    url = setup.queue(
        queue_name,
        {
            "VisibilityTimeout": str(VISIBILITY_S),
            "MessageRetentionPeriod": str(RETENTION_S),
            "ReceiveMessageWaitTimeSeconds": str(LONG_POLL_S),
            "RedrivePolicy": json.dumps(redrive),
        },
    )
    arn = setup.attributes(url)["QueueArn"]
    rules = {f"{queue_name}-state-changes": _state_changes(prefix), f"{queue_name}-lambda-failures": _LAMBDA_PATTERN}
    rule_arns = tuple(setup.rule(name, pattern) for name, pattern in rules.items())
    setup.allow(url, arn, rule_arns)
    for name in rules:
        setup.target(name, arn)
    return AlarmWiring(
        queue_url=url, queue_arn=arn, dead_letter_arn=dead_arn, rule_arns=rule_arns, changed=tuple(setup.changed)
    )


_LAMBDA_PATTERN: dict[str, Any] = {"source": ["lambda"], "detail-type": [LAMBDA_FAILURE]}


def _state_changes(prefix: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"state": {"value": [IN_ALARM]}}
    if prefix:
        detail["alarmName"] = [{"prefix": prefix}]
    return {"source": ["aws.cloudwatch"], "detail-type": [STATE_CHANGE], "detail": detail}


class _Setup:
    """One run; `changed` collects what it had to write."""

    def __init__(self, sqs: Any, events: Any) -> None:
        self._sqs = sqs
        self._events = events
        self.changed: list[str] = []

    def queue(self, name: str, wanted: Mapping[str, str]) -> str:
        """Url of the queue with these attributes."""
        url = self._find_queue(name)
        if url is None:
            with translated_errors("sqs:CreateQueue"):
                answer = self._sqs.create_queue(QueueName=name, Attributes=dict(wanted))
            self.changed.append(f"queue {name}")
            return str(required(answer, "QueueUrl", operation="sqs:CreateQueue"))
        present = self.attributes(url)
        differing = {key: value for key, value in wanted.items() if not _same(present.get(key), value)}
        if differing:
            self._set(url, differing)
            self.changed.append(f"{', '.join(sorted(differing))} of queue {name}")
        return url

    def _find_queue(self, name: str) -> str | None:
        with translated_errors("sqs:GetQueueUrl"):
            try:
                answer = self._sqs.get_queue_url(QueueName=name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in NO_QUEUE_CODES:
                    return None
                raise
        return str(required(answer, "QueueUrl", operation="sqs:GetQueueUrl"))

    def attributes(self, url: str) -> dict[str, str]:
        """All attributes of a queue."""
        with translated_errors("sqs:GetQueueAttributes"):
            answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return dict(required(answer, "Attributes", operation="sqs:GetQueueAttributes"))

    def _set(self, url: str, attributes: Mapping[str, str]) -> None:
        with translated_errors("sqs:SetQueueAttributes"):
            self._sqs.set_queue_attributes(QueueUrl=url, Attributes=dict(attributes))

    def rule(self, name: str, pattern: Mapping[str, Any]) -> str:
        """Arn of the rule with this pattern; one that an operator has disabled stays so."""
        with translated_errors("events:DescribeRule"):
            try:
                present = self._events.describe_rule(Name=name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                    raise
                present = {}
        if present and _same(present.get("EventPattern"), json.dumps(pattern)):
            return str(required(present, "Arn", operation="events:DescribeRule"))
        with translated_errors("events:PutRule"):
            answer = self._events.put_rule(
                Name=name,
                EventPattern=json.dumps(pattern),
                State=present.get("State", "ENABLED"),
                Description="Alarms for the self-building agent",
            )
        self.changed.append(f"rule {name}")
        return str(required(answer, "RuleArn", operation="events:PutRule"))

    def allow(self, url: str, arn: str, rule_arns: tuple[str, ...]) -> None:
        """Let the rules send; other statements of the queue's policy stay."""
        statement = {
            "Sid": POLICY_SID,
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": list(rule_arns)}},
        }
        policy = json.loads(self.attributes(url).get("Policy") or "{}")
        present = policy.get("Statement", [])
        others = [each for each in present if each.get("Sid") != POLICY_SID]
        if [each for each in present if each.get("Sid") == POLICY_SID] == [statement]:
            return
        wanted = {**policy, "Version": "2012-10-17", "Statement": [*others, statement]}
        self._set(url, {"Policy": json.dumps(wanted)})
        self.changed.append("policy of the queue")

    def target(self, rule: str, arn: str) -> None:
        """Let the rule send to the queue."""
        with translated_errors("events:ListTargetsByRule"):
            answer = self._events.list_targets_by_rule(Rule=rule)
        if any(each.get("Arn") == arn for each in answer.get("Targets", ())):
            return
        with translated_errors("events:PutTargets"):
            put = self._events.put_targets(Rule=rule, Targets=[{"Id": TARGET_ID, "Arn": arn}])
        if put.get("FailedEntryCount"):
            problem = put.get("FailedEntries", [{}])[0].get("ErrorMessage", "no reason given")
            raise Unreachable(f"events:PutTargets: {rule}: {problem}")
        self.changed.append(f"target of rule {rule}")


def _same(present: str | None, wanted: str) -> bool:
    """Equal, as JSON where both are: AWS writes documents its own way."""
    if present is None or present == wanted:
        return present == wanted
    try:
        return bool(json.loads(present) == json.loads(wanted))
    except ValueError:
        return False

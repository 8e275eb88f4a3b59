"""Which calls a fault rule disturbs."""

import random

import pytest

from localaws.faults import Faults, fault_rule
from localaws.wire import access_key_of

SIGNED = "AWS4-HMAC-SHA256 Credential=OLDKEY/20270101/eu-central-1/monitoring/aws4_request, SignedHeaders=host"


@pytest.mark.parametrize(("access_key", "disturbed"), [("OLDKEY", True), ("NEWKEY", False), ("", False)])
def test_a_rule_for_an_access_key_leaves_other_keys_alone(access_key: str, disturbed: bool) -> None:
    faults = Faults(random.Random(1), lambda: 0.0)
    faults.replace_rules([fault_rule({"code": "ExpiredTokenException", "access_key": "OLDKEY"})])

    assert (faults.take("logs", "StartQuery", access_key) is not None) is disturbed


def test_the_access_key_is_read_from_the_signature() -> None:
    assert access_key_of({"HTTP_AUTHORIZATION": SIGNED}) == "OLDKEY"
    assert access_key_of({}) == ""

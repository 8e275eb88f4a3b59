"""No tenant id, however hostile, widens a filter pattern or an Insights query."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfbuild.domain.errors import (
    InvalidRequest,
)
from tests.contract.telemetry_worlds import (
    PERIOD_S,
    World,
    a_request,
    an_application,
    collected,
    missing_owner,
    moment,
)

HOSTILE = (
    'acme" || $.x = "',
    'acme"}',
    "ac*",
    "*",
    "%acme%",
    "acme\\",
    'acme" or 1=1 #',
    "acme\n| limit 1",
    "äcme",
    "acme ",
)


@pytest.mark.filterwarnings("ignore:.*function-scoped fixture.*")
def test_no_tenant_id_reaches_the_telemetry_of_another(cloudwatch: World) -> None:
    tenants = ("acme", "globex", *HOSTILE)
    for number, tenant in enumerate(tenants):
        cloudwatch.publish([a_request(1, tenant_id=tenant, component=f"of {number}", error=missing_owner())])
    pieces = st.sampled_from(
        ["acme", "globex", '"', "}", "\\", "*", "%", "\n", " or ", "||", "$.", "ä", "|", "`", "'", ")"]
    )

    @given(st.one_of(st.sampled_from(tenants), st.lists(pieces, max_size=5).map("".join), st.text(max_size=6)))
    @settings(max_examples=40, deadline=None, database=None)
    def holds(tenant: str) -> None:
        application = an_application().model_copy(update={"tenant_id": tenant})
        times: dict[str, Any] = {"start": moment(0), "end": moment(60), "period_s": PERIOD_S}
        try:
            window = cloudwatch.source.collect(application, baseline_start=moment(0), **times)
            batch = cloudwatch.source.batch(application, sampling_rate=1.0, **times)
        except InvalidRequest:
            return
        own = {f"of {tenants.index(tenant)}"} if tenant in tenants else set()
        assert {s.component for s in window.series} == own
        assert {g.component for g in window.error_groups} == own
        assert {e.component for e in batch.events} == own

    holds()
    assert {g.component for g in collected(cloudwatch).error_groups} == {"of 0"}

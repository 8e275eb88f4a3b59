"""`./run up`: the stack until Ctrl-C, with what it knew the last time."""

import os
import sys
import time

from selfbuild.domain.errors import Unreachable
from selfbuild.embedded.children import require_free
from selfbuild.embedded.stack import Plan, Ports, Stack, new_api_key
from selfbuild.settings import Settings

EXAMPLE_LOAD = ("--rate", "5", "--growth-after", "120")
EXAMPLE_TIMING = {
    "SELFBUILD_CLOUDWATCH_METRICS_PERIOD": "5",
    "SELFBUILD_ANALYSIS_WINDOW_SECONDS": "120",
    "SELFBUILD_BASELINE_WINDOW_SECONDS": "120",
    "SELFBUILD_JUDGE_PERIOD_SECONDS": "5",
    "SELFBUILD_MONITORING_CHECK_INTERVAL_SECONDS": "5",
    "SELFBUILD_MONITORING_DURATION_SECONDS": "120",
    "SELFBUILD_ENABLE_AUTONOMOUS_IMPROVEMENTS": "true",
}
"""The example has no hour of history to show: its windows are minutes. What the environment sets wins."""


def run_up(*, aws: int, application: int, control: int) -> int:
    """Serve until interrupted. An application file in the settings replaces the example and the local AWS."""
    settings = Settings.load()
    example = settings.applications_file is None
    temporal = int(settings.temporal_address.rpartition(":")[2])
    ports = Ports(
        temporal=require_free(temporal, "Temporal", "SELFBUILD_TEMPORAL_ADDRESS"),
        temporal_ui=require_free(temporal + 1000, "the Temporal UI", "SELFBUILD_TEMPORAL_ADDRESS"),
        aws=require_free(aws, "the local AWS", "--aws-port") if example else aws,
        application=require_free(application, "the application", "--application-port") if example else application,
        control=require_free(control, "the supervisor", "--control-port") if example else control,
        api=require_free(settings.mcp_port, "the API", "SELFBUILD_MCP_PORT"),
    )
    first = not (settings.state_dir / "store.db").exists()
    key = settings.mcp_api_key.get_secret_value() if settings.mcp_api_key else None
    made = new_api_key() if key is None and first else None
    plan = Plan(
        state=settings.state_dir,
        ports=ports,
        settings={name: value for name, value in EXAMPLE_TIMING.items() if example and name not in os.environ},
        example=example,
        load=EXAMPLE_LOAD,
    )
    with Stack(plan, key or made) as stack:
        _announce(stack, made)
        _watch(stack)
    return 0


def _announce(stack: Stack, made: str | None) -> None:
    write = sys.stdout.write
    write(f"API          {stack.api_url}/mcp  (health: {stack.api_url}/health)\n")
    write(f"Temporal UI  {stack.ui_url}/namespaces/selfbuild/workflows\n")
    if stack.plan.example:
        write(f"application  {stack.application_url}  (the example, under light traffic)\n")
    write(f"logs         {stack.children.logs}\n")
    if made is not None:
        write(f"API key      {made}\n             shown once: export SELF_BUILDING_MCP_API_KEY=...\n")
    write("Ctrl-C stops everything; a running cycle goes on at the next ./run up\n")
    sys.stdout.flush()


def _watch(stack: Stack) -> None:
    """Wait; a process that ends by itself ends the stack with its name and log."""
    try:
        while True:
            for child in stack.children.started:
                if not child.running:
                    raise Unreachable(f"{child.name} ended with status {child.process.returncode}:\n{child.tail()}")
            time.sleep(0.5)
    except KeyboardInterrupt:
        sys.stdout.write("\nstopping\n")

"""The input of cycles that nobody asks for by hand: set off by an alarm or due by schedule."""

from collections.abc import Sequence

from selfbuild.domain.alarms import AlarmNote
from selfbuild.domain.cycles import CycleRequest, Trigger
from selfbuild.settings import Settings

EMERGENCY_WINDOW_S = 3600
"""What an emergency cycle analyses at most: the day before would hide what began minutes ago."""
EMERGENCY_IMPROVEMENTS = 1


class CyclePlans:
    """What the settings and the application file say of a cycle at the moment it starts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._applications = {each.key: each for each in settings.applications()}

    def plan(
        self, tenant_id: str, application: str, *, trigger: Trigger, alarms: Sequence[AlarmNote] = ()
    ) -> CycleRequest | str:
        """The request, or why no cycle may start."""
        if not self._settings.enable_self_building:
            return "cycles are off: set ENABLE_SELF_BUILDING=true"
        found = self._applications.get(f"{tenant_id}/{application}")
        if found is None:
            return f"no application {tenant_id}/{application}: it is not in APPLICATIONS_FILE"
        policy = self._settings.policy(tenant_id=tenant_id)
        if trigger == "alarm":
            window_s = min(EMERGENCY_WINDOW_S, policy.analysis_window_s)
            policy = policy.model_copy(
                update={"analysis_window_s": window_s, "max_improvements": EMERGENCY_IMPROVEMENTS}
            )
        return CycleRequest(
            application=found,
            policy=policy,
            providers=self._settings.providers(),
            trigger=trigger,
            requested_by=_asked_by(trigger, alarms),
            deploy_allowed=self._settings.enable_autonomous_improvements,
            alarms=tuple(alarms),
        )


def _asked_by(trigger: Trigger, alarms: Sequence[AlarmNote]) -> str:
    if not alarms:
        return trigger
    others = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    return f"{trigger} {alarms[0].name}{others}"

"""Says which components are not generated at all: the risk is decided from the request, before anything is written."""

import re
from collections.abc import Collection, Iterator

from selfbuild.domain.components import ComponentRequest, Decline, package_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CREDENTIALS = _words(
    "credential credentials password passwords passwd secret secrets apikey apikeys privatekey keychain keyring"
)
_SHELL = _words("shell bash subprocess subprocesses exec eval sudo root ssh powershell")
_PRODUCTION = _words("prod production live")
_WRITES = _words("write writes delete drop deploy modify update truncate migrate overwrite alter")
_PAIRS = (
    (frozenset({"api", "access", "private"}), frozenset({"key", "keys"}), "credentials"),
    (frozenset({"access", "bearer", "auth", "session"}), frozenset({"token", "tokens"}), "credentials"),
    (frozenset({"arbitrary", "remote"}), frozenset({"code", "command", "commands"}), "a shell"),
    (_PRODUCTION, _WRITES, "writing to production"),
)
_INSTEAD = {
    "credentials": "ask for a component that is handed an authenticated client, and keep credentials outside of it",
    "a shell": "ask for the one operation that is needed, with its arguments, in place of a shell",
    "writing to production": "ask for a component that proposes the change, and let a person or a pipeline apply it",
}


def risk_of(request: ComponentRequest, *, allowed_dependencies: Collection[str]) -> Decline | None:
    """Why the component is too risky to be generated, or None.

    Args:
        request: Its capabilities and integration points are looked at by word; the description is free text.
        allowed_dependencies: Packages that components may import.
    """
    allowed = {package_of(each) for each in allowed_dependencies}
    foreign = [each for each in request.requirements.dependencies if package_of(each) not in allowed]
    if foreign:
        return Decline(
            reason_class="risk",
            reason=f"the dependency {foreign[0]!r} is not on the allow-list ({', '.join(sorted(allowed)) or 'empty'})",
            alternatives=(
                "ask without it: the standard library needs no permission",
                f"have an operator add {package_of(foreign[0])!r} to COMPONENT_ALLOWED_DEPENDENCIES",
            ),
        )
    for text in (*request.requirements.capabilities, *request.requirements.integration_points):
        for wish in _forbidden(text):
            return Decline(
                reason_class="risk",
                reason=f"{text!r} asks for {wish}: such components are not generated",
                alternatives=(_INSTEAD[wish], "have a person write this part"),
            )
    return None


def _forbidden(text: str) -> Iterator[str]:
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()))
    if words & _CREDENTIALS:
        yield "credentials"
    if words & _SHELL:
        yield "a shell"
    for one, other, wish in _PAIRS:
        if words & one and words & other:
            yield wish

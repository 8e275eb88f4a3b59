"""Who calls, and what the caller may do."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from selfbuild.domain.base import AwareDatetime, Value
from selfbuild.domain.errors import AccessDenied, TenantDenied


class Scope(StrEnum):
    """One kind of action a key may be good for; ADMIN includes all others."""

    STATUS_READ = "status:read"
    INSIGHTS_READ = "insights:read"
    CYCLES_READ = "cycles:read"
    CYCLES_WRITE = "cycles:write"
    COMPONENTS_WRITE = "components:write"
    IMPROVEMENTS_APPROVE = "improvements:approve"
    IMPROVEMENTS_ROLLBACK = "improvements:rollback"
    ADMIN = "admin"


class Requester(Value):
    """The holder of a valid key."""

    principal: str
    key_id: str
    tenants: tuple[str, ...] | None
    """None = all tenants."""
    scopes: tuple[Scope, ...]

    def may_use(self, tenant_id: str) -> bool:
        """Whether the key is good for the tenant."""
        return self.tenants is None or tenant_id in self.tenants

    def require_tenant(self, tenant_id: str) -> None:
        """Raises TenantDenied, whose text does not tell whether the tenant exists."""
        if not self.may_use(tenant_id):
            raise TenantDenied("Tenant access denied")

    def require_scope(self, scope: Scope) -> None:
        """Raises AccessDenied where the key lacks the scope."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise AccessDenied(f"the key of {self.principal!r} lacks the scope {scope.value!r}")


class KeyRecord(Value):
    """A key as the store knows it: never the key itself."""

    id: str
    principal: str
    tenants: tuple[str, ...] | None
    scopes: tuple[Scope, ...]
    origin: str
    """`settings` (MCP_API_KEY), `generated` (at the first start without a key) or `issued`."""
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def requester(self) -> Requester:
        """Who holds the key."""
        return Requester(principal=self.principal, key_id=self.id, tenants=self.tenants, scopes=self.scopes)


class RateDecision(Value):
    """Whether one more call fits into the hour."""

    allowed: bool
    limit: int
    remaining: Annotated[int, Field(ge=0)]
    reset_at: int
    """Seconds since the epoch at which the window ends."""

"""What a worker finds out about its machine when it starts, kept for those who ask for the agent's status."""

from selfbuild.domain.base import AwareDatetime, Value


class WorkerFacts(Value):
    """The sandbox of the workers of one queue on one host."""

    host: str
    queue: str
    written_at: AwareDatetime
    """When the worker started and probed."""
    sandbox_level: str
    """`bubblewrap`, `landlock`, `unsafe-local`, or `none`, which runs nothing."""
    enforced: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be shown, and the remedy; none = generated code may be run without a person's say."""

"""How a release is named in telemetry."""

LABEL_LENGTH = 12
"""Characters of the commit id: what the release dimension of metrics and the log field `release` carry."""


def label_of(sha: str) -> str:
    """The value of the release dimension for a commit."""
    return sha[:LABEL_LENGTH]

"""The one error that every part of the embedded AWS raises to refuse a request."""


class AwsError(Exception):
    """A refusal that reaches the client as an AWS error of the protocol it spoke.

    Args:
        code: What botocore reports as `Error.Code`.
        message: Names the thing refused and, where there is one, the remedy.
        status: The HTTP status; 501 marks what AWS offers and this package does not.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def unsupported(what: str) -> AwsError:
    """An error for something AWS offers and the embedded AWS does not.

    The code is `NotImplemented` with status 501, which boto3 does not retry.
    """
    return AwsError("NotImplemented", f"localaws does not support {what}", status=501)

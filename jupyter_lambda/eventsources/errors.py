"""What can go wrong with a trigger, in one line that says what to do."""

from __future__ import annotations

from jupyter_lambda.errors import ClientError


class WordError(ClientError):
    """A trigger's word can't be read."""


class TriggerError(ClientError):
    """A trigger can't be made, found or changed."""


class Refused(TriggerError):
    """An AWS service said no, or did not answer."""

    def __init__(self, message: str, aws_code: str = "") -> None:
        """
        Args:
            aws_code: The service's own code; "" where nobody answered.
        """
        super().__init__(message)
        self.aws_code = aws_code

# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of error that is written for a user to read."""


class UserError(Exception):
    """A job that cannot go on, said in one sentence, with one sentence of what to do about it.

    Everything else that is raised is a bug of ours and is shown with the end of the log.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class Cancelled(Exception):
    """Raised inside a job when the user has cancelled it."""

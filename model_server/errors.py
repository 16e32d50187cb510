"""Errors of the server: ones that stop it, and ones that answer a request."""


class ConfigError(Exception):
    """The server cannot start; the message is one line and names key, value, limit and remedy."""


class RequestError(Exception):
    """A request is refused with `status`; `retry_after` is in seconds."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class RunError(Exception):
    """The model could not be run on inputs that passed validation."""


def slow_body(seconds: float) -> RequestError:
    """Return the error of a request that was not whole within `seconds`."""
    return RequestError(408, f"the body did not arrive within {seconds:g} s; send it faster")


def too_late(seconds: float) -> RequestError:
    """Return the error of a request that was not answered within `seconds`."""
    return RequestError(504, f"no answer within {seconds:g} s (MODELSTACK_DEADLINE_SECONDS); send fewer samples")


def too_much(seconds: float) -> RequestError:
    """Return the error of a request before which more waits than is run in `seconds`."""
    return RequestError(
        429,
        f"more waits than is run in {seconds:g} s (a quarter of MODELSTACK_DEADLINE_SECONDS); try again later",
        retry_after=1,
    )


def shown(value: object, limit: int = 80) -> str:
    """Return `value` as an error may show it: one line, at most `limit` characters."""
    text = repr(value[:limit] if isinstance(value, str | list) else value)
    return text if len(text) <= limit else text[: limit - 1] + "…"

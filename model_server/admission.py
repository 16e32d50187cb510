"""How many requests are in the server at once."""

from model_server.errors import RequestError

RETRY_AFTER_SECONDS = 1


class Admission:
    """Admits at most `limit` requests at a time; what is admitted is let go exactly once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inflight = 0

    def inflight(self) -> int:
        """Return the requests admitted and not ended."""
        return self._inflight

    def admit(self) -> None:
        """Take one of the places; raises RequestError (429) where all are taken."""
        if self._inflight >= self._limit:
            raise RequestError(
                429,
                f"{self._limit} requests are already in flight (MODELSTACK_MAX_INFLIGHT); try again later",
                retry_after=RETRY_AFTER_SECONDS,
            )
        self._inflight += 1

    def release(self) -> None:
        """Give a place back."""
        self._inflight -= 1

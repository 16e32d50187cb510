"""How many requests are in the server at once."""

from typing import Protocol

from model_server.errors import RequestError

RETRY_AFTER_SECONDS = 1


class Places(Protocol):
    """A bounded number of places; the native front's own where it answers beside Python."""

    def take(self) -> bool:
        """Take a place; False where all are taken."""

    def give(self) -> None:
        """Give a place back."""

    def taken(self) -> int:
        """Return how many are taken."""


class OwnPlaces:
    """Places of an event loop alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def take(self) -> bool:
        """Take a place; False where all are taken."""
        if self._taken >= self._limit:
            return False
        self._taken += 1
        return True

    def give(self) -> None:
        """Give a place back."""
        self._taken -= 1

    def taken(self) -> int:
        """Return how many are taken."""
        return self._taken


class Admission:
    """Admits at most `limit` requests at a time; what is admitted is let go exactly once."""

    def __init__(self, limit: int, places: Places | None = None) -> None:
        self._limit = limit
        self.places = places or OwnPlaces(limit)

    def inflight(self) -> int:
        """Return the requests admitted and not ended."""
        return self.places.taken()

    def admit(self) -> None:
        """Take one of the places; raises RequestError (429) where all are taken."""
        if not self.places.take():
            raise RequestError(
                429,
                f"{self._limit} requests are already in flight (MODELSTACK_MAX_INFLIGHT); try again later",
                retry_after=RETRY_AFTER_SECONDS,
            )

    def release(self) -> None:
        """Give a place back."""
        self.places.give()

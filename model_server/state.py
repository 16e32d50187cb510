"""Which models are served, and whether the server takes requests."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model_server.contract import ModelContract
from model_server.errors import RequestError, shown

if TYPE_CHECKING:  # onnxruntime is imported while the server already answers probes
    from model_server.runtime import Session


@dataclass(slots=True)
class Served:
    """A model of this server; `session` is there once it may answer, `fault` says why it never will."""

    contract: ModelContract
    session: "Session | None" = None
    fault: str = ""

    @property
    def ready(self) -> bool:
        """True where the model takes requests."""
        return self.session is not None


@dataclass(slots=True)
class State:
    """The state that probes, requests and the drain share."""

    models: dict[str, Served]
    drain_seconds: float
    clock: Callable[[], float] = time.monotonic
    drained_at: float | None = field(default=None, init=False)
    failure: str = field(default="", init=False)

    @property
    def draining(self) -> bool:
        """True from the first signal to stop."""
        return self.drained_at is not None

    @property
    def drained(self) -> bool:
        """True when the time for new requests to stop arriving is over."""
        return self.drained_at is not None and self.clock() >= self.drained_at

    @property
    def ready(self) -> bool:
        """True where every model takes requests and the server is not about to stop."""
        return not self.draining and all(one.ready for one in self.models.values())

    def drain(self) -> None:
        """Stop being ready now; a second call ends the wait."""
        now = self.clock()
        self.drained_at = now if self.draining else now + self.drain_seconds

    def fail(self, message: str) -> None:
        """Stop the server at once, for a reason that restarting it cannot mend."""
        self.failure = message
        self.drained_at = self.clock()

    def find(self, name: str, version: str | None) -> Served:
        """Return the model; raises RequestError (404)."""
        served = self.models.get(name)
        if served is None:
            raise RequestError(404, f"model {shown(name)} is not served here; GET /v2/models lists what is")
        if version is not None and version != served.contract.version:
            raise RequestError(
                404,
                f"model {name!r} has no version {shown(version)}; {served.contract.version!r} is served",
            )
        return served

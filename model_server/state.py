"""Which models are served, and whether the server takes requests."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from model_server.batching import Batcher, Job
from model_server.contract import ModelContract
from model_server.errors import RequestError, shown
from model_server.metrics import Native


@dataclass(eq=False, slots=True)
class Served:
    """A version of a model; `add` takes its jobs once it may answer, `fault` says why it never will.

    `room` raises RequestError (429) where too much waits, before a request is even parsed; with a cache it may need no
    run, and `add` decides. `native` is what the native front answers it by, None where Python does.
    """

    contract: ModelContract
    batcher: Batcher | None = None
    add: Callable[[Job], None] | None = None
    room: Callable[[], None] | None = None
    fault: str = ""
    native: Native | None = None

    @property
    def ready(self) -> bool:
        """True where the model takes requests."""
        return self.add is not None

    def require(self) -> Callable[[Job], None]:
        """Return what takes a job; raises RequestError: 503 where the model is not ready, 429 where too much waits."""
        if self.add is None:
            reason = self.fault or "it is being loaded"
            raise RequestError(503, f"model {self.contract.name!r} is not ready: {reason}", retry_after=1)
        if self.room is not None:
            self.room()
        return self.add


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every version by model, and the one that answers where a request names none; replaced whole."""

    versions: dict[str, dict[str, Served]]
    defaults: dict[str, str]

    def all(self) -> list[Served]:
        """Return every version of every model."""
        return [one for versions in self.versions.values() for one in versions.values()]

    def find(self, name: str, version: str | None) -> Served:
        """Return a version of a model; raises RequestError (404)."""
        versions = self.versions.get(name)
        if versions is None:
            raise RequestError(404, f"model {shown(name)} is not served here; GET /v2/models lists what is")
        served = versions.get(self.defaults[name] if version is None else version)
        if served is None:
            known = ", ".join(repr(one) for one in versions)
            raise RequestError(404, f"model {name!r} has no version {shown(version)}; {known} is served")
        return served

    def infer_paths(self) -> dict[bytes, Served]:
        """Return the versions by the paths that inference requests come to."""
        found: dict[bytes, Served] = {}
        for name, versions in self.versions.items():
            for version, served in versions.items():
                found[f"/v2/models/{name}/versions/{version}/infer".encode()] = served
            found[f"/v2/models/{name}/infer".encode()] = versions[self.defaults[name]]
        return found


@dataclass(slots=True)
class State:
    """The state that probes, requests and the drain share; it belongs to the event loop."""

    catalog: Catalog
    drain_seconds: float
    clock: Callable[[], float] = time.monotonic
    drained_at: float | None = field(default=None, init=False)
    failure: str = field(default="", init=False)
    paths: dict[bytes, Served] = field(init=False)

    def __post_init__(self) -> None:
        """Look up the paths of the first catalog."""
        self.paths = self.catalog.infer_paths()

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
        """True where every version takes requests and the server is not about to stop."""
        return not self.draining and all(one.ready for one in self.catalog.all())

    def replace(self, catalog: Catalog) -> None:
        """Serve `catalog` from now on; jobs that were taken by a version before are still answered by it."""
        self.catalog = catalog
        self.paths = catalog.infer_paths()

    def drain(self) -> None:
        """Stop being ready now; a second call ends the wait."""
        now = self.clock()
        self.drained_at = now if self.draining else now + self.drain_seconds

    def fail(self, message: str) -> None:
        """Stop the server at once, for a reason that restarting it cannot mend."""
        self.failure = message
        self.drained_at = self.clock()

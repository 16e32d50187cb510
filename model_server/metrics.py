"""Prometheus series: bounded labels (known models and known status codes only), a registry of the server's own."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from model_server.contract import ModelContract

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

CODES = frozenset({200, 400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504})
UNKNOWN = "unknown"
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The server's series; `modelstack_` names are listed in docs/architecture.md."""

    def __init__(self, contracts: Iterable[ModelContract], inflight: Callable[[], int]) -> None:
        # A second series for each one, with its clock reading, is of use to no query here.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it unannotated
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        labels = ("model", "version")
        self._requests = Counter(
            "modelstack_requests", "Inference requests answered.", (*labels, "code"), registry=self._registry
        )
        self._seconds = Histogram(
            "modelstack_request_seconds",
            "Time from the request's first byte to its answer, refused requests included.",
            labels,
            buckets=BUCKETS,
            registry=self._registry,
        )
        Gauge(
            "modelstack_inflight", "Inference requests admitted and not ended.", registry=self._registry
        ).set_function(inflight)
        self._ready = Gauge(
            "modelstack_model_ready", "1 where the model takes requests.", labels, registry=self._registry
        )
        info = Gauge(
            "modelstack_model_info", "The models served; always 1.", (*labels, "inputs"), registry=self._registry
        )
        self._known: dict[str, str] = {}
        for contract in contracts:
            self._known[contract.name] = contract.version
            info.labels(contract.name, contract.version, contract.inputs_hash or contract.version).set(1)
            self._ready.labels(contract.name, contract.version).set(0)
            # Series that exist from the start make rate() right for the first request and the first error.
            for code in ("200", "500"):
                self._requests.labels(contract.name, contract.version, code)
            self._seconds.labels(contract.name, contract.version)

    def observe(self, model: str, code: int, seconds: float) -> None:
        """Count one request to `model` that was answered with `code` after `seconds`."""
        version = self._known.get(model)
        name = UNKNOWN if version is None else model
        shown_code = str(code) if code in CODES else UNKNOWN
        self._requests.labels(name, version or UNKNOWN, shown_code).inc()
        self._seconds.labels(name, version or UNKNOWN).observe(seconds)

    def set_ready(self, model: str, *, ready: bool) -> None:
        """Say whether `model` takes requests."""
        self._ready.labels(model, self._known[model]).set(int(ready))

    def page(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)

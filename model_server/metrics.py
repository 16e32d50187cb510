"""Prometheus series: bounded labels (known models and known status codes only), a registry of the server's own.

What is counted for every request is counted in plain numbers on the event loop, and becomes series when they are
asked for: the library's own counters, with a lock each, would take as long as parsing the request.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from model_server.contract import ModelContract

__all__ = ["CONTENT_TYPE_LATEST", "Counted", "Elsewhere", "Metrics"]

CODES = frozenset({200, 400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504})
UNKNOWN = "unknown"
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(slots=True)
class Buckets:
    """A histogram: how many values fell into each bucket, the last one without a bound, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    sum: float = 0.0

    def __post_init__(self) -> None:
        """Begin with nothing in any bucket."""
        self.counts = [0] * (len(self.bounds) + 1)

    def plus(self, counts: list[int], total: float) -> "Buckets":
        """Return these buckets and others of the same bounds as one."""
        both = Buckets(self.bounds)
        both.counts = [mine + other for mine, other in zip(self.counts, counts, strict=True)]
        both.sum = self.sum + total
        return both

    def observe(self, value: float) -> None:
        """Count `value`."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus writes them: bound and how many values are at most that."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


# What the native front counted: requests by code, seconds and samples of runs by bucket with their sums.
Elsewhere = tuple[dict[int, int], tuple[list[int], float], tuple[list[int], float]]


class Native(Protocol):
    """What counts requests that Python does not see."""

    def counts(self) -> Elsewhere:
        """Return what was counted so far."""

    def waiting(self) -> int:
        """Return the requests not yet run."""


@dataclass(slots=True)
class Counted:
    """What is counted of one version of a model."""

    model: str
    version: str
    inputs: str = ""
    ready: bool = False
    codes: dict[str, int] = field(default_factory=dict)
    seconds: Buckets = field(default_factory=lambda: Buckets(BUCKETS))
    batches: Buckets = field(default_factory=lambda: Buckets(SIZES))
    hits: int = 0
    misses: int = 0
    waiting: Callable[[], int] = int
    native: Native | None = None
    natively: int = 0

    def request(self, code: int, seconds: float) -> None:
        """Count one request that was answered with `code` after `seconds`."""
        shown = str(code) if code in CODES else UNKNOWN
        self.codes[shown] = self.codes.get(shown, 0) + 1
        self.seconds.observe(seconds)

    def hit(self) -> None:
        """Count an answer that was not computed."""
        self.hits += 1

    def whole(self) -> "Counted":
        """Return what was counted here and natively as one."""
        if self.native is None:
            return self
        codes, seconds, batches = self.native.counts()
        mine, python, native = dict(self.codes), self.waiting, self.native
        for code, count in codes.items():
            mine[str(code)] = mine.get(str(code), 0) + count
        return replace(
            self,
            codes=mine,
            seconds=self.seconds.plus(*seconds),
            batches=self.batches.plus(*batches),
            natively=sum(codes.values()),
            waiting=lambda: python() + native.waiting(),
        )

    def miss(self) -> None:
        """Count an answer that was looked for and not found."""
        self.misses += 1


class Metrics:
    """The server's series; `modelstack_` names are listed in docs/server.md."""

    def __init__(self, contracts: Iterable[ModelContract], inflight: Callable[[], int]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._inflight = inflight
        self._counted: dict[tuple[str, str], Counted] = {}
        self._unknown = Counted(UNKNOWN, UNKNOWN)
        for contract in contracts:
            self.of(contract)
        self._registry.register(_Series(self))

    def of(self, contract: ModelContract) -> Counted:
        """Return what is counted of a version, from now on where it is new."""
        key = (contract.name, contract.version)
        if key not in self._counted:
            # Series that exist from the start make rate() right for the first request and the first error.
            codes = {"200": 0, "500": 0}
            self._counted[key] = Counted(*key, contract.inputs_hash or contract.version, codes=codes)
        return self._counted[key]

    def unknown(self) -> Counted:
        """Return what is counted of requests to models that are not served."""
        return self._unknown

    def forget(self, contract: ModelContract) -> None:
        """Drop the series of a version that is not served any more."""
        self._counted.pop((contract.name, contract.version), None)

    def page(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """Return the series of all models."""
        yield GaugeMetricFamily(
            "modelstack_inflight", "Inference requests admitted and not ended.", value=self._inflight()
        )
        counted, unknown = [one.whole() for one in self._counted.values()], self._unknown.whole()
        yield _info(counted)
        yield _gauge("modelstack_model_ready", "1 where the model takes requests.", counted, lambda one: int(one.ready))
        yield _gauge("modelstack_waiting", "Inference requests not yet run.", counted, lambda one: one.waiting())
        yield _requests([*counted, unknown])
        about = "Time from the request's arrival to its answer, refused requests included."
        asked = [*counted, *([unknown] if unknown.codes else [])]
        yield _histogram("modelstack_request_seconds", about, asked, lambda one: one.seconds)
        yield _histogram("modelstack_batch_samples", "Samples of one run.", counted, lambda one: one.batches)
        yield _cache(counted)
        yield _natively(counted)


class _Series(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()


LABELS = ("model", "version")


def _gauge(name: str, about: str, counted: list[Counted], value: Callable[[Counted], float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=LABELS)
    for one in counted:
        family.add_metric([one.model, one.version], value(one))
    return family


def _info(counted: list[Counted]) -> Metric:
    family = GaugeMetricFamily("modelstack_model_info", "The models served; always 1.", labels=(*LABELS, "inputs"))
    for one in counted:
        family.add_metric([one.model, one.version, one.inputs], 1)
    return family


def _requests(counted: list[Counted]) -> Metric:
    family = CounterMetricFamily("modelstack_requests", "Inference requests answered.", labels=(*LABELS, "code"))
    for one in counted:
        for code, count in sorted(one.codes.items()):
            family.add_metric([one.model, one.version, code], count)
    return family


def _cache(counted: list[Counted]) -> Metric:
    family = CounterMetricFamily(
        "modelstack_cache", "Requests looked up in the response cache.", labels=(*LABELS, "outcome")
    )
    for one in counted:
        family.add_metric([one.model, one.version, "hit"], one.hits)
        family.add_metric([one.model, one.version, "miss"], one.misses)
    return family


def _natively(counted: list[Counted]) -> Metric:
    about = "Those of the inference requests that the native front answered by itself."
    family = CounterMetricFamily("modelstack_native_requests", about, labels=LABELS)
    for one in counted:
        family.add_metric([one.model, one.version], one.natively)
    return family


def _histogram(name: str, about: str, counted: list[Counted], buckets: Callable[[Counted], Buckets]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=LABELS)
    for one in counted:
        found = buckets(one)
        family.add_metric([one.model, one.version], found.cumulative(), found.sum)
    return family

"""Whether a stack's endpoint answers as the model that was built: golden set, held-out samples, protocol, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import urllib3

from model_server.contract import ABSOLUTE, RELATIVE
from ops import predict, samples
from ops.predict import TIMEOUT, UnreachableError
from ops.samples import Array, Samples

HELD_OUT = "held-out"
GOLDEN = "golden"
FULL = 429  # the one refusal that says nothing of what was sent


@dataclass(frozen=True)
class Endpoint:
    """One model of a stack: where it is asked, with the gateway's key where one is needed, and its version.

    The version is None where the server is not the project's own, which names others.
    """

    url: str
    model: str
    version: str | None
    key: str | None = None

    @property
    def path(self) -> str:
        """URL of the model."""
        return f"{self.url.rstrip('/')}/v2/models/{self.model}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a JSON request."""
        told = {"content-type": "application/json"}
        return {**told, "authorization": f"Bearer {self.key}"} if self.key else told

    def answers(self) -> dict[str, Any]:
        """Return the model's metadata; raises UnreachableError."""
        with self._pool() as pool:
            return predict.request(pool, "GET", self.path)

    def status(self, method: str, path: str, body: bytes | None = None) -> int:
        """Return the status of one request; raises UnreachableError where none comes."""
        try:
            with self._pool() as pool:
                return pool.request(method, f"{self.path}{path}", body=body).status
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{self.path}{path}: no answer ({error}); see that the stack is up") from error

    def infer(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to an inference request; raises UnreachableError for every other status than 200."""
        with self._pool() as pool:
            return predict.request(pool, "POST", f"{self.path}/infer", json.dumps(document).encode())

    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(1, retries=predict.RETRIES, timeout=TIMEOUT, headers=self.headers)


@dataclass(frozen=True)
class Verdict:
    """One test: its name, and what is wrong, which is empty where it passed."""

    name: str
    wrong: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def run(
    endpoint: Endpoint, golden: Mapping[str, Array] | None, held_out: Samples, least: Mapping[str, float]
) -> Iterator[Verdict]:
    """Yield the verdict of each test; `least` is the limit by figure, `golden` the image's own set where it has one.

    Raises UnreachableError where no answer comes, which tells nothing of the image.
    """
    yield _ready(endpoint)
    metadata = endpoint.answers()
    yield Verdict("metadata", _wrong_metadata(endpoint, metadata))
    if golden is not None:
        yield judge_golden(endpoint, metadata, golden)
    yield _held_out(endpoint, held_out, least)
    yield _refuses(endpoint, "malformed-json", b"{")
    yield _refuses(endpoint, "wrong-shape", _misshapen(metadata))


def _ready(endpoint: Endpoint) -> Verdict:
    status = endpoint.status("GET", "/ready")
    return Verdict("ready", "" if status == 200 else f"{endpoint.path}/ready: status {status}, the limit is 200")


def _wrong_metadata(endpoint: Endpoint, metadata: Mapping[str, Any]) -> str:
    if metadata.get("name") != endpoint.model or not metadata.get("inputs"):
        return f"{endpoint.path}: is of {metadata.get('name')!r} with inputs {metadata.get('inputs')!r}"
    named = metadata.get("versions") or []
    if endpoint.version is None or endpoint.version in named:
        return ""
    return f"{endpoint.path}: serves versions {named}, the stack's image is {endpoint.version}"


def judge_golden(endpoint: Endpoint, metadata: Mapping[str, Any], golden: Mapping[str, Array]) -> Verdict:
    """Return whether the golden set is answered as it was baked; raises UnreachableError, SamplesError."""
    inputs, outputs = (_tensors(metadata, golden, part) for part in ("inputs", "outputs"))
    answer = endpoint.infer({"inputs": inputs})
    version = answer.get("model_version")
    if endpoint.version is not None and version != endpoint.version:
        return Verdict(GOLDEN, f"answered by version {version!r}, the stack's image is {endpoint.version}")
    got = {one.get("name"): one.get("data") or [] for one in answer.get("outputs") or []}
    wrong = (_differs(one["name"], got.get(one["name"], []), one["data"]) for one in outputs)
    return Verdict(GOLDEN, next(filter(None, wrong), ""), {"golden_samples": inputs[0]["shape"][0]})


def _tensors(metadata: Mapping[str, Any], golden: Mapping[str, Array], part: str) -> list[dict[str, Any]]:
    """Return the golden tensors as a request names them: `inputs` of a model of one, `inputs.<name>` of several."""
    named = [str(one["name"]) for one in metadata.get(part) or []]
    keys = {name: part if len(named) == 1 else f"{part}.{name}" for name in named}
    lacking = [key for key in keys.values() if key not in golden]
    if lacking or not keys:
        raise samples.SamplesError(f"golden.npz: holds no {lacking or part}; bake the image again")
    found = {name: golden[key] for name, key in keys.items()}
    return [
        {"name": name, "datatype": one.datatype, "shape": list(one.shape), "data": list(one.values)}
        for name, one in found.items()
    ]


def _differs(name: str, got: Sequence[float], wanted: Sequence[float]) -> str:
    if len(got) != len(wanted):
        return f"output {name!r} has {len(got)} numbers, the golden answers {len(wanted)}"
    limit = ABSOLUTE + RELATIVE * max(abs(one) for one in wanted)
    difference = max(abs(one - other) for one, other in zip(got, wanted, strict=True))
    # Written so that a NaN on either side counts as a mismatch.
    return "" if difference <= limit else f"output {name!r} differs by {difference:.6g}, the limit is {limit:.6g}"


def _held_out(endpoint: Endpoint, held_out: Samples, least: Mapping[str, float]) -> Verdict:
    result = predict.ask(endpoint.model, endpoint.url, held_out, endpoint.key)
    limit = least[result.figure]
    wrong = "" if result.mean >= limit else f"{result.figure} {result.mean:.4f} is below {limit}"
    return Verdict(HELD_OUT, wrong, result.values())


def _refuses(endpoint: Endpoint, what: str, body: bytes) -> Verdict:
    status = endpoint.status("POST", "/infer", body)
    refused = 400 <= status < 500 and status != FULL
    return Verdict(f"refuses-{what}", "" if refused else f"status {status} for {what}, the limit is 400 to 499")


def _misshapen(metadata: Mapping[str, Any]) -> bytes:
    """Return a request whose data is one number short of its shape."""
    told = (metadata.get("inputs") or [{}])[0]
    shape = [size if size > 0 else 1 for size in told.get("shape", [1])]
    tensor = {"name": told.get("name"), "datatype": told.get("datatype"), "shape": [*shape[:-1], shape[-1] + 1]}
    return json.dumps({"inputs": [{**tensor, "data": [0]}]}).encode()

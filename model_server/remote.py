"""A server asked over HTTP, one connection kept alive until it is closed."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from model_server.contract import ModelContract, TensorSpec
from model_server.tensors import NUMPY_TYPES, Array

TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 0.2
BUSY = (429, 503)  # full, or draining


class RemoteError(Exception):
    """The server gives no answer that can be used; the message is one line."""


class _PassingError(RemoteError):
    """What may be over in a moment."""


class Remote:
    """The model of `contract` behind `url`; where `version` is given, an answer of another one does not count.

    What may be over in a moment (a Service that follows its pods, a full server) is waited out for `patience` seconds.
    """

    def __init__(self, url: str, contract: ModelContract, patience: float, version: str | None = None) -> None:
        self.url = url
        self._contract = contract
        self._patience = patience
        self._version = version
        self._connection: http.client.HTTPConnection | None = None

    def answer(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Return the outputs by name; raises RemoteError."""
        body = json.dumps({"inputs": [_tensor(spec, inputs[spec.name]) for spec in self._contract.inputs]}).encode()
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._once(body)
            except _PassingError:
                self.close()
                if time.monotonic() >= until:
                    raise
                time.sleep(PAUSE_SECONDS)

    def _once(self, body: bytes) -> dict[str, Array]:
        status, document = self._post(body)
        if status in BUSY:
            raise _PassingError(f"{self.url}: status {status}: {document.get('error', 'no reason given')}")
        if status != http.client.OK:
            raise RemoteError(f"{self.url}: status {status}: {document.get('error', 'no reason given')}")
        version = document.get("model_version")
        if self._version is not None and version != self._version:
            raise _PassingError(f"{self.url}: serves version {version!r}, not {self._version!r}")
        return self._outputs(document)

    def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            connection = self._connected()
            path = f"/v2/models/{self._contract.name}/infer"
            connection.request("POST", path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            document = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise _PassingError(f"{self.url}: no answer ({error or type(error).__name__})") from error
        except ValueError as error:
            raise RemoteError(
                f"{self.url}: status {response.status}, and no JSON; is this the model's server?"
            ) from error
        return response.status, document if isinstance(document, dict) else {}

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            where = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=TIMEOUT_SECONDS)
        return self._connection

    def close(self) -> None:
        """End the connection; the next answer makes a new one, to another pod of a Service perhaps."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _outputs(self, document: dict[str, Any]) -> dict[str, Array]:
        try:
            found = {one["name"]: _array(one) for one in document["outputs"]}
            return {spec.name: found[spec.name] for spec in self._contract.outputs}
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError(f"{self.url}: an answer lacks an output of this image's model ({error})") from error


def _tensor(spec: TensorSpec, array: Array) -> dict[str, Any]:
    data = array.reshape(-1).tolist()
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape), "data": data}


def _array(told: dict[str, Any]) -> Array:
    return np.array(told["data"], NUMPY_TYPES[told["datatype"]]).reshape(told["shape"])

"""The public socket held by the native module, where it is there: small inference requests never come to Python.

The module (model_server/native/) answers what it understands wholly, of models that are fast, and hands everything
else on as it came: to Python's server on a socket that only this machine reaches, which so stays the one source of
every error and of every other endpoint. Without the module Python's server holds the public socket, and does all the
same.
"""

import importlib
import logging
import secrets
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from model_server.admission import Admission, Places
from model_server.answers import error_answer
from model_server.batching import Plan
from model_server.config import Config
from model_server.contract import ModelContract, TensorSpec
from model_server.errors import ConfigError, slow_body, too_late
from model_server.logs import LOGGER
from model_server.metrics import BUCKETS, SIZES, Elsewhere, Native
from model_server.state import Served
from model_server.tensors import NUMPY_TYPES

if TYPE_CHECKING:
    from model_server.runtime import Session

MODULE = "modelstack_native"
DATATYPES = frozenset(NUMPY_TYPES) - {"FP16", "BYTES"}

Spec = tuple[str, str, tuple[int, ...]]


class NativeFront(Protocol):
    """The public socket, on a thread of its own."""

    port: int

    def start(self, patience: float) -> None:
        """Begin to answer; connections open at the end get `patience` seconds."""

    def serve(self, paths: Mapping[str, object]) -> None:
        """Answer these paths natively from now on, all others by Python."""

    def drain(self) -> None:
        """Close each connection after its next answer."""

    def stop(self) -> None:
        """Accept no more, and return when the connections have ended."""

    def counts(self) -> Elsewhere:
        """Return what was counted of requests that were never whole."""

    def waiting(self) -> int:
        """Return how many of those wait for a run: none."""


class NativeModule(Protocol):
    """What the extension module holds (model_server/native/src/python.rs)."""

    Places: Callable[[int], Places]
    Model: Callable[..., Native]
    Front: Callable[..., NativeFront]


def module(wanted: str) -> NativeModule | None:
    """Return the native module as MODELSTACK_NATIVE wants it; raises ConfigError where it must be there and is not."""
    if wanted == "0":
        return None
    try:
        found: NativeModule = importlib.import_module(MODULE)
    except ImportError as error:
        if wanted == "auto" and isinstance(error, ModuleNotFoundError):
            return None
        raise ConfigError(
            f"MODELSTACK_NATIVE: {wanted!r}, but {MODULE} cannot be imported ({error}); build it (`make native`, "
            "`native: true` in the recipe's runtime), or set 0"
        ) from error
    return found


@dataclass(frozen=True, slots=True)
class Front:
    """The native front of one server; `upstream` is the socket that Python's server listens on."""

    native: NativeFront
    module: NativeModule
    upstream: socket.socket

    def add(self, served: Served, session: "Session", plan: Plan) -> None:
        """Let `served` be answered natively too, where it is one that is understood there."""
        contract = served.contract
        # Each request is told at this level, which Python alone does.
        if not plan.inline or not understood(contract) or LOGGER.isEnabledFor(logging.DEBUG):
            return
        served.native = self.module.Model(
            contract.name,
            contract.version,
            inputs=_samples(contract.inputs),
            outputs=_samples(contract.outputs),
            run=runner(session),
            most=plan.most,
            seconds=BUCKETS,
            samples=SIZES,
        )

    def serve(self, paths: Mapping[bytes, Served]) -> None:
        """Answer natively on those of `paths` whose models are understood there, from now on."""
        self.native.serve({path.decode(): one.native for path, one in paths.items() if one.native is not None})


def front(found: NativeModule, config: Config, admission: Admission, *, backlog: int, idle: float) -> Front:
    """Return the front, which listens; raises OSError where the port cannot be bound. `idle` is in seconds."""
    # A name in no folder: an image's file system takes no files, and nothing is left behind.
    name = f"\0modelstack-{secrets.token_hex(16)}"
    upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    upstream.bind(name)
    upstream.listen(backlog)
    native = found.Front(
        config.host,
        config.port,
        backlog=backlog,
        upstream=name,
        places=admission.places,
        deadline=config.deadline,
        idle=idle,
        slow_body=error_answer(slow_body(config.deadline)).body,
        late=error_answer(too_late(config.deadline)).body,
        seconds=BUCKETS,
        samples=SIZES,
    )
    return Front(native, found, upstream)


def understood(contract: ModelContract) -> bool:
    """Return whether requests to the model can be answered natively: numbers alone, of samples of one size."""
    specs = (*contract.inputs, *contract.outputs)
    fixed = all(spec.shape[0] == -1 and -1 not in spec.shape[1:] for spec in specs)
    return sys.byteorder == "little" and fixed and all(spec.datatype in DATATYPES for spec in specs)


def runner(session: "Session") -> Callable[..., list[bytes]]:
    """Return what runs `session` on the bytes of each input and returns the bytes of each output."""
    outputs = session.contract.outputs
    inputs = [(one.name, np.dtype(NUMPY_TYPES[one.datatype]), one.shape[1:]) for one in session.contract.inputs]

    def run(samples: int, *given: bytes) -> list[bytes]:
        fed = {
            name: np.frombuffer(raw, dtype).reshape(samples, *shape)
            for (name, dtype, shape), raw in zip(inputs, given, strict=True)
        }
        return [array.tobytes() for array in session.run(fed, outputs)]

    return run


def _samples(specs: Sequence[TensorSpec]) -> list[Spec]:
    return [(spec.name, spec.datatype, spec.shape[1:]) for spec in specs]

"""Loading models, off the event loop, so that probes are answered meanwhile."""

import logging
import time
from dataclasses import dataclass

from model_server.errors import ConfigError, RunError
from model_server.logs import LOGGER, write
from model_server.metrics import Metrics
from model_server.state import Served, State


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are run: threads of one session, whether it keeps its memory, and `cpu` or `cuda`."""

    threads: int
    arena: bool
    device: str


def load_models(state: State, metrics: Metrics, settings: Settings) -> None:
    """Load and check every model; a file that cannot be loaded stops the server, a golden mismatch one model."""
    try:
        for served in state.models.values():
            _load(served, settings)
            metrics.set_ready(served.contract.name, ready=served.ready)
    except ConfigError as error:
        state.fail(str(error))
    except Exception as error:
        LOGGER.error("a model could not be loaded", exc_info=error)
        state.fail(f"a model could not be loaded: {type(error).__name__}; the line above says where")


def _load(served: Served, settings: Settings) -> None:
    # onnxruntime takes most of the start; the port listens before it is imported.
    from model_server.golden import warm_up  # noqa: PLC0415
    from model_server.runtime import Session  # noqa: PLC0415

    begun = time.perf_counter()
    contract = served.contract
    session = Session(contract, settings.threads, arena=settings.arena, device=settings.device)
    try:
        mismatch = warm_up(session)
    except RunError as error:
        raise ConfigError(f"{contract.file}: fails on the golden set ({error}); bake the image again") from error
    if mismatch is not None:
        served.fault = (
            f"golden answers differ: output {mismatch.output!r} by {mismatch.difference:.6g}, "
            f"at most {mismatch.limit:.6g} is allowed; the weights or the runtime are not those that were baked"
        )
        write(logging.ERROR, "model not ready", model=contract.name, version=contract.version, error=served.fault)
        return
    served.session = session
    seconds = round(time.perf_counter() - begun, 3)
    write(logging.INFO, "model ready", model=contract.name, version=contract.version, seconds=seconds)

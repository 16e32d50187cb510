"""One server process: models loaded while it already answers probes, drained on SIGTERM."""

import logging
import math
import socket
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from model_server import VERSION, cpu
from model_server.app import Endpoints
from model_server.bodies import BodyReader
from model_server.config import Config
from model_server.contract import discover
from model_server.errors import ConfigError
from model_server.loading import Settings, load_models
from model_server.logs import write
from model_server.metrics import Metrics
from model_server.scheduler import Scheduler
from model_server.state import Served, State

KEEP_ALIVE_SECONDS = 75
BACKLOG = 1024


class DrainingServer(uvicorn.Server):
    """uvicorn that, told to stop, is not ready at once but keeps answering until `state.drained`."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain; a second signal ends the wait. The exit code stays 0, so the signal is not kept."""
        self._state.drain()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop accepting."""
        return await super().on_tick(counter) or self._state.drained


def serve(config: Config) -> None:
    """Serve until told to stop; raises ConfigError where the server cannot start or a model cannot be loaded."""
    contracts = discover(config.models)
    quota = cpu.quota()
    threads = config.threads or cpu.threads(quota, cpu.available())
    state = State({one.name: Served(one) for one in contracts}, config.drain)
    scheduler = Scheduler(max(2, threads), config.max_inflight)
    metrics = Metrics(contracts, scheduler.inflight)
    endpoints = Endpoints(state, scheduler, metrics, BodyReader(config.max_body), deadline=config.deadline)
    listener = _listen(config.host, config.port)
    address = {"host": config.host, "port": listener.getsockname()[1]}
    names = [one.name for one in contracts]
    write(logging.INFO, "listening", version=VERSION, **address, threads=threads, cpu_quota=quota, models=names)
    settings = Settings(threads, arena=config.arena, device=config.device)
    loading = threading.Thread(target=load_models, args=(state, metrics, settings), daemon=True, name="loading")
    loading.start()
    DrainingServer(_uvicorn(endpoints.application(), config), state).run(sockets=[listener])
    scheduler.close()
    if state.failure:
        raise ConfigError(state.failure)
    write(logging.INFO, "stopped")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"MODELSTACK_PORT: {port} on {host} cannot be bound ({error.strerror}); name a free port of 1024 or more"
        ) from error


def _uvicorn(app: ASGIApp, config: Config) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        # Nothing that was admitted lives longer than its deadline.
        timeout_graceful_shutdown=math.ceil(config.deadline) + 1,
    )

"""One server process: models loaded while it already answers probes, drained on SIGTERM."""

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from model_server import VERSION, cpu
from model_server.admission import Admission, Places
from model_server.app import Endpoints
from model_server.bodies import BodyReader
from model_server.caching import Caches, Memory
from model_server.config import Config
from model_server.errors import ConfigError
from model_server.front import Front, NativeModule, front, module
from model_server.inference import Inference
from model_server.lane import lane
from model_server.loading import Loader, Settings, catalog_of
from model_server.logs import write
from model_server.metrics import Metrics
from model_server.repository import Repository, discover
from model_server.state import State

if TYPE_CHECKING:  # gRPC lies in images that are asked for it alone
    from model_server.rpc import RpcServer

KEEP_ALIVE_SECONDS = 75
BACKLOG = 1024
# Besides one for each model's batch: parsing and writing what is too large for the event loop.
SPARE_THREADS = 2


class DrainingServer(uvicorn.Server):
    """uvicorn that, told to stop, is not ready at once but keeps answering until `state.drained`; gRPC beside it."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: State,
        begin: Callable[[], None],
        rpc: "RpcServer | None" = None,
        front: Front | None = None,
    ) -> None:
        super().__init__(config)
        self._state = state
        self._begin = begin
        self._rpc = rpc
        self._front = front

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and begin to load; where one of the ports cannot be had, stop."""
        await super().startup(sockets)
        try:
            if self._rpc is not None:
                await self._rpc.start()
        except ConfigError as error:
            self._state.fail(str(error))
            return
        self._begin()
        if self._front is not None:
            self._front.native.start(float(self.config.timeout_graceful_shutdown or 0))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what is under way end, on both ports at once."""
        if self._rpc is None:
            await self._shut(sockets)
        else:
            await asyncio.gather(self._shut(sockets), self._rpc.stop())

    async def _shut(self, sockets: list[socket.socket] | None) -> None:
        """Let the front's connections end while what they ask for is still answered, then all others."""
        if self._front is not None:
            await asyncio.to_thread(self._front.native.stop)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain; a second signal ends the wait. The exit code stays 0, so the signal is not kept."""
        self._state.drain()
        if self._front is not None:
            self._front.native.drain()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop accepting."""
        return await super().on_tick(counter) or self._state.drained


def serve(config: Config) -> None:
    """Serve until told to stop; raises ConfigError where the server cannot start or a model cannot be loaded."""
    repository = discover(config.models)
    quota = cpu.quota()
    threads = config.threads or cpu.threads(quota, cpu.available())
    native = module(config.native)
    inference = _inference(config, repository, None if native is None else native.Places(config.max_inflight))
    state, metrics = inference.state, inference.metrics
    listener, public = _listen(config, native, inference)
    port = listener.getsockname()[1] if public is None else public.native.port
    address = {"host": config.host, "port": port, "grpc_port": config.grpc_port or None}
    names = sorted(repository.defaults)

    def load() -> None:
        settings = _settings(config, threads)
        Loader(state, metrics, inference.pool, _caches(config), settings, front=public).start()

    endpoints = Endpoints(inference, BodyReader(config.max_body))
    rpc = _rpc(config, inference)
    server = DrainingServer(_uvicorn(endpoints.application(), config, inference), state, load, rpc, public)
    # uvicorn takes signals from its first turn on; whoever waits for this line may send one before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    told = {"threads": threads, "cpu_quota": quota, "models": names, "native": public is not None}
    write(logging.INFO, "listening", version=VERSION, **address, **told)
    server.run(sockets=[listener])
    for served in state.catalog.all():
        if served.batcher is not None:
            served.batcher.close()
    inference.pool.shutdown(wait=False, cancel_futures=True)
    if state.failure:
        raise ConfigError(state.failure)
    write(logging.INFO, "stopped")


def _rpc(config: Config, inference: Inference) -> "RpcServer | None":
    if not config.grpc_port:
        return None
    # Its library's own log lines are not the JSON that this server writes.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from model_server.rpc import RpcServer  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"MODELSTACK_GRPC_PORT: {config.grpc_port}, but this image has no gRPC ({error.name}); build it with "
            "`runtime: {name: onnxruntime, grpc: true}`, or unset it"
        ) from error
    return RpcServer(inference, config)


def _inference(config: Config, repository: Repository, places: Places | None) -> Inference:
    admission = Admission(config.max_inflight, places)
    return Inference(
        state=State(catalog_of(repository), config.drain),
        admission=admission,
        metrics=Metrics(repository.contracts, admission.inflight),
        pool=ThreadPoolExecutor(len(repository.contracts) + SPARE_THREADS, thread_name_prefix="infer"),
        deadline=config.deadline,
    )


def _caches(config: Config) -> Caches | None:
    if not config.redis:
        return Caches(Memory(config.cache)) if config.cache else None
    # Most servers have none, and start without the library.
    from model_server.redis_cache import RedisCache  # noqa: PLC0415

    return Caches(Memory(config.cache), RedisCache(config.redis, config.redis_seconds))


def _settings(config: Config, threads: int) -> Settings:
    return Settings(
        root=config.models,
        threads=threads,
        arena=config.arena,
        device=config.device,
        max_batch=config.max_batch,
        deadline=config.deadline,
        poll=config.poll,
    )


def _listen(config: Config, native: NativeModule | None, inference: Inference) -> tuple[socket.socket, Front | None]:
    """Return what Python's server listens on, and the native front where that holds the public socket."""
    host, port = config.host, config.port
    try:
        if native is None:
            return socket.create_server((host, port), backlog=BACKLOG), None
        public = front(native, config, inference.admission, backlog=BACKLOG, idle=KEEP_ALIVE_SECONDS)
    except OSError as error:
        raise ConfigError(
            f"MODELSTACK_PORT: {port} on {host} cannot be bound ({error.strerror}); name a free port of 1024 or more"
        ) from error
    inference.metrics.unknown().native = public.native
    return public.upstream, public


def _uvicorn(app: ASGIApp, config: Config, inference: Inference) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=lane(inference),  # type: ignore[arg-type]  # uvicorn only calls it
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

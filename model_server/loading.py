"""Loading models, off the event loop, so that probes and other versions' requests are answered meanwhile."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_server.batching import Batcher, Plan
from model_server.caching import CachedBatcher, Caches
from model_server.contract import ModelContract
from model_server.errors import ConfigError, RunError
from model_server.front import Front
from model_server.logs import LOGGER, write
from model_server.metrics import Metrics
from model_server.repository import Repository, discover
from model_server.state import Catalog, Served, State

if TYPE_CHECKING:  # onnxruntime is imported while the server already answers probes
    from model_server.runtime import Session


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are run; `poll` and `deadline` in seconds, `device` is `cpu` or `cuda`."""

    root: Path
    threads: int
    arena: bool
    device: str
    max_batch: int
    deadline: float
    poll: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session that gave the golden answers, and how to run it; or why it may not answer."""

    session: "Session | None"
    plan: Plan | None
    fault: str = ""


def catalog_of(repository: Repository, known: Catalog | None = None) -> Catalog:
    """Return the catalog of `repository`, in which versions that `known` serves stay as they are."""
    versions: dict[str, dict[str, Served]] = {}
    for contract in repository.contracts:
        before = None if known is None else known.versions.get(contract.name, {}).get(contract.version)
        versions.setdefault(contract.name, {})[contract.version] = before or Served(contract)
    return Catalog(versions, repository.defaults)


class Loader:
    """Loads the models of the first catalog, and then what appears in their folder, if it is told to look."""

    def __init__(
        self,
        state: State,
        metrics: Metrics,
        pool: Executor,
        caches: Caches | None,
        settings: Settings,
        *,
        front: Front | None = None,
    ) -> None:
        self._state = state
        self._front = front
        self._metrics = metrics
        self._pool = pool
        self._caches = caches
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._seen: object = None

    def start(self) -> None:
        """Begin to load, on a thread that ends with the process."""
        threading.Thread(target=self._work, daemon=True, name="loading").start()

    def _work(self) -> None:
        try:
            for served in self._state.catalog.all():
                self._tell(self._install, served, self._load(served.contract))
        except ConfigError as error:
            self._tell(self._state.fail, str(error))
        except Exception as error:
            LOGGER.error("a model could not be loaded", exc_info=error)
            reason = f"a model could not be loaded: {type(error).__name__}; the line above says where"
            self._tell(self._state.fail, reason)
        else:
            self._tell(_leave_to_stay)
            self._watch()

    def _watch(self) -> None:
        while self._settings.poll:
            time.sleep(self._settings.poll)
            try:
                self._look()
            except ConfigError as error:
                # What is served stays served: a version that is half written is whole at the next look.
                self._complain(str(error))
            except Exception as error:
                LOGGER.error("the models' folder could not be read again", exc_info=error)

    def _look(self) -> None:
        repository = discover(self._settings.root)
        known = self._state.catalog
        catalog = catalog_of(repository, known)
        kept = {id(one) for one in known.all()}
        added = [one for one in catalog.all() if id(one) not in kept]
        if not added and catalog.defaults == known.defaults and len(catalog.all()) == len(kept):
            return
        loaded = [(one, self._load(one.contract)) for one in added]
        refused = next((one for _, one in loaded if one.fault), None)
        if refused is not None:
            self._complain(refused.fault)
            return
        self._tell(self._swap, catalog, loaded)

    def _complain(self, reason: str) -> None:
        if reason != self._seen:
            write(logging.ERROR, "models not replaced", error=reason)
        self._seen = reason

    def _swap(self, catalog: Catalog, loaded: list[tuple[Served, Loaded]]) -> None:
        for served, one in loaded:
            self._install(served, one)
        gone = [one for one in self._state.catalog.all() if one not in catalog.all()]
        self._state.replace(catalog)
        self._serve_natively()
        for served in gone:
            self._metrics.forget(served.contract)
        _leave_to_stay()
        write(logging.INFO, "models replaced", defaults=catalog.defaults, removed=[_name(one.contract) for one in gone])

    def _install(self, served: Served, loaded: Loaded) -> None:
        contract, counted = served.contract, self._metrics.of(served.contract)
        served.fault = loaded.fault
        if loaded.session is None or loaded.plan is None:
            return
        batcher = Batcher(
            loaded.session, loaded.plan, self._pool, counted.batches.observe, deadline=self._settings.deadline
        )
        served.batcher, served.add = batcher, batcher.add
        if self._caches is not None:
            salt = f"{contract.name}/{contract.version}/{contract.inputs_hash}"
            caches = self._caches
            served.add = CachedBatcher(salt, caches.memory, batcher.add, counted, caches.shared).add
        else:
            served.room = batcher.require_room
        if self._caches is None and self._front is not None:
            self._front.add(served, loaded.session, loaded.plan)
            counted.native = served.native
            self._serve_natively()
        counted.ready, counted.waiting = True, batcher.waiting

    def _serve_natively(self) -> None:
        if self._front is not None:
            self._front.serve(self._state.paths)

    def _tell(self, work: Callable[..., None], *given: object) -> None:
        # The loop is gone where the server was told to stop meanwhile.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *given)

    def _load(self, contract: ModelContract) -> Loaded:
        # onnxruntime takes most of the start; the port listens before it is imported.
        from model_server.golden import check, read_golden  # noqa: PLC0415
        from model_server.measuring import plan, settled  # noqa: PLC0415
        from model_server.runtime import Session  # noqa: PLC0415

        begun = time.perf_counter()
        settings = self._settings
        session = Session(contract, settings.threads, arena=settings.arena, device=settings.device)
        inputs, wanted = read_golden(contract)
        try:
            mismatch = check(session, inputs, wanted)
            if mismatch is not None:
                fault = mismatch.reason()
                write(logging.ERROR, "model not ready", model=contract.name, version=contract.version, error=fault)
                return Loaded(None, None, fault)
            limit = settings.max_batch if settings.device == "cpu" else settled(session, inputs, settings.max_batch)
            found = plan(session, inputs, limit)
        except RunError as error:
            raise ConfigError(f"{contract.file}: fails on the golden set ({error}); bake the image again") from error
        seconds = round(time.perf_counter() - begun, 3)
        told: dict[str, object] = {"seconds": seconds, "inline": found.inline, "max_batch": found.most}
        if session.placed:
            told["placed"] = session.placed
        write(logging.INFO, "model ready", model=contract.name, version=contract.version, **told)
        return Loaded(session, found)


def _leave_to_stay() -> None:
    """Collect garbage now, and look through what is left no more: a full collection holds requests up for 20 ms."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _name(contract: ModelContract) -> str:
    return f"{contract.name}/{contract.version}"

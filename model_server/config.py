"""The server's settings, read from the environment once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_server.errors import ConfigError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one server; durations are in seconds, sizes in bytes."""

    models: Path
    host: str
    port: int
    grpc_port: int
    max_body: int
    max_inflight: int
    max_batch: int
    cache: int
    redis: str
    redis_seconds: float
    poll: float
    deadline: float
    drain: float
    threads: int | None
    arena: bool
    device: str
    native: str
    log_level: str


def from_environment(environment: Mapping[str, str]) -> Config:
    """Read MODELSTACK_* out of `environment`; raises ConfigError."""
    threads = _whole(environment, "MODELSTACK_THREADS", 0, 0, 1024)
    return Config(
        models=Path(environment.get("MODELSTACK_MODELS") or "/models"),
        # A pod is reached on its own address, so the server listens on all of them.
        host=environment.get("MODELSTACK_HOST") or "0.0.0.0",  # noqa: S104
        port=_whole(environment, "MODELSTACK_PORT", 8080, 0, 65535),
        grpc_port=_whole(environment, "MODELSTACK_GRPC_PORT", 0, 0, 65535),
        max_body=_whole(environment, "MODELSTACK_MAX_BODY_BYTES", 8 * MIB, 1024, 1024 * MIB),
        max_inflight=_whole(environment, "MODELSTACK_MAX_INFLIGHT", 256, 1, 65536),
        max_batch=_whole(environment, "MODELSTACK_MAX_BATCH", 64, 1, 65536),
        cache=_whole(environment, "MODELSTACK_CACHE_BYTES", 0, 0, 1 << 40),
        redis=environment.get("MODELSTACK_REDIS_URL") or "",
        redis_seconds=_seconds(environment, "MODELSTACK_REDIS_SECONDS", 0.05, 0.001, 60.0),
        poll=_seconds(environment, "MODELSTACK_POLL_SECONDS", 0.0, 0.0, 3600.0),
        deadline=_seconds(environment, "MODELSTACK_DEADLINE_SECONDS", 10.0, 0.001, 3600.0),
        drain=_seconds(environment, "MODELSTACK_DRAIN_SECONDS", 3.0, 0.0, 3600.0),
        threads=threads or None,
        arena=_switch(environment, "MODELSTACK_ARENA", default=True),
        device=_device(environment),
        native=_native(environment),
        log_level=_level(environment),
    )


def _whole(environment: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    text = environment.get(key) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not low <= int(text) <= high:
        raise ConfigError(f"{key}: {text[:40]!r} is not a whole number from {low} to {high}; correct or unset it")
    return int(text)


def _seconds(environment: Mapping[str, str], key: str, default: float, low: float, high: float) -> float:
    text = environment.get(key) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ConfigError(f"{key}: {text[:40]!r} is not a number of seconds from {low} to {high}; correct or unset it")
    return value


def _switch(environment: Mapping[str, str], key: str, *, default: bool) -> bool:
    text = environment.get(key) or ("1" if default else "0")
    if text not in {"0", "1"}:
        raise ConfigError(f"{key}: {text[:40]!r} is neither 0 nor 1; correct or unset it")
    return text == "1"


def _device(environment: Mapping[str, str]) -> str:
    text = environment.get("MODELSTACK_DEVICE") or "cpu"
    if text not in {"cpu", "cuda"}:
        raise ConfigError(f"MODELSTACK_DEVICE: {text[:40]!r} is neither cpu nor cuda; correct or unset it")
    return text


def _native(environment: Mapping[str, str]) -> str:
    text = environment.get("MODELSTACK_NATIVE") or "auto"
    if text not in {"auto", "0", "1"}:
        raise ConfigError(f"MODELSTACK_NATIVE: {text[:40]!r} is not auto, 0 or 1; correct or unset it")
    return text


def _level(environment: Mapping[str, str]) -> str:
    text = (environment.get("MODELSTACK_LOG_LEVEL") or "INFO").upper()
    if text not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigError(f"MODELSTACK_LOG_LEVEL: {text[:40]!r} is not DEBUG, INFO, WARNING or ERROR; correct it")
    return text

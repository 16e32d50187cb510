"""Third-party images: which of `modelstack:images` a stack runs, and where each lies in its place."""

from __future__ import annotations

from collections.abc import Mapping

from settings import Settings, SettingsError

# Of the cluster, not of a stack: another cluster has its own.
METRICS = "metrics-server"
KEDA = "keda"


def needed(settings: Settings) -> tuple[str, ...]:
    """Return the names of the third-party images that a stack with these settings runs."""
    wanted = {
        "prometheus": settings.monitoring.enabled,
        "haproxy": settings.gateway.enabled,
        "redis": settings.needs_cache,
        "rollouts": settings.needs_controller,
    }
    return tuple(name for name, runs in wanted.items() if runs)


def to_bake(settings: Settings) -> tuple[str, ...]:
    """Return what the embedded platform has to make: those that the settings do not name, and the cluster's own."""
    lacking = tuple(name for name in needed(settings) if name not in settings.images.named)
    return (*lacking, *_of_the_cluster(settings))


def references(settings: Settings, baked: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return name → reference, by digest or by tag, of what the stack runs; `baked` is of the embedded platform.

    Raises SettingsError where an image is neither named nor baked.
    """
    if baked is None:
        return {name: settings.images.reference(name) for name in needed(settings)}
    for name, measures in _of_the_cluster(settings).items():
        if name not in baked:
            raise SettingsError(
                f"modelstack:models: one is scaled by {measures}, and the embedded platform has no {name} yet; run "
                f"`python -m local bake {name}`"
            )
    return {name: _baked(settings, name, baked) for name in needed(settings)}


def _of_the_cluster(settings: Settings) -> dict[str, str]:
    """Return name → the measures that it is read for, of what a cluster runs for all stacks."""
    read = {METRICS: ("cpu", settings.needs_metrics), KEDA: ("waiting or requests", settings.needs_keda)}
    return {name: measures for name, (measures, needed) in read.items() if needed}


def _baked(settings: Settings, name: str, baked: Mapping[str, str]) -> str:
    if name in settings.images.named:
        return settings.images.reference(name)
    if name not in baked:
        raise SettingsError(
            f"modelstack:images.{name}: is not set and the embedded platform has not made that image yet; "
            f"run `python -m local bake {name}`, or name an image"
        )
    return baked[name]

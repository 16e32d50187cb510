"""Whether the nodes of a pool hold what its models ask for while a new version takes the place of the one before."""

from __future__ import annotations

from pathlib import Path

from settings.base import SettingsError
from settings.recipes import gpus_of
from settings.stack import PREFIX, ModelSettings, Settings

SURGE = 1  # pods of the new version beside all of the old, of a Deployment and of a canary


def require_room(where: str, project: Path, settings: Settings) -> None:
    """Raise SettingsError where a rollout would wait for ever for a GPU that the pods of the old version have."""
    if settings.aws is None:
        return
    for name, pool in settings.gpu_pools.items():
        asked = {one: _asked(project, model) for one, model in settings.models.items() if model.gpu_pool == name}
        nodes = settings.aws.nodes_of(pool)
        room, wanted = nodes * pool.offered, sum(asked.values())
        if wanted > room:
            bound = "max" if pool.engine != "managed" or settings.aws.autoscaler else "min"
            each = ", ".join(f"{one} {count}" for one, count in sorted(asked.items()))
            raise SettingsError(
                f"{where}: {PREFIX}aws.gpuPools.{name}.{bound}: {nodes} has room for {room} {pool.resource}, its "
                f"models ask for {wanted} while new versions take the place of old ones ({each}); raise it, or ask "
                "for less"
            )


def _asked(project: Path, model: ModelSettings) -> int:
    """Return the most GPUs, or shares, of all pods of a model, those of a rollout with them."""
    # Of blueGreen both versions are there whole.
    replicas = 2 * model.most if model.rollout.strategy == "blueGreen" else model.most + SURGE
    nodes = model.serve.nodes
    return replicas * nodes * gpus_of(project / model.recipe, nodes)

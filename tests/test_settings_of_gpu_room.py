"""Whether a pool has room, and a rollout time, for new versions of its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_settings import load, refused
from tests.test_settings_of_gpu_pools import A10G, recipe, with_pools


@pytest.mark.parametrize(
    ("pool", "changes", "told"),
    [
        (
            {},
            {},
            "aws.gpuPools.a10g.min: 1 has room for 1 nvidia.com/gpu, its models ask for 2 while new versions take",
        ),
        ({"min": 2}, {"replicas": 2}, "min: 2 has room for 2 nvidia.com/gpu, its models ask for 3"),
        (
            {"engine": "karpenter", "max": 3},
            {"replicas": 3},
            "max: 3 has room for 3 nvidia.com/gpu, its models ask for 4",
        ),
        ({"engine": "karpenter", "max": 3}, {"replicas": 2, "rollout": {"strategy": "blueGreen"}}, "ask for 4 while"),
        (
            {"share": {"by": "timeSlicing", "replicas": 3}},
            {"replicas": 3},
            "has room for 3 nvidia.com/gpu.shared, its models ask for 4",
        ),
    ],
)
def test_a_pool_has_room_for_a_rollout(
    tmp_path: Path, pool: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    model = {"recipe": recipe(tmp_path, "onnxruntime, device: gpu"), "gpuPool": "a10g", **changes}
    assert told in refused(**with_pools(model, a10g={**A10G, **pool}))
    fewer = {**model, "replicas": max(1, model.get("replicas", 1) - 1)}
    room = {**A10G, "min": 2} if pool == {} else {**A10G, **pool}
    assert load(**with_pools(fewer, a10g=room)).models["digits"].gpu_pool == "a10g"


def test_a_rollout_on_a_pool_waits_for_a_node(tmp_path: Path) -> None:
    model = {"recipe": recipe(tmp_path, "onnxruntime, device: gpu"), "gpuPool": "a10g"}
    pools = {"a10g": {**A10G, "min": 2}}
    assert load(**with_pools(model, **pools)).models["digits"].rollout_seconds == 1200
    assert load(**with_pools({**model, "rolloutSeconds": 60}, **pools)).models["digits"].rollout_seconds == 60
    assert load().models["digits"].rollout_seconds == 300

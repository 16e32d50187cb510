"""The cache as a stack asks for it: bounded, behind a password that nobody reads, for the models that use it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.conftest import MODELS, Program
from tests.components.programs import IMAGES, Object, Run


@pytest.fixture
def run(program: Program) -> Run:
    models = {**MODELS, "digits": {**MODELS["digits"], "cached": True}}
    return program({"models": models, "cache": {"memory": 64}})


def container(run: Run, name: str) -> Object:
    (found,) = run.of("Deployment")[name]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def env(run: Run, name: str) -> dict[str, Any]:
    return {one["name"]: one for one in container(run, name).get("env") or []}


def test_a_stack_has_no_cache_unless_a_model_asks_for_one(dev: Run) -> None:
    assert "cache" not in dev.of("Deployment")
    assert not dev.of("Password")
    assert "MODELSTACK_REDIS_URL" not in env(dev, "digits")


def test_the_server_of_a_cached_model_is_told_where_and_reads_the_password_from_the_secret(run: Run) -> None:
    told = env(run, "digits")
    assert told["MODELSTACK_REDIS_URL"]["value"] == "redis://:$(REDIS_PASSWORD)@cache:6379/0"
    assert told["REDIS_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "cache", "key": "password"}
    # The kubelet puts in what comes before in the list.
    assert list(told).index("REDIS_PASSWORD") < list(told).index("MODELSTACK_REDIS_URL")
    assert "MODELSTACK_REDIS_URL" not in env(run, "mnist")


def test_redis_is_bounded_keeps_nothing_on_disk_and_asks_for_the_password(run: Run) -> None:
    told = run.of("Secret")["cache"]["stringData"]
    # The SDK's mark of a secret, around everything that a password is part of.
    assert "4dabf18193072939515e22adb298388d" in told  # pragma: allowlist secret
    word, lines = told["value"]["password"], told["value"]["redis.conf"].splitlines()
    assert word
    assert {f"requirepass {word}", "maxmemory 64mb", "maxmemory-policy allkeys-lru", 'save ""', "appendonly no"} <= {
        *lines
    }
    redis = container(run, "cache")
    assert redis["image"] == IMAGES["redis"]
    assert redis["command"] == ["redis-server", "/etc/redis/redis.conf"]
    assert redis["resources"]["limits"]["memory"] == "128Mi"
    assert word not in str(redis)


def test_only_the_pods_of_cached_models_reach_it_and_it_reaches_nobody(run: Run) -> None:
    spec = run.of("NetworkPolicy")["cache"]["spec"]
    (rule,) = spec["ingress"]
    assert [one["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for one in rule["from"]] == ["digits"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert not spec.get("egress")


def test_the_pods_of_a_cached_model_reach_the_cache_and_names_alone(run: Run) -> None:
    names, cache = run.of("NetworkPolicy")["digits"]["spec"]["egress"]
    assert {(one["port"], one["protocol"]) for one in names["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert cache["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "cache"
    assert not run.of("NetworkPolicy")["mnist"]["spec"].get("egress")


def test_its_pod_is_restricted(run: Run) -> None:
    pod = run.of("Deployment")["cache"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container(run, "cache")["securityContext"]["readOnlyRootFilesystem"] is True

"""Objects of a stack as files: their order, their bytes, and what is not written."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from pulumi.runtime.rpc import UNKNOWN

from ops import manifests
from ops.manifests import KUSTOMIZATION, RenderError, render
from ops.streamed import MARK, OF_SECRETS


def thing(kind: str, name: str = "one", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **fields}


def secret(**plain: str) -> dict[str, str]:
    return {MARK: OF_SECRETS, **plain}


def test_namespaces_and_kinds_come_first_and_the_order_of_the_state_counts_for_nothing() -> None:
    kinds = ["Deployment", "Service", "ConfigMap", "CustomResourceDefinition", "Namespace", "Rollout"]
    objects = [thing(kind, name) for kind in kinds for name in ("b", "a")]
    first = render(objects, secrets=False)
    random.Random(3).shuffle(objects)  # noqa: S311 (any order does)
    assert render(objects, secrets=False) == first
    listed = yaml.safe_load(first.files[KUSTOMIZATION])["resources"]
    assert listed == [name for name in first.files if name != KUSTOMIZATION]
    assert [name.partition("-")[0] for name in listed[::2]] == [
        *("namespace", "customresourcedefinition", "configmap", "service", "deployment", "rollout"),
    ]


@pytest.mark.parametrize("text", ["1234567e5", "1e3", "0o17", "0x1F", "1_000", "012", "y", "N", "yes", "12:30"])
def test_a_text_that_yaml_may_take_for_something_else_is_quoted(text: str) -> None:
    assert manifests.dumped({"key": text}) == f"key: '{text}'\n"


def test_a_text_of_several_lines_stays_so() -> None:
    assert manifests.dumped({"key": "global\n  log\n"}) == "key: |\n  global\n    log\n"


def test_what_the_server_or_the_engine_adds_is_not_written() -> None:
    added = {"annotations": {"pulumi.com/patchForce": "true", "team": "a"}, "uid": "1", "resourceVersion": "2"}
    one = thing("Service", spec={"clusterIP": None, "ports": [{"port": 80.0}]}, status={"loadBalancer": {}})
    one["metadata"] |= added
    found = yaml.safe_load(render([one], secrets=False).files["service-one.yaml"])
    assert found["metadata"] == {"name": "one", "namespace": "shop", "annotations": {"team": "a"}}
    assert found["spec"] == {"ports": [{"port": 80}]}
    assert "status" not in found


def test_a_secret_is_left_out_and_named_unless_it_is_asked_for() -> None:
    one = thing("Secret", data=secret(plaintext='{"key": "aHVudGVy"}'))
    left_out = render([one], secrets=False)
    assert list(left_out.files) == [KUSTOMIZATION]
    assert "#   shop/one\n" in left_out.files[KUSTOMIZATION]
    asked_for = render([one], secrets=True)
    assert yaml.safe_load(asked_for.files["secret-one.yaml"])["data"] == {"key": "aHVudGVy"}
    assert asked_for.in_clear == ("secret-one.yaml",)


def test_a_secret_in_another_kind_is_refused() -> None:
    one = thing("ConfigMap", data={"key": secret(ciphertext="v1:abc")})
    with pytest.raises(RenderError, match="ConfigMap shop/one: holds a secret"):
        render([one], secrets=False)


def test_a_value_that_is_not_known_yet_is_named() -> None:
    image = f"registry/{UNKNOWN}"
    one = thing("Deployment", spec={"containers": [{"image": image}, {"image": image}]})
    with pytest.raises(RenderError, match=r"Deployment shop/one: spec.containers\[0\].image and 1 more is not known"):
        render([one], secrets=False)


def test_two_objects_for_one_file_are_refused() -> None:
    with pytest.raises(RenderError, match=r"written to service-one\.yaml too"):
        render([thing("Service"), thing("Service")], secrets=False)


def test_the_number_of_pods_is_left_to_what_scales_them() -> None:
    target = {"kind": "Deployment", "name": "one"}
    objects = [
        thing("HorizontalPodAutoscaler", spec={"scaleTargetRef": target}),
        thing("Deployment", spec={"replicas": 2, "paused": False}),
        thing("Deployment", "other", spec={"replicas": 2}),
    ]
    files = render(objects, secrets=False).files
    assert yaml.safe_load(files["deployment-one.yaml"])["spec"] == {"paused": False}
    assert yaml.safe_load(files["deployment-other.yaml"])["spec"] == {"replicas": 2}

"""What the cluster runs for all stacks: manifests that hold what Kubernetes asks of them, and are applied once."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
import yaml

from local import connection, specs
from local.instance import locate
from local.kubectl import Kubectl
from tests.conftest import Platform, run_local

METRICS = Path(specs.__file__).with_name(specs.METRICS_IMAGE.addon)


def test_the_manifest_of_the_metrics_server_runs_the_baked_image_restricted() -> None:
    objects = list(
        yaml.safe_load_all(string.Template(METRICS.read_text()).substitute(image="registry/metrics@sha256:0"))
    )
    (pod,) = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    (container,) = pod["containers"]
    assert container["image"] == "registry/metrics@sha256:0"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not [one for one in container["args"] if "insecure" in one]


@pytest.mark.e2e
@pytest.mark.soak
def test_baking_the_metrics_server_deploys_it_once_and_it_tells_of_the_nodes_cpu(platform: Platform) -> None:
    run_local(platform.environment, "bake", "metrics-server")
    instance = locate(None, platform.environment)
    assert "metrics-server" in connection.read(instance.connection).images
    kubectl = Kubectl.of(instance)
    asked = ("get", "deployment", "metrics-server", "--namespace=kube-system", "-o=jsonpath={.metadata.generation}")
    generation = kubectl.run(*asked)
    run_local(platform.environment, "bake", "metrics-server")
    assert kubectl.run(*asked) == generation
    assert "cpu" in kubectl.run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")

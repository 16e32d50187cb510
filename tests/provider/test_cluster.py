"""How the provider's resources find their cluster: by a kubeconfig's path, or by what is in it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from provider.errors import ProviderError
from provider.kubernetes import POD, Cluster
from tests.provider.clusters import Kubectl

TOKEN = "hunter2hunter2"  # pragma: allowlist secret


def config(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
        "users": [{"name": "it", "user": {"token": TOKEN}}],
    }


@pytest.mark.e2e
@pytest.mark.parametrize("written", [json.dumps, yaml.safe_dump])
def test_the_content_of_a_kubeconfig_leads_to_the_cluster_as_its_path_does(kubectl: Kubectl, written: Any) -> None:
    content = written(yaml.safe_load(Path(kubectl.kubeconfig).read_text()))
    for kubeconfig in (content, kubectl.kubeconfig):
        with closing(Cluster(kubeconfig)) as cluster:
            assert cluster.list(POD, kubectl.namespace) == []


@pytest.mark.parametrize(
    "content", ['{"kind": "Config"}', "{", "- a\n- b\n", json.dumps(config("https://[")), "a: b\n", f"a: [{TOKEN}\n"]
)
def test_content_that_is_no_kubeconfig_is_refused_and_not_told(content: str) -> None:
    with pytest.raises(ProviderError) as caught:
        Cluster(content).get(POD, "a", "b")
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_cluster_that_does_not_answer_is_told_without_what_logs_in() -> None:
    with pytest.raises(ProviderError, match="cluster: no answer") as caught:
        Cluster(json.dumps(config("https://127.0.0.1:1"))).get(POD, "a", "b")
    assert TOKEN not in str(caught.value)

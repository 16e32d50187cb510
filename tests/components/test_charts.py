"""Helm charts of others: what the provider is asked to render, in which namespaces, and what waits for them.

No chart is rendered here: the provider that does it is asked by mocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from settings import ChartSettings
from settings.charts import require_files
from tests.components.conftest import MODELS, Program
from tests.components.programs import Object, Run
from tests.test_settings import OWN_CLUSTER, load, refused

Charted = Callable[..., Run]
PROMETHEUS: Object = {
    "repo": "oci://ghcr.io/prometheus-community/charts",
    "chart": "kube-prometheus-stack",
    "version": "79.5.0",
    "namespace": "monitoring",
    "security": "privileged",
    "values": {"grafana": {"enabled": False}},
}
GPU: Object = {
    "repo": "https://helm.ngc.nvidia.com/nvidia",
    "chart": "gpu-operator",
    "version": "v25.10.0",
    "namespace": "gpu-operator",
    "security": "privileged",
}
ARCHIVE: Object = {"file": "charts/a.tgz", "sha256": "0" * 64, "namespace": "a"}


@pytest.fixture
def charted(program: Program, tmp_path: Path) -> Charted:
    """Return a run of the program on a cluster of one's own, with charts."""

    def run(**charts: Object) -> Run:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text("")
        config = {**OWN_CLUSTER, "cluster": {"kubeconfig": str(kubeconfig)}, "models": MODELS, "charts": charts}
        return program(config)

    return run


def test_a_chart_of_a_registry_is_asked_for_by_its_whole_name_and_version(charted: Charted) -> None:
    found = charted(prometheus=PROMETHEUS).of("Chart")["prometheus"]
    assert found == {
        "name": "prometheus",
        "chart": "oci://ghcr.io/prometheus-community/charts/kube-prometheus-stack",
        "version": "79.5.0",
        "namespace": "monitoring",
        "values": {"grafana": {"enabled": False}},
    }


def test_a_chart_of_a_repository_is_asked_for_there(charted: Charted) -> None:
    found = charted(gpu=GPU).of("Chart")["gpu"]
    assert (found["chart"], found["repositoryOpts"]) == ("gpu-operator", {"repo": "https://helm.ngc.nvidia.com/nvidia"})


def test_each_namespace_is_made_once_and_says_which_pods_it_admits(charted: Charted) -> None:
    run = charted(
        gpu=GPU, dcgm={**GPU, "chart": "dcgm-exporter"}, plain={**GPU, "namespace": "b", "security": "restricted"}
    )
    made = {name: one["metadata"]["labels"] for name, one in run.of("Namespace").items() if name != "cluster"}
    enforced = {name: one["pod-security.kubernetes.io/enforce"] for name, one in made.items()}
    assert enforced == {"gpu-operator": "privileged", "b": "restricted"}


def test_a_namespace_of_others_is_not_made(charted: Charted) -> None:
    assert set(charted(gpu={**GPU, "makeNamespace": False}).of("Namespace")) == {"cluster"}


def test_what_serves_models_waits_for_the_charts_and_goes_before_them(charted: Charted) -> None:
    run = charted(gpu=GPU)
    (chart,) = [urn for urn in run.after if urn.endswith("Chart::gpu")]
    (namespace,) = [urn for urn in run.after if urn.endswith("Namespace::gpu-operator")]
    for kind in ("Deployment::digits", "Deployment::mnist"):
        (urn,) = [urn for urn in run.after if urn.endswith(kind)]
        assert chart in run.waits_for(urn)
    assert namespace in run.waits_for(chart)


def test_a_chart_is_rendered_by_the_stacks_own_provider_and_so_is_its_namespace(charted: Charted) -> None:
    run = charted(gpu=GPU)
    (chart,) = [urn for urn in run.providers if urn.endswith("Chart::gpu")]
    served = {one.provider for one in run.objects() if one.type.endswith("Deployment")}
    made = {one.provider for one in run.objects() if one.name == "gpu-operator"}
    assert served == made == {run.providers[chart]["kubernetes"]}


def test_a_stack_without_charts_makes_nothing_for_them(dev: Run) -> None:
    assert not [one for one in dev.made if "Chart" in one.type]


def on_a_cluster(**charts: Object) -> dict[str, Any]:
    return {**OWN_CLUSTER, "models": MODELS, "charts": charts}


@pytest.mark.parametrize(
    ("chart", "message"),
    [
        ({"version": "79"}, "charts.a.version: '79': string should match"),
        ({"version": ">=79.0.0"}, "charts.a.version: '>=79.0.0': string should match"),
        ({"version": None}, "charts.a: version: is missing; name repo, chart and version, or file and sha256"),
        ({"repo": "http://charts.example.com"}, "charts.a.repo: 'http://charts.example.com': string should match"),
        ({"chart": "../up"}, "charts.a.chart: '../up': string should match"),
        ({"sha256": "0" * 64}, "charts.a: sha256: does not go with repo; remove one of the two"),
        ({"namespace": None}, "charts.a.namespace: "),
        ({"security": "open"}, "charts.a.security: 'open'"),
        ({"valeus": {}}, "charts.a.valeus: is no known key, did you mean `values`"),
    ],
)
def test_a_chart_that_is_not_pinned_or_not_known_is_refused(chart: Object, message: str) -> None:
    assert refused(**on_a_cluster(a={**PROMETHEUS, **chart})).startswith(f"modelstack:{message}")


def test_a_file_is_named_with_its_hash_and_nothing_else() -> None:
    assert "charts.a: sha256: is missing" in refused(**on_a_cluster(a={"file": "a.tgz", "namespace": "a"}))
    assert "charts.a: repo: does not go with file" in refused(**on_a_cluster(a={**ARCHIVE, "repo": GPU["repo"]}))
    assert "charts.a: keyring: does not go with file" in refused(**on_a_cluster(a={**ARCHIVE, "keyring": "keys.gpg"}))
    told = refused(**on_a_cluster(a=ARCHIVE))
    assert told.startswith("modelstack:charts.a.file: 'charts/a.tgz' names no file below the project's folder")


def chart_of(**told: object) -> ChartSettings:
    return ChartSettings.model_validate({**ARCHIVE, **told})


def test_an_archive_is_the_one_that_was_reviewed(tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts/a.tgz").write_bytes(b"chart")
    digest = hashlib.sha256(b"chart").hexdigest()
    require_files({"a": chart_of(sha256=digest)}, tmp_path)
    with pytest.raises(ValueError, match=rf"a\.sha256: charts/a\.tgz has {digest}; take the file that was reviewed"):
        require_files({"a": chart_of()}, tmp_path)


def test_an_archive_or_a_keyring_outside_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"chart")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/link.tgz").symlink_to(tmp_path / "a.tgz")
    for file in ("../a.tgz", "link.tgz"):
        with pytest.raises(ValueError, match=r"a\.file: .* names no file below the project's folder"):
            require_files({"a": ChartSettings.model_construct(**{**ARCHIVE, "file": file})}, tmp_path / "project")


def test_a_signed_chart_is_verified_by_its_keyring() -> None:
    told = refused(**on_a_cluster(a={**PROMETHEUS, "keyring": "keys/none.gpg"}))
    assert told.startswith("modelstack:charts.a.keyring: 'keys/none.gpg' names no file")


def test_the_provider_verifies_what_has_a_keyring(charted: Charted) -> None:
    found = charted(prometheus={**PROMETHEUS, "keyring": "keys/prod.pub"}).of("Chart")["prometheus"]
    assert found["verify"] is True
    assert found["keyring"].path == "keys/prod.pub"
    assert "verify" not in charted(prometheus=PROMETHEUS).of("Chart")["prometheus"]


def test_one_namespace_admits_one_kind_of_pods() -> None:
    both = {"a": GPU, "b": {**GPU, "security": "baseline"}}
    assert "charts.b.security: baseline is not privileged, which another chart says of gpu-operator" in refused(
        **on_a_cluster(**both)
    )


def test_the_stacks_own_namespace_is_left_to_its_models() -> None:
    own = {**on_a_cluster(a={**GPU, "namespace": "own"}), "namespace": "own"}
    assert refused(**own).startswith("modelstack:charts.a.namespace: 'own' is the stack's own; name another")


def test_the_stacks_own_namespace_is_known_where_the_settings_name_none(charted: Charted) -> None:
    own = charted(gpu=GPU).of("Namespace")["cluster"]["metadata"]["name"]
    told = refused(**on_a_cluster(a={**GPU, "namespace": own}))
    assert told.startswith(f"modelstack:charts.a.namespace: {own!r} is the stack's own; name another")


def test_a_namespace_that_every_cluster_has_is_not_made() -> None:
    system = {**GPU, "namespace": "kube-system"}
    assert refused(**on_a_cluster(a=system)).startswith(
        "modelstack:charts.a.namespace: 'kube-system' is Kubernetes' own; set makeNamespace: false"
    )
    assert load(**on_a_cluster(a={**system, "makeNamespace": False})).charts["a"].namespace == "kube-system"


def test_the_embedded_platform_renders_no_charts() -> None:
    assert "charts: are rendered by the official provider of Kubernetes" in refused(charts={"a": GPU})


def test_a_chart_on_a_cluster_of_ones_own_is_read() -> None:
    found = load(**on_a_cluster(gpu=GPU)).charts["gpu"]
    assert (found.reference, found.version, found.of_a_registry) == ("gpu-operator", "v25.10.0", False)

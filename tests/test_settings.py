"""Pulumi.<stack>.yaml and where a stack runs: what is read, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import settings
from components import place
from settings import ExposureSettings, Resources, Settings, SettingsError, amount
from tests.components.programs import CONNECTION, PROJECT

MODELS: dict[str, Any] = {"digits": {"recipe": "models/digits/recipe.yaml"}}
JWT = {"publicKey": "-----BEGIN PUBLIC KEY-----", "issuer": "https://issuer.example", "audience": "models"}
INGRESS = {"type": "Ingress", "host": "models.example.com"}
OWN_CLUSTER = {
    "cluster": {"kubeconfig": "~/kubeconfig"},
    "registry": {"push": "registry.example"},
    "base": "registry.example/base:1",
}


def load(**config: Any) -> Settings:
    """Load `config` as the engine hands it over: texts, mappings as JSON."""
    given = {"models": MODELS, **config}
    texts = {f"modelstack:{key}": one if isinstance(one, str) else json.dumps(one) for key, one in given.items()}
    return settings.load({**texts, "pulumi:tags": "{}"}, PROJECT, "dev")


def refused(**config: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**config)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("Pulumi.dev.yaml: modelstack:")
    return message.removeprefix("Pulumi.dev.yaml: ")


def test_an_error_shows_nothing_of_a_secret() -> None:
    hidden = "zx81-spectrum"
    for gateway in (hidden, json.dumps({"enabled": True, "keys": {"shop": {"sha256": hidden}}})):
        config = {"modelstack:models": json.dumps(MODELS), "modelstack:gateway": gateway}
        with pytest.raises(SettingsError) as caught:
            settings.load(config, PROJECT, "dev", ["modelstack:gateway"])
        assert "modelstack:gateway" in str(caught.value)
        assert "[secret]" in str(caught.value)
        assert hidden not in str(caught.value)


def test_a_secret_that_would_lie_in_plain_is_refused() -> None:
    config = {"modelstack:models": json.dumps(MODELS), "modelstack:gateway": json.dumps({"enabled": True, "jwt": JWT})}
    for key in config:
        with pytest.raises(SettingsError, match=f"{key}: is a secret, and .* in plain; set it without --secret"):
            settings.load(config, PROJECT, "dev", [key])


def test_the_gateways_keys_may_be_a_secret() -> None:
    gateway = {"enabled": True, "keys": {"shop": {"sha256": "0" * 64}}}
    config = {"modelstack:models": json.dumps(MODELS), "modelstack:gateway": json.dumps(gateway)}
    assert settings.load(config, PROJECT, "dev", ["modelstack:gateway"]).gateway.keys


def model(**changes: Any) -> dict[str, Any]:
    return {"digits": {**MODELS["digits"], **changes}}


@pytest.mark.parametrize("stack", ["dev", "test", "staging", "prod"])
def test_the_stacks_of_the_project_load(stack: str) -> None:
    config = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]
    texts = {key: json.dumps(one) for key, one in config.items()}
    assert set(settings.load(texts, PROJECT, stack).models) == {"digits", "mnist"}


def test_the_stacks_of_the_project_build_the_same_recipes() -> None:
    recipes = []
    for stack in ("dev", "test", "staging", "prod"):
        models = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]["modelstack:models"]
        recipes.append({name: one["recipe"] for name, one in models.items()})
    assert recipes == recipes[:1] * 4


def test_the_schema_declares_every_key_of_the_settings_and_no_other() -> None:
    declared = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    keys = {info.alias or name for name, info in Settings.model_fields.items()}
    assert set(declared) == keys


def test_the_schemas_empty_defaults_are_as_if_not_set() -> None:
    declared = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    empty = {key: one["default"] for key, one in declared.items() if key != "models"}
    assert set(empty) >= {"namespace", "cluster", "registry"}
    assert load(**empty) == load()


def test_what_is_not_set_has_a_default() -> None:
    found = load()
    assert (found.models["digits"].replicas, found.monitoring.enabled, found.cluster.kubeconfig) == (1, True, None)
    assert found.models["digits"].resources.memory_limit == "512Mi"


def test_keys_are_written_in_camel_case() -> None:
    assert load(models=model(resources={"cpuLimit": "2"})).models["digits"].resources.cpu_limit == "2"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"replicas": 1}, "modelstack:replicas: is no known key"),
        ({"modles": {}}, "modelstack:modles: is no known key, did you mean `models`"),
        ({"models": model(replica=1)}, "modelstack:models.digits.replica: is no known key, did you mean `replicas`"),
        (
            {"models": model(resources={"cpuLimits": "1"})},
            "modelstack:models.digits.resources.cpuLimits: is no known key, did you mean `cpuLimit`",
        ),
        (
            {"monitoring": {"retentoin": "1d"}},
            "modelstack:monitoring.retentoin: is no known key, did you mean `retention`",
        ),
        ({"gateway": {"limits": {}}}, "modelstack:gateway.limits: is no known key, did you mean `limit`"),
        (
            {"gateway": {"keys": {"alice": {"sha256": "0" * 64, "request": 5}}}},
            "modelstack:gateway.keys.alice.request: is no known key, did you mean `requests`",
        ),
        ({"images": {"haprxy": "h"}}, "modelstack:images.haprxy: is no known key, did you mean `haproxy`"),
    ],
)
def test_an_unknown_key_names_the_closest_known_one(config: dict[str, Any], says: str) -> None:
    assert refused(**config).startswith(says)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"models": {}}, "modelstack:models: is missing"),
        ({"models": {"digits": {}}}, "modelstack:models.digits.recipe: is missing; add it"),
        ({"models": model(replicas=0)}, "modelstack:models.digits.replicas: 0: "),
        ({"models": model(replicas=101)}, "modelstack:models.digits.replicas: 101: "),
        ({"models": model(replicas="2")}, "modelstack:models.digits.replicas: '2': "),
        ({"models": model(replicas=True)}, "modelstack:models.digits.replicas: True: "),
        (
            {"models": model(resources={"memoryLimit": "512 MB"})},
            "modelstack:models.digits.resources.memoryLimit: '512 MB': ",
        ),
        ({"models": {"other": MODELS["digits"]}}, "modelstack:models.other: is not 'digits', the name in models/"),
        ({"models": model(recipe="models/none/recipe.yaml")}, "modelstack:models.digits.recipe: 'models/none/rec"),
        ({"models": "digits"}, "modelstack:models: 'digits' is plain text; write a mapping"),
        ({"models": [1]}, "modelstack:models: [1]: "),
        ({"namespace": "Upper"}, "modelstack:namespace: 'Upper': "),
        ({"monitoring": {"retention": "7"}}, "modelstack:monitoring.retention: '7': "),
        ({"monitoring": {"enabled": "yes"}}, "modelstack:monitoring.enabled: 'yes': "),
        ({"exposure": {"type": "Tunnel"}}, "modelstack:exposure.type: 'Tunnel': "),
        ({"exposure": {"type": "Ingress"}}, "modelstack:exposure: is Ingress without a host; add `host`"),
        (
            {"exposure": {**INGRESS, "host": "https://a.example"}},
            "modelstack:exposure: host: 'https://a.example': is no",
        ),
        ({"exposure": {**INGRESS, "host": "192.0.2.7"}}, "modelstack:exposure: host: '192.0.2.7': is no name of DNS"),
        (
            {"exposure": {"type": "ClusterIP", "host": "a"}},
            "modelstack:exposure: host: is of type NodePort or Ingress or",
        ),
        (
            {"exposure": {"type": "LoadBalancer", "tlsSecret": "a"}},
            "modelstack:exposure: tlsSecret: is of type Ingress",
        ),
        (
            {"exposure": {**INGRESS, "parent": {"name": "a"}}},
            "modelstack:exposure: parent: is of type HTTPRoute, not Ing",
        ),
        (
            {"exposure": {**INGRESS, "type": "HTTPRoute"}},
            "modelstack:exposure: is HTTPRoute without a parent; add `par",
        ),
        ({"exposure": {"allow": {}}}, "modelstack:exposure.allow: names nobody; add `namespaces` or `cidrs`"),
        (
            {"exposure": {"allow": {"cidrs": ["10.0.0.1/8"]}}},
            "modelstack:exposure.allow.cidrs: '10.0.0.1/8': is no netw",
        ),
        (
            {"exposure": INGRESS, "gateway": {"enabled": True, "tls": {"secret": "a"}}},  # pragma: allowlist secret
            "modelstack: gateway.tls: is for clients that reach the gateway itself, Ingress passes plain HTTP on; ",
        ),
        (
            {"exposure": INGRESS, "gateway": {"enabled": True, "limit": {"requests": 5}}},
            "modelstack: gateway.limit: counts addresses without keys or jwt, and with Ingress all clients have that ",
        ),
        ({"models": model(priority="High")}, "modelstack:models.digits.priority: 'High': "),
        ({"exposure": {"type": "NodePort"}}, "modelstack:exposure: is NodePort without a host; add `host`"),
        ({"cluster": {"context": "prod"}}, "modelstack:cluster: names a context without a kubeconfig"),
        ({"cluster": {"kubeconfig": "~/k"}}, "modelstack: cluster names a kubeconfig but modelstack:registry is mis"),
        ({**OWN_CLUSTER, "base": ""}, "modelstack: cluster names a kubeconfig but modelstack:base is missing"),
        ({"registry": {"pull": "mirror.example"}}, "modelstack: registry.push: is missing"),
        ({"registry": {"push": "r.example", "prefix": "Review"}}, "modelstack:registry.prefix: 'Review': "),
        (
            {"registry": {"push": "r.example", "signingKey": "a.key"}},
            "modelstack:registry: names a signingKey without publicKeys; add `publicKeys`",
        ),
        ({"registry": {"push": "r.example", "publicKeys": "a.pub"}}, "modelstack:registry.publicKeys: 'a.pub': "),
        ({"gateway": {"replicas": 0}}, "modelstack:gateway.replicas: 0: "),
        (
            {"gateway": {"retryBytes": 1 << 20}},
            "modelstack:gateway: connections: 4000 that hold retryBytes 1048576 each are 4000 MiB, more than half",
        ),
        ({"gateway": {"keys": {"alice": {"sha256": "short"}}}}, "modelstack:gateway.keys.alice.sha256: 'short': "),
        ({"gateway": {"jwt": {**JWT, "publicKey": "a.pem"}}}, "modelstack:gateway.jwt.publicKey: 'a.pem': "),
        ({"gateway": {"jwt": {**JWT, "issuer": "it's"}}}, 'modelstack:gateway.jwt.issuer: "it\'s": '),
        ({"gateway": {"jwt": JWT, "keys": {"alice": {"sha256": "0" * 64}}}}, "modelstack:gateway: names keys and jwt;"),
    ],
)
def test_a_wrong_value_names_key_value_and_limit(config: dict[str, Any], says: str) -> None:
    assert refused(**config).startswith(says)


def test_a_private_key_in_place_of_its_name_is_refused_and_not_repeated() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nsecret"  # pragma: allowlist secret
    said = refused(registry={"push": "r.example", "signingKey": pem, "publicKeys": ["a.pub"]})
    assert said.startswith("modelstack:registry.signingKey: is a private key itself")
    assert "secret" not in said


def test_a_model_name_that_is_no_label_is_refused() -> None:
    assert "My_Model" in refused(models={"My_Model": MODELS["digits"]})


@pytest.mark.parametrize("name", ["prometheus", "gateway", "gateway-pods", "digits-pods", "digits-canary-pods"])
def test_a_model_cannot_take_the_name_of_another_object(name: str) -> None:
    assert f"models: '{name}' is the name of another object" in refused(models={**MODELS, name: MODELS["digits"]})


@pytest.mark.parametrize(
    ("quantity", "found"),
    [("2", 2), ("250m", 0.25), ("1.5", 1.5), ("64Ki", 65536), ("512Mi", 512 << 20), ("2G", 2e9)],
)
def test_a_quantity_stands_for_what_kubernetes_reads(quantity: str, found: float) -> None:
    assert amount(Resources(memory_limit=quantity).memory_limit) == found


def test_a_gateway_with_the_memory_for_it_may_hold_more_of_each_request() -> None:
    found = load(gateway={"retryBytes": 1 << 20, "resources": {"memoryLimit": "8Gi"}})
    assert found.gateway.retry_bytes == 1 << 20


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().models["digits"].replicas = 3


def embedded(tmp_path: Path, **changes: Any) -> dict[str, str]:
    """Write connection.json, and return the environment that leads to it."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "connection.json").write_text(json.dumps({**CONNECTION, **changes}))
    return {"MODELSTACK_DATA": str(tmp_path), "MODELSTACK_INSTANCE": "one"}


def test_without_a_kubeconfig_the_embedded_platform_is_the_place(tmp_path: Path) -> None:
    found = place.find(load(), embedded(tmp_path))
    assert (found.kubeconfig, found.registry.push, found.context) == ("/data/test/kubeconfig", "127.0.0.1:7401", None)
    assert found.exposure == ExposureSettings(type="NodePort", host="127.0.0.1")


def test_keys_and_prefix_reach_the_registry(tmp_path: Path) -> None:
    keys = {"signingKey": "env://KEY", "publicKeys": ["a.pub", "b.pub"]}
    found = place.find(load(registry={"push": "r.example", "prefix": "review", **keys}), embedded(tmp_path)).registry
    assert (found.prefix, found.signing_key, found.public_keys) == ("review", "env://KEY", ("a.pub", "b.pub"))


def test_a_platform_that_is_not_up_names_the_command_and_the_other_way(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"connection\.json cannot be read\); run `python -m local up`, or name a"):
        place.find(load(), {"MODELSTACK_DATA": str(tmp_path)})


def test_a_connection_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="version 2 is not 1; run `python -m local up` again"):
        place.find(load(), embedded(tmp_path, version=2))


def test_the_default_instance_lies_below_the_systems_data() -> None:
    assert place.connection_file({}) == Path("/var/lib/modelstack/default/connection.json")


def test_a_kubeconfig_that_is_no_file_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"modelstack:cluster\.kubeconfig: '~/kubeconfig' is no file"):
        place.find(load(**OWN_CLUSTER), {"HOME": "/nonexistent"})


@pytest.mark.parametrize("spelled", ["runtime: {name: triton}", "runtime:\n  max_batch_size: 4\n  name: 'triton'"])
def test_a_recipe_of_another_server_needs_that_servers_image(tmp_path: Path, spelled: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: digits\n{spelled}\n")
    said = refused(models=model(recipe=str(recipe)))
    assert said.startswith("modelstack:models.digits.base: is missing;")
    assert "is served by triton, name that server's image" in said
    named = load(models=model(recipe=str(recipe), base="registry.example/server:1")).models["digits"]
    assert named.base == "registry.example/server:1"


def test_a_registry_names_where_other_stacks_images_are_copied_from() -> None:
    origin = {"prefix": "team/shop", "publicKeys": ["release.pub"]}
    found = load(registry={"push": "registry.example", "prefix": "review/7", "copyFrom": origin}).registry
    assert found is not None
    assert found.copy_from is not None
    assert (found.copy_from.prefix, found.copy_from.public_keys) == ("team/shop", ("release.pub",))


def test_a_prefix_that_leads_out_of_its_place_is_refused() -> None:
    for key in ("prefix", "copyFrom"):
        value = "../modelstack" if key == "prefix" else {"prefix": "../modelstack"}
        said = refused(registry={"push": "registry.example", key: value})
        assert said.startswith(f"modelstack:registry.{key}")


def test_a_mark_of_a_review_stack_that_was_written_by_hand_is_held_to_its_form() -> None:
    assert refused(review={"pullRequest": 7, "expires": "tomorrow"}).startswith("modelstack:review.")

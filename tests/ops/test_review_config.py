"""The settings that a review stack is given, as its program would load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import settings
from components import place
from ops.engine import Engine, EngineError
from ops.review import config
from ops.review.about import About
from ops.review.keys import PRIVATE, PUBLIC, pair_of
from ops.review.names import stack_of
from ops.review.table import duration, rows
from settings import ReviewSettings, Settings
from tests.components.programs import CONNECTION

MARK = ReviewSettings(
    pull_request=7,
    owner="someone",
    created="2026-01-01T00:00:00Z",
    expires="2026-01-02T00:00:00Z",
    project="shop",
    namespace="shop-review-7",
    cluster="a" * 16,
    registry="registry.example/review/team/shop/7",
    source="test",
)
PINNED = "registry.example/base@sha256:" + "b" * 64


def own_cluster(project: Path, **further: Any) -> dict[str, Any]:
    """Return the settings of a stack on a cluster of one's own, whose files are there."""
    (project / "models/digits").mkdir(parents=True)
    (project / "models/digits/recipe.yaml").write_text("name: digits\n")
    (project / "kubeconfig").write_text("")
    registry = {
        "push": "registry.example",
        "prefix": "team/shop",
        "publicKeys": ["release.pub"],
        "signingKey": "env://KEY",
    }
    return {
        "modelstack:models": {"digits": {"recipe": "models/digits/recipe.yaml", "replicas": 1}},
        "modelstack:cluster": {"kubeconfig": str(project / "kubeconfig"), "context": "staging"},
        "modelstack:registry": registry,
        "modelstack:base": "registry.example/base:12",
        "modelstack:namespace": "shared",
        **further,
    }


def source_of(project: Path, document: dict[str, Any]) -> config.Source:
    (project / "Pulumi.test.yaml").write_text(yaml.safe_dump(document))
    return config.read(project, "test")


def loaded(project: Path, document: dict[str, Any]) -> Settings:
    """Return a document as the engine hands it to the program."""
    texts = {key: one if isinstance(one, str) else json.dumps(one) for key, one in document["config"].items()}
    return settings.load(texts, project, stack_of(7))


def test_it_pushes_below_a_prefix_and_trusts_a_key_of_its_own_alone(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"config": own_cluster(tmp_path)})
    chosen = loaded(tmp_path, config.document(source, MARK, {}))
    assert chosen.registry is not None
    assert chosen.registry.prefix == "review/team/shop/7"
    assert not "review/team/shop/7/".startswith(source.here.registry.prefix)
    assert (chosen.registry.signing_key, chosen.registry.public_keys) == (f"env://{PRIVATE}", (f"env://{PUBLIC}",))
    assert chosen.registry.copy_from is not None
    assert (chosen.registry.copy_from.prefix, chosen.registry.copy_from.public_keys) == ("team/shop", ("release.pub",))


def test_it_has_the_namespace_of_its_name_and_the_mark(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"config": own_cluster(tmp_path)})
    chosen = loaded(tmp_path, config.document(source, MARK, {}))
    assert chosen.namespace is None
    assert chosen.review == MARK
    assert chosen.cluster.context == "staging"


def test_what_the_source_stack_has_pinned_stays_pinned(tmp_path: Path) -> None:
    models = {"digits": {"recipe": "models/digits/recipe.yaml", "base": "registry.example/base:12"}}
    source = source_of(tmp_path, {"config": own_cluster(tmp_path, **{"modelstack:models": models})})
    prometheus = source.chosen.images.prometheus
    state = {
        "deployment": {
            "resources": [
                {"type": config.PINNED, "outputs": {"image": "registry.example/base:12", "reference": PINNED}},
                {"type": config.PINNED, "outputs": {"image": prometheus, "reference": f"{prometheus}@pinned"}},
                {"type": config.PINNED, "outputs": {}},
            ]
        }
    }
    chosen = loaded(tmp_path, config.document(source, MARK, config.pins_of(state)))
    assert (chosen.base, chosen.models["digits"].base) == (PINNED, PINNED)
    assert chosen.images.prometheus == f"{prometheus}@pinned"


def test_a_name_that_leads_to_the_source_stack_leads_to_no_other(tmp_path: Path) -> None:
    exposure = {"type": "Ingress", "host": "models.example.com", "className": "nginx"}
    source = source_of(tmp_path, {"config": own_cluster(tmp_path, **{"modelstack:exposure": exposure})})
    chosen = loaded(tmp_path, config.document(source, MARK, {}))
    assert chosen.exposure is not None
    assert (chosen.exposure.host, chosen.exposure.class_name) == ("review-7.models.example.com", "nginx")


def test_what_encrypts_the_source_stacks_secrets_is_not_copied_but_for_its_provider(tmp_path: Path) -> None:
    encryption = {"encryptionsalt": "x", "encryptedkey": "x"}  # pragma: allowlist secret
    encryption["secretsprovider"] = "awskms://alias/x"  # pragma: allowlist secret
    source = source_of(tmp_path, {**encryption, "config": own_cluster(tmp_path)})
    assert set(config.document(source, MARK, {})) == {"config"}
    assert source.secrets_provider == "awskms://alias/x"  # pragma: allowlist secret


@pytest.mark.parametrize("secret", [{"secure": "v1:x"}, {"keys": [{"secure": "v1:x"}]}])
def test_a_secret_that_only_the_source_stack_can_read_is_refused_by_its_key(tmp_path: Path, secret: Any) -> None:
    with pytest.raises(EngineError, match=r"Pulumi.test.yaml: other:token: is a secret") as caught:
        source_of(tmp_path, {"config": own_cluster(tmp_path, **{"other:token": secret})})
    assert "\n" not in str(caught.value)


def test_settings_that_are_not_there_or_wrong_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"--from: Pulumi.none.yaml cannot be read"):
        config.read(tmp_path, "none")
    (tmp_path / "Pulumi.test.yaml").write_text("[a list]")
    with pytest.raises(EngineError, match=r"--from: Pulumi.test.yaml cannot be read"):
        config.read(tmp_path, "test")
    (tmp_path / "Pulumi.test.yaml").write_text("config: {modelstack:models: {}}")
    with pytest.raises(EngineError, match=r"Pulumi.test.yaml: modelstack:models"):
        config.read(tmp_path, "test")


def test_on_the_embedded_platform_it_names_what_that_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cluster(tmp_path)
    data = tmp_path / "data"
    (data / "default").mkdir(parents=True)
    (data / "default" / "connection.json").write_text(json.dumps(CONNECTION))
    monkeypatch.setenv("MODELSTACK_DATA", str(data))
    monkeypatch.delenv("MODELSTACK_INSTANCE", raising=False)
    source = source_of(tmp_path, {"config": {"modelstack:models": {"digits": {"recipe": "models/digits/recipe.yaml"}}}})
    chosen = loaded(tmp_path, config.document(source, MARK, {}))
    here = place.find(chosen)
    assert here.registry.push == source.here.registry.push
    assert here.registry.prefix == "review/modelstack/7"
    assert here.base == source.here.base


def test_a_pair_shows_no_private_half_when_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho '[]'\n")
    (tmp_path / "pulumi").chmod(0o755)
    made = pair_of(Engine(tmp_path, "review-7", {"PATH": f"{tmp_path}:/usr/bin:/bin"}))
    assert "PRIVATE KEY" in made.variables[PRIVATE]
    assert "PRIVATE" not in repr(made)


def test_the_pair_of_earlier_updates_is_taken_again(tmp_path: Path) -> None:
    engine = Engine(tmp_path, "review-7", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    script = tmp_path / "pulumi"
    script.write_text("#!/bin/sh\necho '[]'\n")
    script.chmod(0o755)
    made = pair_of(engine)
    updates = [{"config": {}}, {"config": {"review:signingKey": {"value": made.private, "secret": True}}}]
    (tmp_path / "told").write_text(json.dumps(updates))
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/told\n")
    assert pair_of(engine) == made


def test_durations_are_in_their_largest_unit() -> None:
    found = [duration(one) for one in (0, 59, 60, 3600, 86399, 86400, -30, -7200)]
    assert found == ["0s", "59s", "1m", "1h", "23h", "1d", "30s ago", "2h ago"]


def test_the_table_has_a_line_a_model() -> None:
    digest = f"sha256:{'c' * 64}"
    one = About(
        "review-7",
        7,
        "running",
        owner="someone",
        expires="2026-01-02T00:00:00Z",
        age_seconds=7200,
        expires_in_seconds=3600,
        endpoint={"digits": "http://a", "mnist": "http://b"},
        models={"digits": {"digest": digest, "recipe": "models/digits/recipe.yaml"}},
    )
    head, first, second, third = rows([one, About("review-8", 8, "unknown")])
    assert head.split() == ["PR", "OWNER", "STATE", "AGE", "EXPIRES", "IN", "MODELS", "ENDPOINT"]
    assert first.split() == ["7", "someone", "running", "2h", "1h", "digits", digest[:19], "http://a"]
    assert second.split() == ["mnist", "http://b"]
    assert third.split() == ["8", "?", "unknown", "?", "?"]


def test_a_stack_that_makes_its_cluster_lends_it_to_no_review_stack(tmp_path: Path) -> None:
    own_cluster(tmp_path)
    aws = {"region": "eu-central-1", "account": "1" * 12, "admins": [f"arn:aws:iam::{'1' * 12}:role/deploy"]}
    models = {"digits": {"recipe": "models/digits/recipe.yaml"}}
    document = {"config": {"modelstack:aws": aws, "modelstack:base": PINNED, "modelstack:models": models}}
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(EngineError, match=r"Pulumi\.prod\.yaml makes a cluster of its own"):
        config.read(tmp_path, "prod")


def test_a_pin_of_the_source_is_not_the_review_stacks(tmp_path: Path) -> None:
    told = own_cluster(tmp_path)
    told["modelstack:models"]["digits"]["pin"] = f"sha256:{'0' * 64}"
    made = config.document(source_of(tmp_path, {"config": told}), MARK, {})
    assert made["config"]["modelstack:models"]["digits"] == {"recipe": "models/digits/recipe.yaml", "replicas": 1}

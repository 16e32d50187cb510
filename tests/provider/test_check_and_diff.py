"""What the provider says about inputs before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN

from tests.provider.conftest import Provider

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}  # pragma: allowlist secret


def test_check_adds_the_inputs_hash_and_says_that_it_is_the_first_build(
    provider: Provider, inputs: dict[str, Any]
) -> None:
    checked, failures = provider.check(inputs)
    assert failures == {}
    assert len(checked["inputsHash"]) == 64
    assert checked["reason"] == "first build"
    assert checked["parsed"]["steps"][2]["quantize"]["calibration_samples"] == 200


def test_a_changed_recipe_is_told_by_key_old_and_new_value(
    provider: Provider, inputs: dict[str, Any], project: Path
) -> None:
    before, _ = provider.check(inputs)
    recipe = project / "tiny/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("calibration_samples: 200", "calibration_samples: 100"))
    after, failures = provider.check(inputs, before)
    assert failures == {}
    assert after["inputsHash"] != before["inputsHash"]
    assert after["reason"] == "recipe: steps.quantize.calibration_samples: 200 → 100"


def test_a_changed_model_source_is_told_without_naming_the_recipe(
    provider: Provider, inputs: dict[str, Any], project: Path
) -> None:
    before, _ = provider.check(inputs)
    (project / "tiny/model.py").write_text("def build(): return 1\n")
    assert provider.check(inputs, before)[0]["reason"] == "model sources changed"


def test_unchanged_inputs_keep_hash_and_reason(provider: Provider, inputs: dict[str, Any]) -> None:
    before, _ = provider.check(inputs)
    after, _ = provider.check(inputs, before)
    assert after == before
    assert (
        provider.diff(before | {"tag": tag_of(provider, inputs)}, after).changes == provider_pb2.DiffResponse.DIFF_NONE
    )


def tag_of(provider: Provider, inputs: dict[str, Any]) -> str:
    _, outputs = provider.create(provider.check(inputs)[0], preview=True)
    return str(outputs["tag"])


def test_a_diff_points_at_the_changed_key_of_the_recipe(
    provider: Provider, inputs: dict[str, Any], project: Path
) -> None:
    before, _ = provider.check(inputs)
    recipe = project / "tiny/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("calibration_samples: 200", "calibration_samples: 100"))
    after, _ = provider.check(inputs, before)
    answer = provider.diff(before | {"tag": tag_of(provider, inputs)}, after)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == []
    assert set(answer.detailedDiff) == {
        "inputsHash",
        "parsed.steps[2].quantize.calibration_samples",
        "reason",
    }


def test_another_repository_asks_for_a_new_resource(provider: Provider, inputs: dict[str, Any]) -> None:
    before, _ = provider.check(inputs)
    after, _ = provider.check(inputs | {"repository": "modelstack/other"}, before)
    answer = provider.diff(before | {"tag": tag_of(provider, inputs)}, after)
    assert list(answer.replaces) == ["repository"]
    assert answer.detailedDiff["repository"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


@pytest.mark.parametrize(
    ("change", "property_name", "said"),
    [
        ({"recipe": "tiny/nowhere.yaml"}, "recipe", "tiny/nowhere.yaml"),
        ({"recipe": ""}, "recipe", "is missing"),
        ({"recipe": 3}, "recipe", "3 is not text"),
        ({"base": "127.0.0.1:1/modelstack/base:latest"}, "base", "has no digest"),
        ({"base": ""}, "base", "is missing"),
        ({"push": "http://127.0.0.1:1"}, "push", "HOST[:PORT]"),
        ({"repository": "Model Stack"}, "repository", "lower-case"),
        ({"replicas": 3}, "replicas", "is no input of ModelImage"),
    ],
)
def test_a_wrong_input_is_one_failure_that_names_key_and_value(
    provider: Provider, inputs: dict[str, Any], change: dict[str, Any], property_name: str, said: str
) -> None:
    checked, failures = provider.check(inputs | change)
    assert checked == {}
    assert list(failures) == [property_name]
    assert said in failures[property_name]
    assert "\n" not in failures[property_name]


def test_an_unknown_key_in_the_recipe_fails_the_check(
    provider: Provider, inputs: dict[str, Any], project: Path
) -> None:
    recipe = project / "tiny/recipe.yaml"
    recipe.write_text(recipe.read_text() + "colour: red\n")
    _, failures = provider.check(inputs)
    assert list(failures) == ["recipe"]
    assert "colour" in failures["recipe"]
    assert "'red'" in failures["recipe"]


def test_an_unknown_base_makes_everything_that_follows_unknown(provider: Provider, inputs: dict[str, Any]) -> None:
    checked, failures = provider.check(inputs | {"base": UNKNOWN})
    assert failures == {}
    assert checked["inputsHash"] == UNKNOWN
    _, outputs = provider.create(checked, preview=True)
    assert {outputs[key] for key in ("image", "digest", "steps", "metrics")} == {UNKNOWN}


def test_a_secret_input_stays_secret(provider: Provider, inputs: dict[str, Any]) -> None:
    hidden = SECRET | {"value": "modelstack/tiny"}
    checked, failures = provider.check(inputs | {"repository": hidden})
    assert failures == {}
    assert checked["repository"] == hidden
    _, outputs = provider.create(checked, preview=True)
    assert outputs["repository"] == hidden


def test_a_preview_with_the_registry_down_warns_and_leaves_the_digest_unknown(
    provider: Provider, inputs: dict[str, Any]
) -> None:
    checked, _ = provider.check(inputs)
    identifier, outputs = provider.create(checked, preview=True)
    assert identifier == ""
    assert outputs["digest"] == UNKNOWN
    assert "127.0.0.1:1" in provider.engine.said()
    assert "to be built (first build)" in provider.engine.said()


def test_an_up_with_the_registry_down_is_one_clear_error(provider: Provider, inputs: dict[str, Any]) -> None:
    checked, _ = provider.check(inputs)
    with pytest.raises(grpc.RpcError, match=r"127\.0\.0\.1:1") as caught:
        provider.create(checked)
    assert "\n" not in caught.value.details()


def test_a_resource_of_an_unknown_type_is_refused_by_name(provider: Provider) -> None:
    provider.urn = "urn:pulumi:dev::p::modelstack:index:Nothing::x"
    with pytest.raises(grpc.RpcError, match="modelstack:index:Nothing"):
        provider.check({})

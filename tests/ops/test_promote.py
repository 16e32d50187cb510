"""`ops test` and `ops promote` between stacks of a real engine and real registries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.rpc import UNKNOWN

from model_build.oci.registry import Registry
from model_build.supply.subject import Subject
from model_build.supply.tested import PREDICATE, attach_record, records
from ops import load, model_images
from ops.engine import Engine, resources
from ops.model_images import TYPE, ModelImage
from ops.promotion import Promotion, missed
from ops.under_test import RefusedError, key_for
from tests.ops.shops import MODEL, Ops, Shop, at_home, open_shop
from tests.provider.stacks import Stack
from tests.signing import a_key

pytestmark = pytest.mark.timeout(600)
DEV = "dev"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture(scope="module")
def dev(shop: Shop) -> Stack:
    """A stack that is up with the signed image."""
    shop.push(shop.hosts[0], "dev")
    stack = shop.stack(DEV, shop.hosts[0], "dev", signs=True)
    done = stack.run("up")
    assert done.code == 0, done.said
    return stack


@pytest.fixture
def ops(shop: Shop, dev: Stack, monkeypatch: pytest.MonkeyPatch) -> Ops:
    return at_home(shop, monkeypatch)


@pytest.fixture
def image(shop: Shop, dev: Stack) -> Subject:
    """The image that dev runs, without a record of tests."""
    digest = dev.outputs()["image"].partition("@")[2]
    descriptor = Registry(shop.hosts[0]).head(f"dev/{MODEL}", digest)
    assert descriptor is not None
    return Subject(Registry(shop.hosts[0]), f"dev/{MODEL}", descriptor)


def recorded(shop: Shop, image: Subject) -> dict[str, bool]:
    return {one.suite: one.ok for one in records(image, [shop.key.public])}


def refusals(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("preview of ")]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (said,) = refusals(capsys)
    return said


def test_a_tested_image_has_a_signed_record_of_both_suites(ops: Ops, shop: Shop, image: Subject) -> None:
    assert ops.test(DEV) == 0
    assert recorded(shop, image) == {"functional": True, "load": True}
    functional, under_load = records(image, [shop.key.public])
    assert functional.passed == (
        "ready",
        "metadata",
        "golden",
        "held-out",
        "refuses-malformed-json",
        "refuses-wrong-shape",
    )
    assert functional.figures["accuracy"] == 1.0
    assert under_load.figures["requests"] == 30
    assert under_load.figures["answers"] == {"200": 30}


def test_a_dry_run_records_nothing(ops: Ops, shop: Shop, image: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    before = records(image, [shop.key.public])
    assert ops.test(DEV, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recorded"] is False
    assert told["models"][MODEL]["suites"]["load"]["ok"] is True
    assert records(image, [shop.key.public]) == before


def test_a_limit_that_is_missed_is_exit_code_1_and_recorded_as_failed(
    ops: Ops, shop: Shop, image: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ops.test(DEV, "--max-p99", "0.000001") == 1
    assert recorded(shop, image) == {"functional": True, "load": False}
    assert "load/p99: p99 is " in one_line(capsys)
    assert ops("promote", DEV, "staging") == 1
    assert "Pulumi.staging.yaml is no file" in one_line(capsys)


def test_a_model_that_the_stack_does_not_run_is_exit_code_2(ops: Ops, capsys: pytest.CaptureFixture[str]) -> None:
    assert ops.test("dev", "--model", "other") == 2
    assert "'other' is no model that stack 'dev' runs, it runs tiny" in one_line(capsys)


@pytest.fixture
def moved(shop: Shop, dev: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The state names another digest as soon as the load was sent; as before after the test."""
    engine = Engine(shop.folder, DEV, dev.environment)
    state, other = engine.export(), engine.export()
    (resource,) = [one for one in resources(other) if one["type"] == TYPE]
    resource["outputs"]["digest"] = f"sha256:{'9' * 64}"
    send = load.send

    def sent(*arguments: Any) -> Any:
        done = send(*arguments)
        engine.replace_state(other)
        return done

    monkeypatch.setattr(load, "send", sent)
    yield
    engine.replace_state(state)


@pytest.mark.usefixtures("moved")
def test_a_digest_that_changed_during_the_test_records_nothing(
    ops: Ops, shop: Shop, image: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    before = records(image, [shop.key.public])
    assert ops.test(DEV) == 3
    assert "nothing is recorded, test again" in one_line(capsys)
    assert records(image, [shop.key.public]) == before


@pytest.fixture(scope="module")
def staging(shop: Shop) -> Stack:
    """A stack with a registry of its own and the public half of the key alone; nothing of it is up."""
    return shop.stack("staging", shop.hosts[1], "staging")


def test_an_untested_image_is_refused_by_the_name_of_each_test(
    ops: Ops, shop: Shop, image: Subject, staging: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in records(image, [shop.key.public]):
        attach_record(image, replace(one, ended="2999-01-01T00:00:00Z", passed=(), failed=("p99",)), shop.key)
    assert ops("promote", DEV, "staging") == 3
    assert [line.split(" of sha256:")[0] for line in refusals(capsys)] == [
        "refused: tiny: tests: the functional test",
        "refused: tiny: tests: the load test",
    ]
    assert Registry(shop.hosts[1]).tags(f"staging/{MODEL}") == []


def test_a_tested_image_is_copied_and_the_targets_preview_builds_nothing(
    ops: Ops, shop: Shop, image: Subject, staging: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in records(image, [shop.key.public]):
        attach_record(image, replace(one, ended="2999-01-02T00:00:00Z", passed=("p99",), failed=()), shop.key)
    assert ops("promote", DEV, "staging", "--dry-run", "--json") == 0
    foretold = json.loads(capsys.readouterr().out)["models"][MODEL]
    assert foretold["before"] is None
    assert foretold["bytes_sent"] > 0
    assert Registry(shop.hosts[1]).tags(f"staging/{MODEL}") == []
    assert ops("promote", DEV, "staging") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == [MODEL, "none", image.digest[:19]]
    done = staging.run("preview")
    operation, outputs = done.planned(TYPE)
    assert (operation, outputs["digest"]) == ("create", image.digest)
    assert [one for one in done.messages() if "nothing to build" in one], done.said
    done = staging.run("up")
    assert done.code == 0, done.said
    assert staging.outputs()["image"] == f"{shop.hosts[1]}/staging/{MODEL}@{image.digest}"


def test_a_second_promotion_sends_nothing(
    ops: Ops, image: Subject, staging: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ops("promote", DEV, "staging", "--json") == 0
    found = json.loads(capsys.readouterr().out)["models"][MODEL]
    assert found["bytes_sent"] == 0
    assert found["before"]["digest"] == image.digest


def test_what_was_tested_comes_along(shop: Shop, image: Subject, staging: Stack) -> None:
    copy = Subject(Registry(shop.hosts[1]), f"staging/{MODEL}", image.descriptor)
    assert records(copy, [shop.key.public]) == records(image, [shop.key.public])
    assert {one.predicate_type for one in copy.statements()} == {PREDICATE, "https://slsa.dev/provenance/v1"}


@pytest.fixture
def origin(shop: Shop, dev: Stack) -> ModelImage:
    """The image as the state of dev records it."""
    return model_images.of_state(Engine(shop.folder, DEV, dev.environment).export())[MODEL]


def lack(shop: Shop, origin: ModelImage, **asked: Any) -> str:
    """Return the one thing that keeps the image from a target which asks for something else than dev."""
    target = replace(origin, values={**origin.values, "push": shop.hosts[1], "repository": f"other/{MODEL}", **asked})
    (found,) = Promotion(shop.folder, DEV, origin, target, None).lacks()
    return found


def test_other_inputs_are_refused_by_the_name_of_the_part_that_differs(shop: Shop, origin: ModelImage) -> None:
    parts = {**origin.mapping("parts"), "model sources": "0" * 64}
    said = lack(shop, origin, inputsHash="0" * 64, parts=parts)
    assert "these differ: model sources; check out the commit that dev runs" in said


def test_a_stack_that_trusts_another_key_takes_nothing(shop: Shop, origin: ModelImage) -> None:
    (shop.folder / "strange.pub").write_bytes(a_key(shop.folder, "stranger").public.pem)
    said = lack(shop, origin, publicKeys=["strange.pub"])
    assert said.startswith("signature: ")
    assert "is signed by another key" in said


def test_a_target_that_has_another_image_of_the_same_inputs_is_refused(shop: Shop, origin: ModelImage) -> None:
    other = shop.push(shop.hosts[1], "taken", "other")
    said = lack(shop, origin, repository=f"taken/{MODEL}")
    assert said.startswith(f"digest: {shop.hosts[1]}/taken/tiny has {other.digest} of the same inputs")


def test_a_target_that_runs_another_image_of_the_same_inputs_is_told_to_pin(shop: Shop, origin: ModelImage) -> None:
    before = replace(origin, values={**origin.values, "digest": f"sha256:{'8' * 64}"})
    (said,) = Promotion(shop.folder, DEV, origin, origin, before).lacks()
    assert said.endswith(f"pin the other with `modelstack:models.tiny.pin: {origin.digest}`")


def beyond(**values: Any) -> ModelImage:
    """An image of a registry beyond this machine, which no key vouches for; nothing is asked there."""
    known = {"push": "registry.example", "repository": "models/tiny", "recipe": "r", "base": "b", "inputsHash": "1"}
    return ModelImage("urn:pulumi:dev::shop::modelstack:index:ModelImage::tiny", {**known, "digest": "d", **values})


def test_a_target_beyond_this_machine_that_trusts_no_key_takes_nothing(tmp_path: Path) -> None:
    (said,) = Promotion(tmp_path, DEV, beyond(), beyond(), None).lacks()
    assert said.startswith("registry.publicKeys: is not set in the target, and on registry.example no image counts")


def test_inputs_that_the_preview_does_not_know_are_told_with_the_remedy(tmp_path: Path) -> None:
    (said,) = Promotion(tmp_path, DEV, beyond(), beyond(inputsHash=UNKNOWN), None).lacks()
    assert said.endswith("name the base by digest")


def test_a_record_that_nobody_could_sign_is_refused_beyond_this_machine(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"a record that nobody signed counts for nothing on registry\.example"):
        key_for(None, tmp_path, beyond())


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"metrics": {"accuracy": 0.98}}, "gates.min_accuracy: accuracy is 0.9800, the limit is at least 0.99; "),
        ({"metrics": {}}, "gates: the report lacks a figure"),
        ({"metrics": {"accuracy": 1.0}, "refused": {}}, "gates: no report of figures"),
        ({}, "gates: no report of figures"),
    ],
)
def test_a_gate_that_the_report_misses_is_named(report: dict[str, Any], said: str) -> None:
    (found,) = missed(report, {"gates": {"min_accuracy": 0.99}})
    assert found.startswith(said)

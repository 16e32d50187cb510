"""Policies, as `make preview` has them judge the stack that is up."""

from __future__ import annotations

import pytest

from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

MODELS = "modelstack:models:"
PROD = f"modelstack:environment: prod\n  modelstack:monitoring: {{storage: 1Gi}}\n  {MODELS}"


def test_the_stack_as_it_is_keeps_every_policy(dev: Checkout) -> None:
    said = dev.must("preview", ARGS="--expect-no-changes")
    assert "✅ modelstack@v0.1.0 (local: policy)" in said


def test_the_same_stack_as_prod_is_refused_by_name_property_and_remedy(dev: Checkout) -> None:
    with dev.edited("Pulumi.dev.yaml", MODELS, PROD):
        done = dev.make("preview")
    assert done.code != 0
    for model in ("digits", "mnist"):
        image = f"modelstack:index:ModelImage {model}"
        assert f"{image}: publicKeys: names no key, so that nobody looks at the image's signature; list" in done.said
        assert f"{image}: modelstack:models.{model}.slo: is missing; set" in done.said
        assert f"kubernetes:apps/v1:Deployment {model}: kind: Deployment rolls a new version out" in done.said
    # The program protects what Prometheus stores, and its recipes have gates.
    assert "protect-stateful" not in done.said
    assert "gates-in-prod" not in done.said
    dev.must("preview", ARGS="--expect-no-changes")

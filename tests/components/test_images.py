"""The list of third-party images: what the settings name, and what the embedded platform makes."""

from __future__ import annotations

import pytest

from components import images
from local import specs
from model_build.oci.reference import Reference
from settings import ImageSettings, Settings, SettingsError
from tests.test_settings import load, model

LISTED = [info.alias or name for name, info in ImageSettings.model_fields.items()]


def every() -> Settings:
    """The settings of a stack that runs all it can."""
    return load()


def test_the_embedded_platform_makes_every_image_of_the_list_but_those_of_gpus_under_its_name() -> None:
    listed = [name for name in LISTED if name not in images.OF_POOLS]
    assert [spec.name for spec in specs.ON_DEMAND] == [*listed, images.METRICS, images.KEDA]


@pytest.mark.parametrize("name", LISTED)
def test_every_image_of_the_list_has_a_tag_by_default(name: str) -> None:
    assert Reference.parse(ImageSettings().reference(name)).tag


def test_what_a_stack_needs_is_on_the_list() -> None:
    assert set(images.needed(every())) <= set(LISTED)


def test_nothing_is_made_of_what_the_settings_name_themselves() -> None:
    assert images.to_bake(load(images={"prometheus": "registry.example/prometheus:1"})) == ()


def test_what_tells_of_cpu_is_made_for_a_stack_that_is_scaled_by_it() -> None:
    assert images.to_bake(load(models=model(scale={"max": 2, "cpu": 70}))) == ("prometheus", "metrics-server")


def test_what_reads_series_is_made_for_a_stack_that_is_scaled_by_them() -> None:
    by_series = load(models=model(scale={"max": 2, "requests": 8}))
    assert images.to_bake(by_series) == ("prometheus", "keda")
    with pytest.raises(SettingsError, match=r"scaled by waiting or requests, .* run `python -m local bake keda`"):
        images.references(by_series, {"prometheus": "registry.example/prometheus:1"})


def test_a_platform_that_cannot_tell_of_cpu_is_refused_with_what_to_run() -> None:
    scaled, baked = load(models=model(scale={"max": 2, "cpu": 70})), {"prometheus": "registry.example/prometheus:1"}
    with pytest.raises(SettingsError, match="has no metrics-server yet; run `python -m local bake metrics-server`"):
        images.references(scaled, baked)
    assert images.references(scaled, {**baked, "metrics-server": "registry.example/metrics:1"}) == baked


def test_nothing_is_made_for_monitoring_that_is_left_out() -> None:
    assert images.needed(load(monitoring={"enabled": False})) == ()


def test_elsewhere_an_image_is_the_one_of_the_settings_or_of_docker_hub() -> None:
    assert images.references(load()) == {"prometheus": ImageSettings().prometheus}
    named = {"prometheus": "registry.example/prometheus:1"}
    assert images.references(load(images=named)) == named

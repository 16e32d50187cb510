"""`local bake`: images that stacks run besides their models, made when they are asked for, and kept."""

import pytest

from local import bake, connection, specs
from local.errors import RefusedError
from local.instance import Instance, locate
from local.steps import Steps
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from tests.conftest import Platform, run_local


@pytest.mark.parametrize(("name", "says"), [("haprxy", "did you mean `haproxy`"), ("nginx", "known are prometheus")])
def test_a_name_that_is_none_is_refused_with_those_there_are(name: str, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        specs.named([name])


def test_a_platform_that_does_not_run_is_refused_and_leaves_no_trace(unstarted: Instance, silent: Steps) -> None:
    with pytest.raises(RefusedError, match="does not run; run `python -m local up` first"):
        bake.bake(unstarted, ["redis"], silent)
    assert not unstarted.data.exists()


def test_programs_of_images_that_are_none_are_not_built(unstarted: Instance, silent: Steps) -> None:
    with pytest.raises(RefusedError, match="did you mean `rollouts`"):
        bake.prepare(unstarted, ["rolouts"], silent)


@pytest.mark.e2e
def test_a_baked_image_lies_in_the_registry_and_in_connection_json(platform: Platform) -> None:
    run_local(platform.environment, "bake", "redis", "haproxy")
    instance = locate(None, platform.environment)
    found = connection.read(instance.connection).images
    for name in ("redis", "haproxy"):
        reference = Reference.parse(found[name])
        assert Registry(instance.registry).head(reference.repository, str(reference.digest)), found


@pytest.mark.e2e
def test_what_is_baked_stays_known_after_another_up(platform: Platform) -> None:
    run_local(platform.environment, "bake", "redis")
    instance = locate(None, platform.environment)
    before = connection.read(instance.connection).images
    run_local(platform.environment, "up")
    assert connection.read(instance.connection).images == before

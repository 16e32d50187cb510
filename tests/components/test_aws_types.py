"""Every input of a stack in AWS against the types that pulumi-aws declares for it, down to the last mapping."""

from __future__ import annotations

import collections.abc
import importlib
import typing
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi import _types as sdk

from tests.components.programs import Made, Object, Run, stack_in
from tests.components.test_aws import config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = config({"apiFrom": ["203.0.113.0/24"]})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


def declared(made: Made) -> type:
    """Return the class of a resource's inputs: of `aws:ec2/vpc:Vpc` it is `pulumi_aws.ec2.VpcArgs`."""
    module, _, name = made.type.removeprefix("aws:").partition(":")
    package = importlib.import_module(f"pulumi_aws.{module.partition('/')[0]}")
    # Where a mapping of another resource has that name already, it is called otherwise.
    found = getattr(package, f"{name}InitArgs", None) or getattr(package, f"{name}Args")
    assert isinstance(found, type)
    return found


def faults(path: str, value: Any, wanted: Any) -> Iterator[str]:
    """Yield where a value is not what a type says."""
    alternatives = [one for one in _alternatives(wanted) if one is not type(None)]
    if not any(not list(_faults(path, value, one)) for one in alternatives):
        yield from _faults(path, value, alternatives[0])


def _alternatives(wanted: Any) -> list[Any]:
    """Return what an input may be when it is known: what awaits a value is not told apart from it."""
    if typing.get_origin(wanted) is not typing.Union:
        return [wanted]
    outer = (pulumi.Output, collections.abc.Awaitable)
    return [one for one in typing.get_args(wanted) if typing.get_origin(one) not in outer and one not in outer]


def _faults(path: str, value: Any, wanted: Any) -> Iterator[str]:
    origin = typing.get_origin(wanted)
    if isinstance(wanted, type) and sdk.is_input_type(wanted):
        yield from _of_mapping(path, value, sdk.input_type_types(wanted))
    elif origin is collections.abc.Sequence:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for number, one in enumerate(value):
            yield from faults(f"{path}[{number}]", one, typing.get_args(wanted)[0])
    elif origin is collections.abc.Mapping:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no mapping"
            return
        for key, one in value.items():
            yield from faults(f"{path}.{key}", one, typing.get_args(wanted)[1])
    elif not _is(value, wanted):
        yield f"{path}: {value!r} is no {getattr(wanted, '__name__', wanted)}"


def _of_mapping(path: str, value: Any, known: dict[str, Any]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no mapping"
        return
    for key, one in value.items():
        if key not in known:
            yield f"{path}.{key}: is no input, known are {', '.join(sorted(known))}"
        elif one is not None:
            yield from faults(f"{path}.{key}", one, known[key])


def _is(value: Any, wanted: Any) -> bool:
    if wanted is int:  # the engine has one kind of number
        return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if isinstance(wanted, type) and issubclass(wanted, str):
        return isinstance(value, str)
    return isinstance(wanted, type) and isinstance(value, wanted)


def test_every_input_is_of_the_type_that_the_provider_declares(run: Run) -> None:
    made = [one for one in run.made if one.type.startswith("aws:")]
    assert len(made) > 50
    found = [fault for one in made for fault in _of_mapping(one.name, one.inputs, sdk.input_type_types(declared(one)))]
    assert found == []


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({"cidrBlok": "10.0.0.0/16"}, "it.cidrBlok: is no input"),
        ({"cidrBlock": 10}, "it.cidrBlock: 10 is no str"),
        ({"enableDnsSupport": "yes"}, "it.enableDnsSupport: 'yes' is no bool"),
        ({"tags": ["a"]}, "it.tags: ['a'] is no mapping"),
        ({"tags": {"a": 1}}, "it.tags.a: 1 is no str"),
        ({"ipv4NetmaskLength": 1.5}, "it.ipv4NetmaskLength: 1.5 is no int"),
    ],
)
def test_a_wrong_input_of_a_network_is_found(inputs: Object, fault: str) -> None:
    wanted = sdk.input_type_types(declared(Made("aws:ec2/vpc:Vpc", "it", {}, "", True)))
    assert [one.startswith(fault) for one in _of_mapping("it", inputs, wanted)] == [True]


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({"vpcConfig": {"subnetIds": "a"}}, "it.vpcConfig.subnetIds: 'a' is no list"),
        ({"vpcConfig": {"subnetIds": [1]}}, "it.vpcConfig.subnetIds[0]: 1 is no str"),
        ({"vpcConfig": {"subnets": []}}, "it.vpcConfig.subnets: is no input"),
        ({"vpcConfig": []}, "it.vpcConfig: [] is no mapping"),
    ],
)
def test_a_wrong_input_within_a_mapping_of_a_cluster_is_found(inputs: Object, fault: str) -> None:
    wanted = sdk.input_type_types(declared(Made("aws:eks/cluster:Cluster", "it", {}, "", True)))
    assert [one.startswith(fault) for one in _of_mapping("it", inputs, wanted)] == [True]

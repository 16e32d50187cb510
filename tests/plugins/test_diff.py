from typing import Any

import pytest

from local.plugins.kubernetes import diff, forcenew, planning
from local.plugins.kubernetes.config import settings
from local.plugins.values import UNKNOWN

SETTINGS = settings({}, {})
MISSING: Any = diff.MISSING


def changes(old: Any, new: Any, before: Any = MISSING) -> list[tuple[str, str]]:
    found = diff.changes((), old, new, old if before is MISSING else before)
    return [(diff.written(path), kind) for path, kind, _ in found]


def test_equal_values_are_no_change() -> None:
    assert changes({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2}]}) == []


def test_one_and_true_are_different_values() -> None:
    assert changes({"a": 1}, {"a": True}) == [("a", "UPDATE")]


def test_added_dropped_and_changed_keys_are_named_with_their_paths() -> None:
    old, new = {"a": 1, "b": {"c.d": 1}, "e": [1, 2]}, {"b": {"c.d": 2}, "e": [1], "f": 1}
    assert changes(old, new) == [("a", "DELETE"), ('b["c.d"]', "UPDATE"), ("e[1]", "DELETE"), ("f", "ADD")]


def test_an_unknown_value_is_a_change() -> None:
    assert changes({"a": 1}, {"a": UNKNOWN, "b": UNKNOWN}) == [("a", "UPDATE"), ("b", "ADD")]


def test_emptiness_that_the_server_drops_is_no_change_when_asked_for_again() -> None:
    assert changes({}, {"env": []}, before={"env": []}) == []
    assert changes({}, {"selector": {}}, before={}) == [("selector", "ADD")]


def test_a_live_object_is_pruned_to_the_shape_of_its_inputs() -> None:
    live = {"a": {"b": 1, "server": 2}, "list": [{"x": 1, "y": 2}, {"x": 3}], "status": {}}
    assert diff.pruned(live, {"a": {"b": 0}, "list": [{"x": 0}]}) == {"a": {"b": 1}, "list": [{"x": 1}]}


@pytest.mark.parametrize("text", ["spec.containers[0].image", 'metadata.annotations["a.b/c"]', "data"])
def test_a_path_is_read_as_it_is_written(text: str) -> None:
    assert diff.written(diff.parse_path(text)) == text


def test_ignored_paths_cover_what_lies_below_and_stars_cover_indices() -> None:
    patterns = [diff.parse_path("spec.replicas"), diff.parse_path("spec.containers[*].image")]
    assert diff.ignored(("spec", "replicas", "x"), patterns)
    assert diff.ignored(("spec", "containers", 1, "image"), patterns)
    assert not diff.ignored(("spec",), patterns)


def test_string_data_is_compared_as_the_server_stores_it() -> None:
    first = {"apiVersion": "v1", "kind": "Secret", "stringData": {"p": "x"}}
    second = {"apiVersion": "v1", "kind": "Secret", "data": {"p": "eA=="}}
    assert diff.normalized(first) == diff.normalized(second)


@pytest.mark.parametrize(
    ("path", "value", "field", "expected"),
    [
        (("spec", "selector", "matchLabels", "a"), "b", "spec.selector", True),
        (("spec",), {"selector": {}}, "spec.selector", True),
        (("spec",), {"replicas": 1}, "spec.selector", False),
        (("spec", "containers", 2, "image"), "x", "spec.containers.*.image", True),
        (("spec", "containers", 2, "name"), "x", "spec.containers.*.image", False),
        (("spec", "containers"), [{"image": "x"}], "spec.containers.*.image", True),
    ],
)
def test_a_change_touches_a_field_at_below_or_above_it(path: Any, value: Any, field: str, expected: bool) -> None:
    assert forcenew.touches(path, value, field.split(".")) is expected


def plan(old: dict[str, Any], new: dict[str, Any], live: dict[str, Any] | None = None) -> planning.Plan:
    state = {**(live or old), "__inputs": old}
    return planning.plan(state, new, client=None, settings=SETTINGS, ignore=[])


def config_map(value: str, name: str = "x", namespace: str = "n", **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}


def test_a_config_maps_data_replaces_a_fixed_name_by_deleting_first() -> None:
    found = plan(config_map("1"), config_map("2"))
    assert found.replaces == [("data", "a")]
    assert found.delete_first


def test_a_config_maps_data_replaces_an_autonamed_one_by_creating_first() -> None:
    marked = {"pulumi.com/autonamed": "true"}
    assert not plan(config_map("1", **marked), config_map("2", **marked)).delete_first


def test_a_new_namespace_replaces_without_deleting_first() -> None:
    found = plan(config_map("1"), config_map("1", namespace="m"))
    assert found.replaces == [("metadata", "namespace")]
    assert not found.delete_first


def test_mutable_config_maps_are_updated() -> None:
    state = {**config_map("1"), "__inputs": config_map("1")}
    mutable = settings({"kubernetes:config:enableConfigMapMutable": "true"}, {})
    found = planning.plan(state, config_map("2"), client=None, settings=mutable, ignore=[])
    assert found.changes
    assert not found.replaces


def test_fields_the_server_added_are_no_change() -> None:
    live = {**config_map("1"), "status": {"x": 1}}
    live["metadata"] = {**live["metadata"], "uid": "u", "resourceVersion": "1"}
    assert not plan(config_map("1"), config_map("1"), live).changes

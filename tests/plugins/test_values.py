from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from local.plugins.kubernetes.values import plain, program_keys, with_secrets
from local.plugins.values import UNKNOWN, Secret, from_struct, has_unknown, to_struct

LEAVES = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8) | st.just(UNKNOWN)
KEYS = st.text(min_size=1, max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3) | inner.map(Secret),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_properties_survive_the_wire(properties: dict[str, Any]) -> None:
    message = struct_pb2.Struct.FromString(to_struct(properties).SerializeToString())
    assert from_struct(message) == properties


def test_whole_numbers_come_back_as_integers_and_booleans_as_booleans() -> None:
    found = from_struct(to_struct({"replicas": 3, "ratio": 0.5, "on": True}))
    assert [type(found[key]) for key in ("replicas", "ratio", "on")] == [int, float, bool]


def test_plain_drops_secret_marks_at_every_depth() -> None:
    assert plain({"a": Secret({"b": [Secret(1)]})}) == {"a": {"b": [1]}}


def test_schema_extension_keys_change_their_spelling_both_ways() -> None:
    assert plain({"x_kubernetes_list_type": "map"}) == {"x-kubernetes-list-type": "map"}
    assert program_keys({"a": [{"x-kubernetes-list-type": "map"}]}) == {"a": [{"x_kubernetes_list_type": "map"}]}


@pytest.mark.parametrize("value", [UNKNOWN, [UNKNOWN], {"a": Secret([UNKNOWN])}])
def test_an_unknown_is_found_at_every_depth(value: Any) -> None:
    assert has_unknown({"value": value})


def test_what_the_inputs_keep_secret_is_secret_in_the_outputs() -> None:
    outputs = {"spec": {"env": [1, 2], "host": "h"}, "status": {}}
    inputs = {"spec": {"env": [Secret(1)], "host": "h"}}
    assert with_secrets(outputs, inputs) == {"spec": {"env": Secret([1, 2]), "host": "h"}, "status": {}}


def test_the_data_of_a_secret_object_is_always_secret() -> None:
    assert with_secrets({"kind": "Secret", "data": {"a": "b"}}, {})["data"] == Secret({"a": "b"})

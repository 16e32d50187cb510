"""YAML as recipes use it: the safe loader, YAML 1.2 scalars, no duplicate keys, no aliases."""

import re
from typing import Any

import yaml

MAX_BYTES = 64 * 1024


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses what would silently mean something else."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (pyyaml's own name)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call] # the stubs leave it out
            raise yaml.composer.ComposerError(None, None, "aliases are not used in recipes", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "a key is not a string", key_node.start_mark)
            if key_node.value in seen:
                problem = f"duplicate key {key_node.value!r}"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def parse(text: bytes) -> object:
    """Return the YAML document in `text`; raises ValueError with the place and what is wrong."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"{len(text)} bytes are over the limit of {MAX_BYTES}; move data out of the recipe")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}; correct the YAML") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{error}; save it as UTF-8 YAML") from error
    except RecursionError as error:
        raise ValueError("nested too deep; a recipe needs six levels at most") from error
    except ValueError as error:
        raise ValueError(f"{error}; write a shorter number") from error

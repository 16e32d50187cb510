"""From the engine's raw configuration to settings; every error is one line with key, value, limit and remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from settings import charts
from settings.base import Frozen, SettingsError
from settings.notifications import NotificationSettings
from settings.policies import environment_of
from settings.pool_room import require_room
from settings.recipes import NAMED_IN_BODY, require_fits, server_of
from settings.stack import PREFIX, Settings

NOTIFICATIONS = "notifications"  # whose values are secrets, and go into no resource
MAY_BE_SECRET = frozenset({"gateway", NOTIFICATIONS})  # the gateway's keys go into a Secret
HIDDEN = "[secret]"
ADVICE = "set it without --secret"


def load(config: Mapping[str, str], project: Path, stack: str, secret: Collection[str] = ()) -> Settings:
    """Return the settings in the engine's raw `config`; recipes lie below `project`. Raises SettingsError.

    `secret` are the keys that hold a secret: no error shows what they say.
    """
    own = {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
    hidden = frozenset({NOTIFICATIONS, *(key.removeprefix(PREFIX) for key in secret)})
    where = f"Pulumi.{stack}.yaml"
    _refuse_project_keys(where, config, project)
    given = {key: _value(where, key, text, hidden) for key, text in own.items()}
    # Pulumi.yaml declares every key, and a declared key without a value needs an empty default.
    values = {key: value for key, value in given.items() if value not in ("", {})}
    values.setdefault("environment", environment_of(stack))
    try:
        settings = Settings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise SettingsError(f"{where}: {_explain(error, values, hidden)}") from None
    _require_kept_secret(where, settings, hidden & values.keys())
    for name in settings.models:
        require_fits(f"{where}: {PREFIX}models.{name}", project, name, settings)
    require_room(where, project, settings)
    _require_paths(where, project, settings)
    _require_charts(where, project, stack, settings)
    return settings


def load_notifications(text: str, stack: str) -> NotificationSettings:
    """Return whom to tell from its JSON, though other settings be wrong. Raises SettingsError, which shows no value."""
    where = f"Pulumi.{stack}.yaml"
    hidden = frozenset({NOTIFICATIONS})
    values = {NOTIFICATIONS: _value(where, NOTIFICATIONS, text or "{}", hidden)}
    try:
        return _Notifications.model_validate_json(json.dumps(values)).notifications
    except ValidationError as error:
        raise SettingsError(f"{where}: {_explain(error, values, hidden)}") from None


class _Notifications(Frozen):
    notifications: NotificationSettings


def _refuse_project_keys(where: str, config: Mapping[str, str], project: Path) -> None:
    """Refuse what `pulumi config set models …` writes in a project of another name; it would be read by nobody."""
    name = f"{_project_name(project)}:"
    known = {info.alias or field for field, info in Settings.model_fields.items()} if name != PREFIX else set()
    for key in sorted(known):
        if config.get(name + key, "") not in ("", "{}"):
            raise SettingsError(f"{where}: {name}{key}: is read by nobody; write {PREFIX}{key}")


def _project_name(project: Path) -> str:
    path = project / "Pulumi.yaml"
    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["name"]) if path.is_file() else PREFIX.rstrip(":")


def _require_kept_secret(where: str, settings: Settings, secret: frozenset[str]) -> None:
    """Raise SettingsError for a secret that would lie in plain in the state and in the cluster's objects."""
    for key in sorted(secret - MAY_BE_SECRET):
        raise SettingsError(f"{where}: {PREFIX}{key}: is a secret, and would lie in the state in plain; {ADVICE}")
    if "gateway" in secret and settings.gateway.jwt:
        raise SettingsError(f"{where}: {PREFIX}gateway: is a secret, and jwt would lie in the state in plain; {ADVICE}")


def _value(where: str, key: str, text: str, hidden: frozenset[str]) -> Any:
    if key in ("namespace", "base", "environment") or key not in Settings.model_fields:
        return text
    try:
        return json.loads(text)
    except ValueError:
        shown = HIDDEN if key in hidden else repr(text)
        raise SettingsError(
            f"{where}: {PREFIX}{key}: {shown} is plain text; write a mapping (see `config` in Pulumi.yaml)"
        ) from None


def _explain(error: ValidationError, values: Mapping[str, Any], hidden: frozenset[str]) -> str:
    found = error.errors()
    # A misspelt key is missing too; what is there says more than what is not.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    path = ".".join(str(part) for part in first["loc"])
    key = f"{PREFIX}{path}" if path else PREFIX.rstrip(":")
    if first["type"] == "extra_forbidden":
        return f"{key}: is no known key{_closest(first['loc'])}; correct or remove it"
    if first["type"] == "missing":
        return f"{key}: is missing; add it"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}"
    limit = first["msg"][0].lower() + first["msg"][1:]
    shown = HIDDEN if first["loc"][0] in hidden else repr(_at(values, first["loc"]))
    return f"{key}: {shown}: {limit}; correct it"


def _at(values: Any, path: tuple[int | str, ...]) -> Any:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return values
        values = values[part]
    return values


def _closest(path: tuple[int | str, ...]) -> str:
    known = _keys(path[:-1])
    near = difflib.get_close_matches(str(path[-1]), known, 1)
    return f", did you mean `{near[0]}`" if near else f", known are {', '.join(known)}"


def _keys(path: tuple[int | str, ...]) -> list[str]:
    room: type[BaseModel] = Settings
    for part in path:
        known = {field.alias or name: field for name, field in room.model_fields.items()}
        # What is no field is a name in a mapping, whose values have the fields.
        room = (_room(known[str(part)].annotation) if part in known else None) or room
    return [field.alias or name for name, field in room.model_fields.items()]


def _room(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_room, get_args(annotation))), None)


def _require_paths(where: str, project: Path, settings: Settings) -> None:
    exposure = settings.exposure
    if exposure is None or not exposure.routed or settings.gateway.enabled:
        return
    alike = [name for name, model in settings.models.items() if server_of(project / model.recipe) == NAMED_IN_BODY]
    if len(alike) > 1:
        raise SettingsError(
            f"{where}: {PREFIX}exposure.type: {exposure.type!r} tells models apart by path, clients of {alike[0]} and "
            f"{alike[1]} name theirs in the body alone; set {PREFIX}gateway: {{enabled: true}}"
        )


def _require_charts(where: str, project: Path, stack: str, settings: Settings) -> None:
    try:
        # As the program names it.
        charts.require_apart(settings.charts, settings.namespace or f"{_project_name(project)}-{stack}")
        charts.require_files(settings.charts, project)
    except ValueError as error:
        raise SettingsError(f"{where}: {PREFIX}charts.{error}") from None

"""Create, read, update and delete of one object, with what the state keeps of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.plugins.kubernetes import diff, naming, objects, planning
from local.plugins.kubernetes.client import ApiError, Client, NoKind, Object, Unreachable
from local.plugins.kubernetes.config import Settings
from local.plugins.kubernetes.values import plain, program_keys, with_secrets
from local.plugins.kubernetes.waiting import NotReady, Waiter
from local.plugins.serving import Engine
from local.plugins.values import has_unknown

CREATE_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)  # for a namespace or CRD that the same program is making
REMOVE_HINT = (
    "If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the "
    'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)
FROM_SERVER = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")


class ClusterUnreachable(Exception):  # noqa: N818
    """The cluster could not be reached when the provider was configured."""


class Failed(Exception):  # noqa: N818
    """An operation failed, and changed nothing."""


class InitFailed(Exception):  # noqa: N818
    """An object exists but is not ready: the state keeps it."""

    def __init__(
        self,
        message: str,
        *,
        identifier: str,
        state: dict[str, Any],
        reasons: list[str],
        inputs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.identifier = identifier
        self.state = state
        self.reasons = reasons
        self.inputs = inputs


@dataclass(frozen=True)
class Operation:
    """One call of the engine."""

    urn: str
    timeout: float  # customTimeouts, seconds; 0 where the program sets none
    preview: bool


@dataclass(frozen=True)
class Found:
    """A live object as the state keeps it."""

    state: dict[str, Any]
    inputs: dict[str, Any]


def checkpoint(live: Object, inputs: Object, marked: Mapping[str, Any], initial: str, manager: str) -> dict[str, Any]:
    """Return what the state keeps: the live object, the inputs, and who applies them; `marked` knows the secrets."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    outputs = with_secrets(program_keys({**live, "metadata": metadata}), marked)
    return {
        **outputs,
        "__inputs": with_secrets(program_keys(inputs), marked),
        "__initialApiVersion": initial,
        "__fieldManager": manager,
    }


class Lifecycle:
    """Operations on the objects of one cluster; `client` is None where it is unreachable."""

    def __init__(
        self, client: Client | None, unreachable: str, settings: Settings, engine: Engine, cancelled: threading.Event
    ) -> None:
        self.client = client
        self.settings = settings
        self._unreachable = unreachable
        self._engine = engine
        self._cancelled = cancelled

    def _reached(self) -> Client:
        if self.client is None:
            raise ClusterUnreachable(f"configured Kubernetes cluster is unreachable: {self._unreachable}")
        return self.client

    def _waiter(self, urn: str) -> Waiter:
        return Waiter(self._reached(), self._cancelled, lambda text: self._engine.info(text, urn, ephemeral=True))

    def _warn_unreachable(self, urn: str) -> None:
        self._engine.warning(f"configured Kubernetes cluster is unreachable: {self._unreachable}", urn)

    def create(self, operation: Operation, marked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Create an object and wait until it is ready; a preview asks the API server what it would store."""
        if operation.preview and self.client is None:
            self._warn_unreachable(operation.urn)
        inputs = planning.identified(plain(marked), operation.urn)
        if operation.preview and (has_unknown(inputs) or not planning.exists(self.client, inputs)):
            return "", marked
        client, manager = self._reached(), naming.field_manager(inputs, {})
        try:
            live = self._create(client, operation, inputs, manager)
        except ApiError as error:
            if operation.preview and (error.no_namespace or error.exists or error.code == 403):
                return "", marked
            raise Failed(
                f"resource {operation.urn!r} was not successfully created by the Kubernetes API server: {error}"
            ) from error
        except NoKind as error:
            raise Failed(
                f"creation of resource {operation.urn!r} failed because the Kubernetes API server reported that the "
                f"apiVersion for this resource does not exist. Verify that any required CRDs have been created: {error}"
            ) from error
        initial = str(inputs["apiVersion"])
        if operation.preview:
            shown = {key: value for key, value in live.items() if key != "status"}
            return "", checkpoint(shown, inputs, marked, initial, manager)
        try:
            seconds = naming.timeout_seconds(inputs, operation.timeout)
            live = self._waiter(operation.urn).until_ready(live, inputs, seconds)
        except NotReady as error:
            raise InitFailed(
                f"resource {operation.urn!r} was successfully created, but the Kubernetes API server reported that it "
                f"failed to fully initialize or become live: {error}",
                identifier=naming.id_of(error.live),
                state=checkpoint(error.live, inputs, marked, initial, manager),
                reasons=error.reasons,
            ) from error
        self._after_definition(client, inputs)
        return naming.id_of(live), checkpoint(live, inputs, marked, initial, manager)

    def _create(self, client: Client, operation: Operation, inputs: Object, manager: str) -> Object:
        upsert = self.settings.upsert_existing_objects
        for pause in () if operation.preview else CREATE_PAUSES_SECONDS:
            try:
                return objects.create(client, inputs, manager, upsert=upsert, preview=False)
            except (ApiError, NoKind) as error:
                if isinstance(error, ApiError) and not error.gone:
                    raise
                self._engine.info(f"Retrying; creation failed: {error}", operation.urn, ephemeral=True)
                if self._cancelled.wait(pause):
                    raise
        return objects.create(client, inputs, manager, upsert=upsert, preview=operation.preview)

    def _after_definition(self, client: Client, inputs: Mapping[str, Any]) -> None:
        if inputs.get("kind") == "CustomResourceDefinition":
            client.forget_kinds()

    def read(self, urn: str, identifier: str, state: Mapping[str, Any], marked: Mapping[str, Any]) -> Found | None:
        """Return the live object, or None where it is gone; raise InitFailed where it is not ready."""
        if self.client is None:
            return self._read_unreachable(urn, state, marked)
        namespace, name = naming.split_id(identifier)
        importing = not marked.get("kind")
        inputs = diff.normalized(planning.identified(plain(marked), urn))
        try:
            resource = objects.address(self.client, inputs)
            live = self.client.request(
                "GET", resource.path((namespace or "default") if resource.namespaced else "", name)
            )
        except NoKind:
            return None
        except ApiError as error:
            if error.gone:
                return None
            raise
        seen = _importable(live) if importing else diff.pruned(diff.normalized(live), inputs)
        initial = str(state.get("__initialApiVersion") or inputs["apiVersion"])
        found = Found(
            checkpoint(live, seen, marked, initial, naming.field_manager(inputs, state)),
            with_secrets(program_keys(seen), marked),
        )
        if importing:
            return found
        try:
            self._waiter(urn).check_once(live, inputs)
        except NotReady as error:
            raise InitFailed(
                str(error), identifier=identifier, state=found.state, reasons=error.reasons, inputs=found.inputs
            ) from error
        return found

    def _read_unreachable(self, urn: str, state: Mapping[str, Any], marked: Mapping[str, Any]) -> Found | None:
        self._warn_unreachable(urn)
        if self.settings.delete_unreachable:
            self._engine.info("deleteUnreachable is set: removing the unreachable resource from the state", urn)
            return None
        if self.settings.skip_update_unreachable:
            return Found(dict(state), dict(marked))
        raise ClusterUnreachable(f"failed to read resource state due to unreachable cluster. {REMOVE_HINT}")

    def update(
        self, operation: Operation, state: Mapping[str, Any], marked: dict[str, Any], ignore: Sequence[str]
    ) -> dict[str, Any]:
        """Apply new inputs and wait until the object is ready; a preview asks what would be stored."""
        if operation.preview and self.client is None:
            self._warn_unreachable(operation.urn)
        inputs = diff.normalized(planning.identified(plain(marked), operation.urn))
        if operation.preview and (has_unknown(inputs) or not planning.exists(self.client, inputs)):
            return marked
        client = self._reached()
        manager = naming.field_manager(inputs, state)
        initial = str(state.get("__initialApiVersion") or inputs["apiVersion"])
        force = self.settings.enable_patch_force or naming.annotation(inputs, naming.PATCH_FORCE) == "true"
        paths = [diff.parse_path(path) for path in ignore]
        try:
            live = objects.update(client, inputs, manager, force=force, ignore=paths, preview=operation.preview)
            if not operation.preview:
                seconds = naming.timeout_seconds(inputs, operation.timeout)
                live = self._waiter(operation.urn).until_ready(live, inputs, seconds)
        except ApiError as error:
            if operation.preview and error.code == 403:
                return marked
            raise self._update_failed(operation, inputs, marked, error, (initial, manager)) from error
        except NotReady as error:
            raise InitFailed(
                f"the Kubernetes API server reported that {naming.id_of(error.live)!r} failed to fully initialize or "
                f"become live: {error}",
                identifier=naming.id_of(error.live),
                state=checkpoint(error.live, inputs, marked, initial, manager),
                reasons=error.reasons,
            ) from error
        self._after_definition(client, inputs)
        return checkpoint(live, inputs, marked, initial, manager)

    def _update_failed(
        self, operation: Operation, inputs: Object, marked: dict[str, Any], error: ApiError, kept: tuple[str, str]
    ) -> Exception:
        """Return the error of a refused update, with the live object where there is one: the next run then retries."""
        failed = Failed(f"update of resource {operation.urn!r} failed: {error}")
        if operation.preview or error.gone:
            return failed
        try:
            metadata = inputs["metadata"]
            live = self._reached().get(
                inputs["apiVersion"], inputs["kind"], metadata.get("namespace", ""), metadata["name"]
            )
        except (ApiError, NoKind, Unreachable):
            return failed
        return InitFailed(
            f"the Kubernetes API server reported that {naming.id_of(live)!r} failed to fully initialize or become "
            f"live: {error}",
            identifier=naming.id_of(live),
            state=checkpoint(live, inputs, marked, *kept),
            reasons=[],
        )

    def delete(self, operation: Operation, state: Mapping[str, Any]) -> None:
        """Delete an object and wait until it is gone."""
        inputs, live = planning.split_state(state)
        if self.client is None:
            self._warn_unreachable(operation.urn)
            if self.settings.delete_unreachable:
                self._engine.info("deleteUnreachable is set: removing the unreachable resource", operation.urn)
                return
            raise ClusterUnreachable(f"configured Kubernetes cluster is unreachable. {REMOVE_HINT}")
        seconds = naming.timeout_seconds(inputs, operation.timeout)
        try:
            self._waiter(operation.urn).until_gone(live, inputs, seconds)
        except NotReady as error:
            kept = (str(state.get("__initialApiVersion", "")), str(state.get("__fieldManager", "")))
            raise InitFailed(
                str(error),
                identifier=naming.id_of(error.live),
                state=checkpoint(error.live, inputs, state, *kept),
                reasons=error.reasons,
            ) from error
        self._after_definition(self.client, live)


def _importable(live: Object) -> Object:
    """Return what of a live object can be inputs."""
    seen = diff.normalized({key: value for key, value in live.items() if key != "status"})
    annotations = seen["metadata"].get("annotations") or {}
    kept = {key: value for key, value in annotations.items() if key not in FROM_SERVER}
    metadata = {key: value for key, value in seen["metadata"].items() if key != "annotations"}
    return {**seen, "metadata": {**metadata, "annotations": kept} if kept else metadata}

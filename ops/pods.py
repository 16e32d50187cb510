"""A stack's pods in its cluster, and what their containers write, line by line."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.engine import State, resources
from provider.errors import ProviderError
from provider.kubernetes import POD, Cluster

if TYPE_CHECKING:
    import httpx2

STACK_LABEL, MODEL_LABEL, NAME_LABEL = "modelstack.dev/stack", "modelstack.dev/model", "app.kubernetes.io/name"
STACK_TYPE, PROVIDER_TYPE = "pulumi:pulumi:Stack", "pulumi:providers:kubernetes"
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0


class PodsError(Exception):
    """Pods or what they wrote cannot be had; the message is one line and says what to do."""


class NoPodError(PodsError):
    """No pod of the stack has the name that was asked for."""


class NoLogError(PodsError):
    """The pod is gone, or its container has no such log."""


@dataclass(frozen=True)
class Source:
    """One run of one container: where lines come from."""

    pod: str
    uid: str
    container: str
    restarts: int
    name: str
    """The application: a model, gateway, prometheus, …"""
    model: str | None


@dataclass(frozen=True)
class Line:
    """A line a container wrote; `time` is the node's, in RFC 3339 with nanoseconds and in UTC: texts sort by time."""

    time: str
    source: Source
    text: str


@dataclass(frozen=True)
class Pods:
    """The pods of a stack, in the namespace and cluster that its state names."""

    cluster: Cluster
    namespace: str
    stack: str

    @classmethod
    def of_state(cls, state: State, project: Path, stack: str) -> Pods:
        """Return the pods of a stack from its state; raises PodsError where it is not up."""
        found = {str(one["type"]): one for one in resources(state) if one["type"] in (STACK_TYPE, PROVIDER_TYPE)}
        namespace = (found.get(STACK_TYPE, {}).get("outputs") or {}).get("namespace")
        access = found.get(PROVIDER_TYPE, {}).get("inputs") or {}
        if not isinstance(namespace, str) or not isinstance(access.get("kubeconfig"), str):
            raise PodsError(f"STACK: stack {stack!r} names no namespace and cluster; run `make up STACK={stack}` first")
        return cls(Cluster(access["kubeconfig"], access.get("context"), project), namespace, stack)

    def sources(self, chosen: str | None, *, previous: bool = False) -> list[Source]:
        """Return the containers that have written, or of `previous` those that were restarted. Raises PodsError."""
        try:
            pods = self.cluster.list(POD, self.namespace, {STACK_LABEL: self.stack})
        except ProviderError as error:
            raise PodsError(str(error)) from error
        wanted = [pod for pod in pods if chosen is None or chosen in _names(pod)]
        if chosen is not None and pods and not wanted:
            known = ", ".join(sorted({name for pod in pods for name in _names(pod)}))
            raise NoPodError(f"MODEL: {chosen!r} has no pod in stack {self.stack}; there are {known}")
        return [source for pod in wanted for source in _sources(pod, previous=previous)]

    def lines(
        self,
        source: Source,
        *,
        seconds: int | None = None,
        previous: bool = False,
        follow: bool = False,
        ended: threading.Event | None = None,
    ) -> Iterator[Line]:
        """Yield what a container wrote in the last `seconds`; with `follow` until it ends. Raises PodsError."""
        asked: dict[str, Any] = {"container": source.container, "timestamps": "true"}
        asked |= {"sinceSeconds": seconds} if seconds else {}
        asked |= {"previous": "true"} if previous else {}
        asked |= {"follow": "true"} if follow else {}
        time = ""
        with self._answer(source, asked, follow=follow) as answer:
            for line in answer.iter_lines():
                if ended is not None and ended.is_set():
                    return
                match = TIME.match(line)
                # A line that holds what Unicode takes for its end goes on without a time.
                time = _in_utc(*match.groups()) if match else time
                yield Line(time, source, line[match.end() :] if match else line)

    @contextmanager
    def _answer(self, source: Source, asked: Mapping[str, Any], *, follow: bool) -> Iterator[httpx2.Response]:
        import httpx2  # noqa: PLC0415

        path = f"/api/v1/namespaces/{self.namespace}/pods/{source.pod}/log"
        timeout = httpx2.Timeout(CONNECT_SECONDS, read=None if follow else READ_SECONDS)
        try:
            with self._client.stream("GET", path, params=dict(asked), timeout=timeout) as answer:
                if answer.status_code != 200:
                    said = " ".join(answer.read().decode(errors="replace").split())
                    kind = NoLogError if answer.status_code in (400, 404) else PodsError
                    raise kind(f"{source.pod}: status {answer.status_code}: {said[:300]}")
                yield answer
        except httpx2.HTTPError as error:
            raise PodsError(f"{source.pod}: no answer ({error or type(error).__name__}); is the cluster up?") from error

    @cached_property
    def _client(self) -> httpx2.Client:
        # A second that other commands need not spend.
        import httpx2  # noqa: PLC0415
        import yaml  # noqa: PLC0415
        from lightkube.config.client_adapter import ConnectionParams  # noqa: PLC0415
        from lightkube.core.exceptions import ConfigError  # noqa: PLC0415

        try:
            config = self.cluster.config().get(self.cluster.context)
            parameters = ConnectionParams().httpx_params(config)  # type: ignore[arg-type] # get() of a found one
        except (ConfigError, KeyError, TypeError, AttributeError, OSError, yaml.YAMLError) as error:
            said = f"{self.cluster.told} cannot be used ({type(error).__name__})"
            raise PodsError(f"kubeconfig: {said}; correct it") from error
        # Each container that is followed holds a connection.
        return httpx2.Client(**parameters, limits=httpx2.Limits(max_connections=None))


def _in_utc(seconds: str, fraction: str | None, offset: str) -> str:
    if offset != "Z":
        seconds = datetime.fromisoformat(seconds + offset).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{(fraction or '').ljust(9, '0')}Z"


def _names(pod: Mapping[str, Any]) -> set[str]:
    labels = pod["metadata"].get("labels") or {}
    return {labels[key] for key in (NAME_LABEL, MODEL_LABEL) if key in labels}


def _sources(pod: Mapping[str, Any], *, previous: bool) -> Iterator[Source]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        restarts = int(one.get("restartCount") or 0)
        wrote = one.get("lastState") if previous else {**(one.get("lastState") or {}), **(one.get("state") or {})}
        # What never ran has written nothing.
        if not wrote or not ({"running", "terminated"} & set(wrote)):
            continue
        name = str(labels.get(NAME_LABEL) or metadata["name"])
        yield Source(metadata["name"], metadata["uid"], one["name"], restarts, name, labels.get(MODEL_LABEL))

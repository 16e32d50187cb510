"""The cluster of a kubeconfig, as the resources of this provider that wait on it see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from provider.errors import ProviderError
from provider.values import Fields, Properties

if TYPE_CHECKING:
    from lightkube import Client, KubeConfig

Object = dict[str, Any]
Answer = TypeVar("Answer")
ACCESS = ("kubeconfig", "context")
POLL_SECONDS = 1.0
MANAGER = "modelstack"


@dataclass(frozen=True)
class Kind:
    """How objects of one kind are addressed."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True


ROLLOUT = Kind("argoproj.io", "v1alpha1", "Rollout", "rollouts")
ANALYSIS_RUN = Kind("argoproj.io", "v1alpha1", "AnalysisRun", "analysisruns")
INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
DEFINITION = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
POD = Kind("", "v1", "Pod", "pods")
JOB = Kind("batch", "v1", "Job", "jobs")


@dataclass(frozen=True)
class Cluster:
    """Objects as plain mappings; every method raises ProviderError, on one line."""

    kubeconfig: str
    """Path below `project`, or what is in it."""
    context: str | None = None
    project: Path = field(default_factory=Path.cwd)

    @classmethod
    def of(cls, inputs: Properties, project: Path) -> Cluster:
        """Return the cluster that a resource's inputs name."""
        fields = Fields(inputs)
        return cls(fields.text("kubeconfig") or "", fields.text("context"), project)

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return an object, None where there is none."""
        with self._plainly():
            try:
                return dict(self._client.get(_class(kind), name, **_in(kind, namespace)))
            except _api_error() as error:
                if error.status.code == 404:
                    return None
                raise

    def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """Return every object with these labels, of the namespace or, where that is None, of the whole cluster."""
        asked: dict[str, Any] = {"labels": labels} if labels else {}
        if kind.namespaced:
            asked["namespace"] = namespace or "*"
        with self._plainly():
            return [dict(one) for one in self._client.list(_class(kind), **asked)]

    def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        """Create an object and return it as the cluster has it."""
        with self._plainly():
            return dict(self._client.create(_class(kind)(body), **_in(kind, namespace)))

    def apply(self, kind: Kind, namespace: str | None, body: Object) -> None:
        """Make an object as `body` says, by server-side apply."""
        with self._plainly():
            self._client.apply(_class(kind)(body), field_manager=MANAGER, force=True, **_in(kind, namespace))

    def merge_status(self, kind: Kind, namespace: str, name: str, status: Object) -> None:
        """Change fields of an object's status."""
        from lightkube.types import PatchType  # noqa: PLC0415

        with self._plainly():
            body = {"status": status}
            self._client.patch(_class(kind).Status, name, body, namespace=namespace, patch_type=PatchType.MERGE)

    def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete an object, where it is there, with what it owns."""
        with self._plainly():
            try:
                self._client.delete(_class(kind), name, cascade=_background(), **_in(kind, namespace))
            except _api_error() as error:
                if error.status.code != 404:
                    raise

    @property
    def _is_content(self) -> bool:
        return self.kubeconfig.startswith("{") or "\n" in self.kubeconfig

    @property
    def told(self) -> str:
        """The kubeconfig as errors may show it: what is in one may log in."""
        return "its content" if self._is_content else repr(self.kubeconfig)

    def close(self) -> None:
        """Close the connection, where there is one."""
        if "_client" in vars(self):
            self._client.close()

    def config(self) -> KubeConfig:
        """Return the kubeconfig; raises OSError, and lightkube's ConfigError, where it is none."""
        # Half a second, which a preview without these resources need not spend.
        from lightkube import KubeConfig  # noqa: PLC0415

        if self._is_content:
            return KubeConfig.from_dict(yaml.safe_load(self.kubeconfig))
        return KubeConfig.from_file(self.project / Path(self.kubeconfig).expanduser())

    @cached_property
    def _client(self) -> Client:
        from lightkube import Client  # noqa: PLC0415

        return Client(config=self.config().get(self.context), field_manager=MANAGER)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        import httpx2  # noqa: PLC0415
        from lightkube.core.exceptions import ApiError, ConfigError  # noqa: PLC0415

        try:
            yield
        except ApiError as error:
            raise ProviderError(f"cluster: {' '.join(str(error.status.message).split())}") from error
        except (ConfigError, KeyError, TypeError, AttributeError, OSError, yaml.YAMLError) as error:
            said = "" if self._is_content else " ".join(str(error).split())
            raise ProviderError(
                f"kubeconfig: {self.told} cannot be used ({said or type(error).__name__}); correct it"
            ) from error
        except httpx2.HTTPError as error:
            raise UnreachableError(f"cluster: no answer ({error or type(error).__name__}); is it up?") from error


class UnreachableError(ProviderError):
    """The API server does not answer; it may in a moment."""


async def patiently(asked: Callable[[], Answer], attempts: int = 5) -> Answer:
    """Return what `asked` returns, in a thread; an API server that does not answer is asked again a few times."""
    for _ in range(attempts - 1):
        try:
            return await asyncio.to_thread(asked)
        except UnreachableError:
            await asyncio.sleep(POLL_SECONDS)
    return await asyncio.to_thread(asked)


def holds(live: Object, condition: str) -> bool:
    """Return whether an object's status says that a condition is true."""
    found = (live.get("status") or {}).get("conditions") or []
    return any(one.get("type") == condition and one.get("status") == "True" for one in found)


def _class(kind: Kind) -> Any:
    from lightkube import generic_resource as generic  # noqa: PLC0415

    # The library keeps one class of a kind.
    version = f"{kind.group}/{kind.version}" if kind.group else kind.version
    make = generic.create_namespaced_resource if kind.namespaced else generic.create_global_resource
    known = generic.get_generic_resource(version, kind.kind)  # type: ignore[no-untyped-call]  # the library's own
    return known or make(kind.group, kind.version, kind.kind, kind.plural)


def _in(kind: Kind, namespace: str | None) -> dict[str, Any]:
    return {"namespace": namespace} if kind.namespaced else {}


def _api_error() -> Any:
    from lightkube.core.exceptions import ApiError  # noqa: PLC0415

    return ApiError


def _background() -> Any:
    from lightkube.types import CascadeType  # noqa: PLC0415

    return CascadeType.BACKGROUND

"""What is made sure of before anything of a stack is destroyed: that it is a review stack, of this project, and here.

Whatever a state holds is what the engine would delete, wherever it lies. So not the mark alone is read: every object
recorded has to lie where a review stack's own do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from components.fingerprint import fingerprint
from components.labels import OWN
from ops.engine import State, pending, resources
from ops.review import names
from ops.review.mark import ROOT, mark_of
from provider.errors import ProviderError
from provider.kubernetes import Cluster, Kind
from settings import ReviewSettings

NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NAMESPACE_TYPE = "kubernetes:core/v1:Namespace"
# The object that has a name of its own in every cluster, for as long as that is the same one.
OLDEST = "kube-system"
KUBERNETES = "pulumi:providers:kubernetes"
OWN_IMAGE = "modelstack:index:ModelImage"

ClusterOf = Callable[[str, str | None], str]
"""The fingerprint of the cluster that a kubeconfig and a context in it lead to."""


class RefusedError(Exception):
    """Nothing of the stack was touched; the message says on one line why, and what to do."""


def cluster_of(kubeconfig: str, context: str | None) -> str:
    """Return the fingerprint of a cluster, of the UID of its kube-system namespace; raises RefusedError."""
    try:
        found = Cluster(kubeconfig, context).get(NAMESPACE, None, OLDEST)
    except ProviderError as error:
        raise RefusedError(f"which cluster it is cannot be told ({error})") from error
    if found is None:
        raise RefusedError(f"the cluster of {kubeconfig!r} has no namespace {OLDEST}; name another kubeconfig")
    return fingerprint(["cluster", found["metadata"]["uid"]])


def require_own(state: State, stack: str, project: str, cluster: ClusterOf = cluster_of) -> ReviewSettings:
    """Return the mark of a stack that is a review stack by everything that can be told; raises RefusedError."""
    short = stack.rpartition("/")[2]
    mark = mark_of(state)
    number = names.number_of(short)
    if number is None:
        raise RefusedError(f"stack {short}: its name is none of a review stack; use `python -m ops destroy`")
    if mark is None:
        raise RefusedError(f"stack {short}: has no mark of `ops review up`; look whose it is, and destroy it by hand")
    if mark.pull_request != number:
        raise RefusedError(f"stack {short}: its mark is of pull request {mark.pull_request}; destroy it by hand")
    if mark.project != project:
        raise RefusedError(f"stack {short}: is of project {mark.project!r}, here is {project!r}; run this in that one")
    # The mark is an output of the pull request's own program: what it names has to be a review stack's.
    if (
        mark.namespace != f"{project}-{short}"
        or f"/{names.ROOM}/" not in mark.registry
        or (mark.registry.rpartition("/")[2] != str(number))
    ):
        told = f"{mark.namespace} and {mark.registry}, none of a review stack's"
        raise RefusedError(f"stack {short}: its mark names {told}; destroy it by hand")
    for reason in _foreign(state, short, mark):
        raise RefusedError(f"stack {short}: {reason}; take it out of the stack, or destroy it by hand")
    for kubeconfig, context in sorted(_places(state), key=str):
        found = _told(short, kubeconfig, context, cluster)
        if found != mark.cluster:
            raise RefusedError(
                f"stack {short}: was made in cluster {mark.cluster}, {kubeconfig!r} leads to {found}; run this where "
                "its kubeconfig leads to that one"
            )
    return mark


def _told(stack: str, kubeconfig: str, context: str | None, cluster: ClusterOf) -> str:
    try:
        return cluster(kubeconfig, context)
    except RefusedError as error:
        raise RefusedError(f"stack {stack}: {error}") from error


def _recorded(state: State) -> list[dict[str, Any]]:
    return [*resources(state), *(one["resource"] for one in pending(state))]


def _places(state: State) -> set[tuple[str, str | None]]:
    """Return every kubeconfig and context that something of the state is reached by."""
    given = (one.get("inputs") or {} for one in _recorded(state))
    return {(str(one["kubeconfig"]), one.get("context")) for one in given if one.get("kubeconfig")}


def _foreign(state: State, stack: str, mark: ReviewSettings) -> Iterator[str]:
    """Yield why a recorded resource is none of a review stack's own."""
    for one in _recorded(state):
        kind, name = str(one["type"]), str(one["urn"]).rpartition("::")[2]
        if not str(one["urn"]).startswith(f"urn:pulumi:{stack}::{mark.project}::"):
            yield f"{kind} {name} is recorded under {one['urn']}, another stack's name"
        elif not one.get("custom"):
            continue
        elif kind == OWN_IMAGE:
            yield from _image_elsewhere(one, name, mark)
        elif kind.startswith("kubernetes:"):
            yield from _object_elsewhere(one, kind, name, stack, mark)
        elif (
            kind.startswith("modelstack:")
            and (one.get("inputs") or {}).get("namespace", mark.namespace) != mark.namespace
        ):
            yield f"{kind} {name} is of namespace {one['inputs']['namespace']}, its own is {mark.namespace}"
        elif kind == KUBERNETES and not (one.get("inputs") or {}).get("kubeconfig"):
            yield f"its provider {name} names no kubeconfig, so that this machine would choose the cluster"
        elif not kind.startswith(("modelstack:", "pulumi:providers:modelstack", KUBERNETES)) and kind != ROOT:
            yield f"{kind} {name} lies in no place that is compared (an account, another tool)"


def _image_elsewhere(one: dict[str, Any], name: str, mark: ReviewSettings) -> Iterator[str]:
    given = one.get("inputs") or {}
    place = f"{given.get('push')}/{given.get('repository')}"
    if not place.startswith(f"{mark.registry}/"):
        yield f"image {name} lies in {place}, its own are below {mark.registry}"


def _object_elsewhere(one: dict[str, Any], kind: str, name: str, stack: str, mark: ReviewSettings) -> Iterator[str]:
    metadata = (one.get("inputs") or {}).get("metadata") or {}
    namespace, own = metadata.get("namespace"), (metadata.get("labels") or {}).get(f"{OWN}/stack")
    if kind == NAMESPACE_TYPE and metadata.get("name") != mark.namespace:
        yield f"namespace {metadata.get('name')} is another than its own, {mark.namespace}"
    elif namespace is not None and namespace != mark.namespace:
        yield f"{kind} {name} lies in namespace {namespace}, its own is {mark.namespace}"
    elif namespace is None and own != stack:
        yield f"{kind} {name} is the cluster's and carries no label {OWN}/stack: {stack}"

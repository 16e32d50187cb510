"""A small Kubernetes client: requests with the API's own errors, and discovery of kinds."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import urllib3

from local.plugins.kubernetes.config import KubeconfigError, Target

Object = dict[str, Any]
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
BUSY_RETRIES = 5  # the API server sheds load with 429 and Retry-After


class ApiError(Exception):
    """The API server refused a request, with its Status."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.details: Mapping[str, Any] = status.get("details") or {}
        super().__init__(str(status.get("message") or f"HTTP {code}"))

    @property
    def gone(self) -> bool:
        """Say whether the object does not exist."""
        return self.code == 404

    @property
    def exists(self) -> bool:
        """Say whether an object of that name exists."""
        return self.reason == "AlreadyExists"

    @property
    def no_namespace(self) -> bool:
        """Say whether the namespace is what does not exist."""
        return self.gone and self.details.get("kind") == "namespaces"


class Unreachable(Exception):  # noqa: N818 - a state of the cluster
    """The API server did not answer."""


class NoKind(Exception):  # noqa: N818
    """The API server serves no such kind."""


@dataclass(frozen=True)
class Resource:
    """How a kind is addressed."""

    group_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of an object, or of the collection where the name is empty."""
        root = "/api/" if "/" not in self.group_version else "/apis/"
        scope = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{self.group_version}{scope}/{self.plural}" + (f"/{quote(name)}" if name else "")


def _material(source: Mapping[str, Any], key: str, folder: Path) -> bytes:
    if source.get(f"{key}-data"):
        return base64.b64decode(source[f"{key}-data"])
    if source.get(key):
        return Path(folder, source[key]).read_bytes()
    return b""


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if target.cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority := _material(target.cluster, "certificate-authority", target.folder):
        context = ssl.create_default_context(cadata=authority.decode())
    certificate = _material(target.user, "client-certificate", target.folder)
    key = _material(target.user, "client-key", target.folder)
    if certificate and key:
        # The ssl module takes a client certificate from files only; they live for this call, readable by us alone.
        folder = Path(tempfile.mkdtemp(prefix="pulumi-kubernetes-"))
        try:
            pair = folder / "pair.pem"
            pair.touch(mode=0o600)
            pair.write_bytes(certificate + b"\n" + key)
            context.load_cert_chain(pair)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return context


def _headers(target: Target) -> dict[str, str]:
    user = target.user
    if user.get("exec") or user.get("auth-provider"):
        raise KubeconfigError("the user signs in through an exec plugin, which the stand-in does not run")
    token = user.get("token") or (Path(target.folder, user["tokenFile"]).read_text() if user.get("tokenFile") else "")
    if token:
        return {"Authorization": f"Bearer {token.strip()}"}
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
    return {}


class Client:
    """Requests to one API server; raises ApiError, Unreachable and NoKind."""

    def __init__(self, target: Target) -> None:
        try:
            self._pool = urllib3.PoolManager(
                maxsize=64,
                ssl_context=_context(target),
                server_hostname=target.cluster.get("tls-server-name"),
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                retries=False,
            )
            self._headers = _headers(target)
        except (OSError, ValueError, ssl.SSLError) as error:
            raise KubeconfigError(f"the kubeconfig's certificates or token cannot be read: {error}") from error
        self._server = target.server
        self._lock = threading.Lock()
        self._kinds: dict[str, dict[str, Resource]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Send a request and return the answer's JSON."""
        url = self._server + path + (f"?{urlencode(query)}" if query else "")
        headers = {**self._headers, "Accept": "application/json", "User-Agent": "pulumi-kubernetes-stand-in"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), content_type
        for attempt in range(BUSY_RETRIES + 1):
            try:
                response = self._pool.request(method, url, body=data, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                raise Unreachable(f"{self._server} does not answer: {error}") from error
            if response.status != 429 or attempt == BUSY_RETRIES or not response.headers.get("Retry-After"):
                break
            time.sleep(min(float(response.headers["Retry-After"]), 10))
        return self._answer(response)

    def _answer(self, response: urllib3.BaseHTTPResponse) -> Object:
        try:
            answer = json.loads(response.data) if response.data else {}
        except ValueError:
            answer = {"message": response.data.decode(errors="replace").strip()}
        if response.status >= 400:
            raise ApiError(response.status, answer if isinstance(answer, dict) else {})
        return cast(Object, answer)

    def resource(self, api_version: str, kind: str) -> Resource:
        """Return how a kind is addressed; an unknown one is asked for anew, since its CRD may just have been made."""
        with self._lock:
            known = self._kinds.get(api_version, {}).get(kind)
        if known is not None:
            return known
        try:
            listed = self.request("GET", ("/api/" if "/" not in api_version else "/apis/") + api_version)
        except ApiError as error:
            if not error.gone:
                raise
            listed = {}
        found = {
            entry["kind"]: Resource(api_version, entry["name"], entry["namespaced"])
            for entry in listed.get("resources", [])
            if "/" not in entry["name"]
        }
        with self._lock:
            self._kinds[api_version] = found
        if kind not in found:
            raise NoKind(f"no matches for kind {kind!r} in version {api_version!r}")
        return found[kind]

    def forget_kinds(self) -> None:
        """Ask for every kind anew: a CRD has changed."""
        with self._lock:
            self._kinds.clear()

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object:
        """Return one object."""
        return self.request("GET", self.resource(api_version, kind).path(namespace, name))

    def list(self, api_version: str, kind: str, namespace: str, **query: str) -> list[Object]:
        """Return the objects of a namespace, filtered by labelSelector or fieldSelector."""
        answer = self.request("GET", self.resource(api_version, kind).path(namespace), query=query)
        return cast(list[Object], answer.get("items") or [])

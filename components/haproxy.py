"""HAProxy's configuration for a stack's models, from plain values: where requests go, who may send them, how many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from components.haproxy_rules import answer, authenticated, counts, limited, measured, quoted, refuse, replaced, shared
from components.shares import Caps
from settings import GatewaySettings

FOLDER = "/etc/gateway"
DRAIN_SECONDS = 30
IDLE_SECONDS = 20
# Of everything that HAProxy says itself; what a server says passes as it is.
ERRORS = {
    400: "the request is not HTTP as it should be",
    408: "the request took too long to arrive; send it faster, or in smaller parts",
    500: "the gateway failed",
    502: "no pod of the model gave an answer that can be read",
    503: "no pod of the model is free; try again",
    504: "no pod of the model answered in time",
}
LOG = {
    "time": "%Ts.%ms",
    "id": '"%ID"',
    "from": '"%ci"',
    "client": '"%[var(txn.client),json(utf8s)]"',
    "method": '"%HM"',
    "path": '"%[var(txn.path),json(utf8s)]"',
    "status": "%ST",
    "backend": '"%b"',
    "pod": '"%si"',
    "milliseconds": "%Ta",
    "queued": "%Tw",
    "retries": '"%rc"',
    "received": "%U",
    "sent": "%B",
    "ended": '"%tsc"',
}

# Of requests that are sent on while they still arrive: their clients decide how long they keep a pod's places.
LARGE = "large"
TOO_MANY = "too many requests wait for a pod of the model; try again"
RESOLVED = "resolvers names resolve-prefer ipv4"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Pods of one version of a model: the name that resolves to each of them, ready or not."""

    host: str
    port: int
    ready: str
    """Path that answers 200 where a pod takes requests."""
    pods: int
    """The most there are at once, those that come and go included."""
    caps: Caps = ()
    otherwise: str | None = None
    """The name of a Service of one address, which knows of pods before the names of pods do."""
    to_zero: bool = False
    """Whether there may be no pod at all; a request then waits for the first one, at `otherwise`."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One model: what its clients speak, and its versions (`stable`, `canary`); pods share requests, up to a cap."""

    model: str
    protocol: str
    targets: Mapping[str, Target]

    @property
    def backends(self) -> dict[str, Target]:
        """Backend name → target."""
        return {f"{self.model}.{version}": target for version, target in self.targets.items()}

    @property
    def waking(self) -> dict[str, Target]:
        """Where requests wait for the first pod: backend name → target of one that may have none."""
        return {f"{self.model}.waking": target for target in self.targets.values() if target.to_zero}

    @property
    def condition(self) -> str:
        """What a request to this model looks like."""
        if self.protocol == "tensorflow-v1":
            return f"path_reg ^/v1/models/{self.model}([/:]|$)"
        if self.protocol == "openai-v1":
            return f"var(txn.asked) -m str {self.model}"
        return f"var(txn.named) -m str {self.model}"


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Ports, folders and names of one place."""

    port: int = 8080
    metrics: int = 9101
    folder: str = FOLDER
    """Where the keys, the certificate and JWT's public key lie."""
    nameserver: str | None = None
    """HOST:PORT of the DNS server; those of /etc/resolv.conf where not given."""
    threads: int = 1
    idle_seconds: int = IDLE_SECONDS
    """A connection without a request is kept so long; what stands before it and keeps connections ends them first."""


def render(routes: list[Route], settings: GatewaySettings, at: Listening) -> str:
    """Return haproxy.cfg; the same values give the same text."""
    backends = {name: target for route in routes for name, target in route.backends.items()}
    backends |= {f"{name}.{LARGE}": target for name, target in backends.items()}
    waking = {name: target for route in routes for name, target in route.waking.items()}
    # As many wait as leave half of the connections to those that are served, refused or idle.
    waiting = max(1, settings.connections // 2 // (len(backends) + len(waking)))
    sections = [
        _global(settings, at),
        _resolvers(at),
        _defaults(settings, at, waking=bool(waking)),
        _frontend(routes, settings, at),
        _admin(routes, at),
        *(_backend(name, target, waiting) for name, target in backends.items()),
        *(_waking(name, target, settings, waiting) for name, target in waking.items()),
    ]
    if settings.limit:
        sections.append(counts(settings.limit))
    return "\n".join("\n    ".join(lines) + "\n" for lines in sections)


def _global(settings: GatewaySettings, at: Listening) -> list[str]:
    return [
        "global",
        "log stdout format raw local0 info",
        f"maxconn {settings.connections}",
        f"nbthread {at.threads}",
        f"tune.bufsize {settings.retry_bytes}",
        # On SIGUSR1 nothing new is taken, and each answer asks its client to come back to another pod. An idle
        # connection is left to its client until its time is over: to close it could cut off a request on its way.
        "close-spread-time infinite",
        f"hard-stop-after {DRAIN_SECONDS}s",
        "ssl-default-bind-options ssl-min-ver TLSv1.2",
        "ssl-load-extra-del-ext",
    ]


def _resolvers(at: Listening) -> list[str]:
    return [
        "resolvers names",
        f"nameserver dns {at.nameserver}" if at.nameserver else "parse-resolv-conf",
        "accepted_payload_size 8192",
        "timeout resolve 1s",
        "timeout retry 1s",
        # A name server that is away for a while takes no pod away.
        *(f"hold {status} 30s" for status in ("nx", "other", "refused", "timeout")),
    ]


def _defaults(settings: GatewaySettings, at: Listening, *, waking: bool) -> list[str]:
    return [
        "defaults",
        "mode http",
        "log global",
        "option dontlognull",
        "option redispatch 1",
        # Nobody waits a minute for a client that is gone. HAProxy 2.6 heeds it here alone (haproxy#2344).
        *(["option abortonclose"] if waking else []),
        "retries 3",
        # To infer twice does no harm: what a pod did not begin to answer, another one is asked.
        "retry-on conn-failure empty-response 503",
        "balance leastconn",
        f"timeout http-request {settings.request_seconds}s",
        f"timeout client {settings.answer_seconds}s",
        f"timeout http-keep-alive {at.idle_seconds}s",
        # So long HAProxy also waits before it asks another pod than one that refuses connections.
        "timeout connect 250ms",
        f"timeout queue {settings.queue_seconds}s",
        f"timeout server {settings.answer_seconds}s",
        "timeout check 2s",
        "default-server check inter 500ms downinter 2s fall 2 rise 1 init-addr none",
        # Ten errors in a row take a pod out until it says that it is ready again.
        f"default-server maxconn {settings.per_pod} observe layer7 error-limit 10 on-error mark-down",
        *(replaced(status, said) for status, said in ERRORS.items()),
    ]


def _frontend(routes: list[Route], settings: GatewaySettings, at: Listening) -> list[str]:
    # No HTTP/2: nothing would ask its clients to come back to another pod when one ends.
    tls = f" ssl crt {at.folder}/tls/tls.crt alpn http/1.1" if settings.tls else ""
    return [
        "frontend models",
        f"bind :{at.port}{tls}",
        f"log-format {quoted('{' + ','.join(f'{json.dumps(name)}:{text}' for name, text in LOG.items()) + '}')}",
        "unique-id-format %[uuid]",
        "unique-id-header x-request-id",
        # What a client reports of a request finds its line in the log.
        "http-after-response set-header x-request-id %[unique-id]",
        "option forwardfor",
        "http-after-response set-header connection close if { stopping }",
        "http-request set-var(txn.path) path",
        "http-request set-var(txn.named) path,field(4,/) if { path_beg /v2/models/ }",
        *_health(routes),
        *authenticated(settings, at.folder),
        *(limited(settings.limit, at.folder, by_key=bool(settings.keys)) if settings.limit else ()),
        refuse(405, "method: only GET, HEAD and POST are known here", "unless { method GET HEAD POST }"),
        *measured(settings),
        f"acl {LARGE} req.body_size,sub(txn.arrived) gt 0",
        "http-request set-var(txn.asked) req.body,json_query('$.model') if { path_beg /v1/ }",
        *(f"acl known {route.condition}" for route in routes),
        refuse(404, "path: is of no model that is served here", "unless known"),
        # All rules of requests come before the first choice of a backend.
        *(line for route in routes for line in _told_apart(route)),
        *(line for route in routes for line in _chosen(route)),
    ]


def _health(routes: list[Route]) -> Iterator[str]:
    """Return what answers for the gateway itself: it is ready when every model has a pod that is, or needs none."""
    yield answer(200, {"live": True}, "if { path /v2/health/live }")
    for route in (one for one in routes if not one.waking):
        yield from (f"acl up.{route.model} nbsrv({name}) gt 0" for name in route.backends)
        yield refuse(
            503, f"model {route.model} has no pod that is ready", f"if {{ path /v2/health/ready }} !up.{route.model}"
        )
    yield answer(200, {"ready": True}, "if { path /v2/health/ready }")


def _told_apart(route: Route) -> Iterator[str]:
    """Return what says whether a request is to this model, and how its versions share it."""
    acl = f"is.{route.model}"
    yield f"acl {acl} {route.condition}"
    stable, *others = route.backends
    for name in others:
        yield from shared(acl, name, stable, route.backends[name].caps)


def _chosen(route: Route) -> Iterator[str]:
    """Return which version is sent a request: none without a pod while another has one."""
    acl = f"is.{route.model}"
    stable, *others = route.backends
    for name in others:
        within = "{ var(txn.roll),sub(txn.share) lt 0 } { var(txn.roll),sub(txn.most) lt 0 }"
        yield from _use(name, f"{acl} {{ nbsrv({name}) gt 0 }} {within}")
    for name in others:
        yield from _use(name, f"{acl} {{ nbsrv({stable}) eq 0 }} {{ nbsrv({name}) gt 0 }}")
    for name in route.waking:
        yield f"use_backend {name} if {acl} {{ nbsrv({stable}) eq 0 }}"
        # A pod that is ready is asked for its health for large requests, too: up to two seconds later.
        yield f"use_backend {name} if {acl} {LARGE} {{ nbsrv({stable}.{LARGE}) eq 0 }}"
    yield from _use(stable, acl)


def _use(name: str, condition: str) -> Iterator[str]:
    # Each finds out by itself that a pod is ready.
    yield f"use_backend {name}.{LARGE} if {condition} {LARGE} {{ nbsrv({name}.{LARGE}) gt 0 }}"
    yield f"use_backend {name} if {condition}"


def _admin(routes: list[Route], at: Listening) -> list[str]:
    """Return what the cluster asks: a pod is ready when it can pass a request to any model at all.

    Models that may have no pod do not count beside others; alone, they do as soon as a request can wait for them.
    """
    served = [name for route in routes if not route.waking for name in route.backends]
    names = served or [name for route in routes for name in route.waking]
    return [
        "frontend admin",
        f"bind :{at.metrics}",
        "no log",
        "option httpclose",
        "http-request use-service prometheus-exporter if { path /metrics }",
        "http-request return status 200 if { path /live }",
        *(f"acl up nbsrv({name}) gt 0" for name in names),
        "http-request return status 503 if { path /ready } !up",
        "http-request return status 200 if { path /ready }",
        refuse(404, "path: is not known here", ""),
    ]


def _backend(name: str, target: Target, waiting: int) -> list[str]:
    return [
        f"backend {name}",
        refuse(503, TOO_MANY, f"if {{ queue ge {waiting} }}", 1),
        "option httpchk",
        f"http-check send meth GET uri {target.ready} ver HTTP/1.1 hdr host gateway",
        "http-check expect status 200",
        f"server-template pod {target.pods} {target.host}:{target.port} {RESOLVED}",
        # A cluster's DNS may tell of a pod half a minute late; the Service leads to it as soon as it is ready.
        *([f"server service {target.otherwise}:{target.port} {RESOLVED} backup"] if target.otherwise else []),
    ]


def _waking(name: str, target: Target, settings: GatewaySettings, waiting: int) -> list[str]:
    """Return where requests wait while there is no pod: a Service without one refuses, and is asked once a second."""
    return [
        f"backend {name}",
        # All that are here wait, whether their turn to try has come or not.
        refuse(503, TOO_MANY, f"if {{ be_conn({name}) gt {waiting} }}", 1),
        f"retries {settings.wake_seconds}",
        "no option redispatch",
        # HAProxy waits so long between two tries, a second at most.
        "timeout connect 1s",
        f"timeout queue {settings.wake_seconds}s",
        f"server service {target.otherwise}:{target.port} {RESOLVED} no-check",
    ]

"""Rules of HAProxy's configuration: who may ask, how often, which share a version gets, what it answers itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from components.shares import Caps
from settings import GatewaySettings, JwtSettings, LimitSettings

MOST_AUDIENCES = 4


def authenticated(settings: GatewaySettings, folder: str) -> Iterator[str]:
    """Return what finds the client's name, and turns away whom nobody knows; keys lie below `folder`."""
    if settings.jwt:
        yield from _token(settings.jwt, folder)
    elif settings.keys:
        yield from _key(folder)
    else:
        yield "http-request set-var(txn.client) src"
        return
    # No pod has a use for what opens the gateway.
    yield "http-request del-header authorization"
    yield "http-request del-header x-api-key"


def _key(folder: str) -> Iterator[str]:
    # The map holds hashes alone; what is logged and counted is the key's name.
    named = f"sha2(256),hex,lower,map_str({folder}/keys/names.map)"
    yield f"http-request set-var(txn.client) http_auth_bearer,{named} if {{ req.hdr(authorization) -m found }}"
    yield f"http-request set-var(txn.client) req.hdr(x-api-key),{named} if {{ req.hdr(x-api-key) -m found }}"
    said = "key: is missing or unknown; send a known one as `authorization: Bearer KEY`"
    yield refuse(401, said, "unless { var(txn.client) -m found }")


def _token(jwt: JwtSettings, folder: str) -> Iterator[str]:
    yield "http-request set-var(txn.token) http_auth_bearer if { req.hdr(authorization) -m found }"
    missing = "token: is missing; send one as `authorization: Bearer TOKEN`"
    yield refuse(401, missing, "unless { var(txn.token) -m found }")
    yield f"acl algorithm var(txn.token),jwt_header_query('$.alg') -m str {jwt.algorithm}"
    yield f'acl signed var(txn.token),jwt_verify("{jwt.algorithm}","{folder}/jwt/key.pem") -m int 1'
    yield refuse(
        401, f"token: is not signed with {jwt.algorithm} by the key that counts here", "unless algorithm signed"
    )
    yield f"acl issuer var(txn.token),jwt_payload_query('$.iss') -m str {quoted(jwt.issuer)}"
    # A token is of one audience or of a list, whose first ones count.
    for path in ("$.aud", *(f"$.aud[{index}]" for index in range(MOST_AUDIENCES))):
        yield f"acl audience var(txn.token),jwt_payload_query('{path}') -m str {quoted(jwt.audience)}"
    for claim in ("issuer", "audience"):
        yield refuse(401, f"token: its {claim} is another than the one that counts here", f"unless {claim}")
    yield "http-request set-var(txn.now) date()"
    for name, claim in (("until", "exp"), ("since", "nbf")):
        yield f"http-request set-var(txn.{name}) var(txn.token),jwt_payload_query('$.{claim}','int')"
    expired = "token: has expired, or does not say when it will"
    yield refuse(401, expired, "unless { var(txn.until),sub(txn.now) gt 0 }")
    early = "if { var(txn.since) -m found } { var(txn.since),sub(txn.now) gt 0 }"
    yield refuse(401, "token: is not valid yet", early)
    yield "http-request set-var(txn.client) var(txn.token),jwt_payload_query('$.sub')"
    yield refuse(401, "token: names no `sub`", "unless { var(txn.client) -m found }")


def limited(limit: LimitSettings, folder: str, *, by_key: bool) -> Iterator[str]:
    """Return what counts a client's requests in the table `counts`; `by_key` where a key may have its own limit."""
    own = f"var(txn.client),map_str_int({folder}/keys/limits.map,{limit.requests})"
    yield f"http-request set-var(txn.limit) {own if by_key else f'int({limit.requests})'}"
    yield "http-request track-sc0 var(txn.client) table counts"
    too_many = "if { sc_gpc0_rate(0,counts),sub(txn.limit) ge 0 }"
    yield refuse(429, f"too many requests of this client in {limit.seconds} s; slow down", too_many, limit.seconds)
    # Only what is let in counts, so that a client that asks too often still gets its share.
    yield "http-request sc-inc-gpc0(0)"


def measured(settings: GatewaySettings) -> Iterator[str]:
    """Return what holds a body to its limits, a GET's too, and sets how much of it has arrived."""
    for unknown in ("{ method POST } !{ req.hdr(content-length) -m found }", "{ req.hdr(transfer-encoding) -m found }"):
        yield refuse(411, "content-length: is missing; send it", f"if {unknown}")
    too_large = f"body: is larger than {settings.body_bytes} bytes; send less"
    yield refuse(413, too_large, f"if {{ req.body_size gt {settings.body_bytes} }}")
    yield f"http-request wait-for-body time {settings.request_seconds}s"
    yield "http-request set-var(txn.arrived) req.body_len"


def counts(limit: LimitSettings) -> list[str]:
    """Return the table in which a client's requests are counted."""
    kept = f"expire {2 * limit.seconds}s store gpc0,gpc0_rate({limit.seconds}s)"
    return ["backend counts", f"stick-table type string len 128 size 100k {kept}"]


def shared(acl: str, name: str, stable: str, caps: Caps) -> Iterator[str]:
    """Return what sets percentages: the share of the pods of `name` in all that are ready, and the most they get."""
    yield f"http-request set-var(txn.roll) rand(100) if {acl}"
    yield f"http-request set-var(txn.pods) nbsrv({name}) if {acl}"
    yield f"http-request set-var(txn.all) nbsrv({stable}),add(txn.pods) if {acl}"
    yield f"http-request set-var(txn.share) var(txn.pods),mul(100),div(txn.all) if {acl}"
    yield f"http-request set-var(txn.most) int(100) if {acl}"
    for pods, percent in sorted(caps, reverse=True):
        yield f"http-request set-var(txn.most) int({percent}) if {acl} {{ var(txn.pods) -m int le {pods} }}"


def refuse(status: int, said: str, condition: str, later: int | None = None) -> str:
    """Return a rule that answers with an error; `later` is in seconds."""
    return answer(status, {"error": said}, condition, later)


def answer(status: int, body: Mapping[str, object], condition: str, later: int | None = None) -> str:
    """Return a rule that answers with `body` where `condition` holds."""
    return f"http-request return status {status} {_reply(status, body, later)} {condition}".rstrip()


def replaced(status: int, said: str) -> str:
    """Return what HAProxy says in place of its own page."""
    return f"http-error status {status} {_reply(status, {'error': said}, 1 if status == 503 else None)}"


def _reply(status: int, body: Mapping[str, object], later: int | None) -> str:
    headers = {"retry-after": later, "www-authenticate": "Bearer" if status == 401 else None}
    told = "".join(f" hdr {name} {value}" for name, value in headers.items() if value is not None)
    return f"content-type application/json string {quoted(json.dumps(body, separators=(',', ':')))}{told}"


def quoted(text: str) -> str:
    """Return one word of the configuration."""
    return "'" + text.replace("'", "'\\''") + "'"

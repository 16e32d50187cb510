"""Little servers on loopback that behave as the APIs of GitHub and GitLab do, as far as comments go."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from graphql import GraphQLError, build_schema, graphql_sync

LONGEST = 65_536
PAGE = 100
NOTES = "/projects/42/merge_requests/7/notes"
Answer = tuple[int, Any, dict[str, str]]
# What GitHub's public schema has of these types.
SCHEMA = """
scalar URI
type Query { repository(owner: String!, name: String!): Repository }
type Repository { pullRequest(number: Int!): PullRequest }
type PullRequest { id: ID! comments(after: String, before: String, first: Int, last: Int): IssueCommentConnection! }
type IssueCommentConnection { nodes: [IssueComment] pageInfo: PageInfo! totalCount: Int! }
type IssueComment { id: ID! url: URI! body: String! viewerDidAuthor: Boolean! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
type IssueCommentEdge { node: IssueComment }
input AddCommentInput { clientMutationId: String body: String! subjectId: ID! }
type AddCommentPayload { commentEdge: IssueCommentEdge }
input UpdateIssueCommentInput { clientMutationId: String body: String! id: ID! }
type UpdateIssueCommentPayload { issueComment: IssueComment }
type Mutation {
  addComment(input: AddCommentInput!): AddCommentPayload
  updateIssueComment(input: UpdateIssueCommentInput!): UpdateIssueCommentPayload
}
"""


@dataclass
class Comment:
    """A comment on the one pull request that a host has."""

    number: int
    author: str
    body: str


@dataclass
class Host:
    """A host with one pull request (octo/models, 7; project 42, 7), and the users of its tokens."""

    users: Mapping[str, str]
    comments: list[Comment] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)
    url: str = ""

    def add(self, author: str, body: str) -> Comment:
        """Add a comment as a person does."""
        made = Comment(1000 + len(self.comments), author, body)
        self.comments.append(made)
        return made

    def bodies(self) -> list[str]:
        """Return what all comments say."""
        return [one.body for one in self.comments]


@contextmanager
def serving(host: Host, answer: Callable[[Host, str, str, Any, Mapping[str, str]], Answer]) -> Iterator[Host]:
    """Serve a host on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            host.asked.append((self.command, self.path, headers))
            status, content, further = (
                host.failures.pop(0) if host.failures else answer(host, self.command, self.path, body, headers)
            )
            sent = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(sent)), **further}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 (the names http.server calls)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def github(host: Host, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
    """Answer as GitHub's GraphQL does."""
    viewer = host.users.get(headers.get("authorization", "").removeprefix("Bearer "))
    if viewer is None:
        return 401, {"message": "Bad credentials", "status": "401"}, {}
    if (method, path) != ("POST", "/graphql"):
        return 404, {"message": "Not Found"}, {}
    done = graphql_sync(
        build_schema(SCHEMA), body["query"], root_value=_Root(host, viewer), variable_values=body["variables"]
    )
    errors = [{"message": one.message, **(one.extensions or {})} for one in done.errors or ()]
    return 200, {"data": done.data, **({"errors": errors} if errors else {})}, {}


@dataclass(frozen=True)
class _Root:
    host: Host
    viewer: str

    def repository(self, _: object, owner: str, name: str) -> object:
        if (owner, name) != ("octo", "models"):
            raise _refusal("NOT_FOUND", f"Could not resolve to a Repository with the name '{owner}/{name}'.")
        return {"pullRequest": self._pull}

    def _pull(self, _: object, number: int) -> object:
        if number != 7:
            raise _refusal("NOT_FOUND", f"Could not resolve to a PullRequest with the number of {number}.")
        return {"id": "PR_7", "comments": self._comments}

    def _comments(self, _: object, first: int | None = None, after: str | None = None, **__: object) -> object:
        if first is None or not 1 <= first <= PAGE:
            raise _refusal("EXCESSIVE_PAGINATION", "`first` must be 1 to 100.")
        begin = int(after.removeprefix("cursor:")) if after else 0
        end = begin + first
        page = {"hasNextPage": end < len(self.host.comments), "endCursor": f"cursor:{end}"}
        return {"nodes": [self._node(one) for one in self.host.comments[begin:end]], "pageInfo": page}

    def _node(self, one: Comment) -> dict[str, object]:
        # GitHub keeps the line ends of forms.
        return {
            "id": f"IC_{one.number}",
            "url": f"https://github.example/octo/models/pull/7#issuecomment-{one.number}",
            "body": one.body.replace("\n", "\r\n"),
            "viewerDidAuthor": one.author == self.viewer,
        }

    def addComment(self, _: object, input: Mapping[str, str]) -> object:  # noqa: A002, N802 (GraphQL's names)
        _require_short(input["body"])
        if input["subjectId"] != "PR_7":
            raise _refusal("NOT_FOUND", f"Could not resolve to a node with the global id of '{input['subjectId']}'")
        return {"commentEdge": {"node": self._node(self.host.add(self.viewer, input["body"]))}}

    def updateIssueComment(self, _: object, input: Mapping[str, str]) -> object:  # noqa: A002, N802 (GraphQL's names)
        _require_short(input["body"])
        found = next(one for one in self.host.comments if f"IC_{one.number}" == input["id"])
        if found.author != self.viewer:
            raise _refusal("FORBIDDEN", "Resource not accessible by integration")
        found.body = input["body"]
        return {"issueComment": self._node(found)}


def _require_short(body: str) -> None:
    if len(body) > LONGEST:
        raise _refusal("UNPROCESSABLE", f"Body is too long (maximum is {LONGEST} characters)")


def _refusal(kind: str, message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"type": kind})


def gitlab(host: Host, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
    """Answer as GitLab's REST API does, version 4."""
    parts = urlsplit(path)
    viewer = host.users.get(headers.get("private-token", ""))
    if viewer is None:
        return 401, {"message": "401 Unauthorized"}, {}
    asked = f"{method} {parts.path.removeprefix('/api/v4')}"
    answers: dict[str, Callable[[], Answer]] = {
        "GET /user": lambda: (200, {"id": _id(viewer), "username": viewer}, {}),
        f"GET {NOTES}": lambda: _page(host, parse_qs(parts.query)),
        f"POST {NOTES}": lambda: (201, _note(host.add(viewer, body["body"])), {}),
    }
    edits: dict[str, Callable[[], Answer]] = {
        f"PUT {NOTES}/{one.number}": partial(_edit, one, viewer, body) for one in host.comments
    }
    return (answers | edits).get(asked, lambda: (404, {"message": "404 Not found"}, {}))()


def _edit(found: Comment, viewer: str, body: Any) -> Answer:
    if found.author != viewer:
        return 403, {"message": "403 Forbidden"}, {}
    found.body = body["body"]
    return 200, _note(found), {}


def _page(host: Host, query: Mapping[str, list[str]]) -> Answer:
    size = min(int(query.get("per_page", ["20"])[0]), PAGE)
    page = int(query.get("page", ["1"])[0])
    # The newest stands first where nothing else is asked for.
    ordered = host.comments if query.get("sort") == ["asc"] else host.comments[::-1]
    following = str(page + 1) if page * size < len(ordered) else ""
    return 200, [_note(one) for one in ordered[(page - 1) * size : page * size]], {"X-Next-Page": following}


def _note(one: Comment) -> dict[str, object]:
    return {"id": one.number, "body": one.body, "author": {"id": _id(one.author)}, "system": one.author == "system"}


def _id(user: str) -> int:
    return sum(user.encode())

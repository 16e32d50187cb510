"""A comment on a pull request of GitHub, found again by its marker and edited in place.

GraphQL alone tells whether the token's owner wrote a comment (`viewerDidAuthor`), for the token of a workflow too:
whoever may comment could have planted the marker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.previews.hosts import Api, HostError, Posted, is_same, required, said

PUBLIC = "https://api.github.com"
COMMENTS = """
query Comments($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      id
      comments(first: 100, after: $after) {
        nodes { id url body viewerDidAuthor }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""
ADD = """
mutation Add($subject: ID!, $body: String!) {
  addComment(input: {subjectId: $subject, body: $body}) { commentEdge { node { url } } }
}
"""
EDIT = """
mutation Edit($id: ID!, $body: String!) {
  updateIssueComment(input: {id: $id, body: $body}) { issueComment { url } }
}
"""
_REMEDIES = {
    401: "GITHUB_TOKEN is not valid; give another",
    403: "give the token `pull-requests: write`",
    404: "check GITHUB_GRAPHQL_URL",
    "NOT_FOUND": "check repository and number, and that the token may read them",
    "FORBIDDEN": "give the token `pull-requests: write`",
    "INSUFFICIENT_SCOPES": "give the token `pull-requests: write`",
}


@dataclass(frozen=True)
class PullRequest:
    """A pull request, and the API that is asked."""

    api: Api
    owner: str
    name: str
    number: int

    @classmethod
    def of(cls, environment: Mapping[str, str], number: int | None) -> PullRequest:
        """Return the pull request that the variables of a workflow name; raises HostError."""
        token = required(environment, "GITHUB_TOKEN", "a token with `pull-requests: write`")
        repository = required(environment, "GITHUB_REPOSITORY", "OWNER/NAME")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise HostError(f"GITHUB_REPOSITORY: {repository!r} is not OWNER/NAME; set it so")
        owner, _, name = repository.partition("/")
        api = Api.of("GITHUB_GRAPHQL_URL", _graphql(environment), {"Authorization": f"Bearer {token}"})
        return cls(api, owner, name, number or _number(environment))

    def post(self, marker: str, body: str) -> Posted:
        """Edit the comment that begins with `marker`, or make it; raises HostError."""
        subject, found = self._found(marker)
        if found is None:
            made = self._ask(ADD, {"subject": subject, "body": body})
            return Posted(made["addComment"]["commentEdge"]["node"]["url"], "made")
        if is_same(found["body"], body):
            return Posted(found["url"], "left as it was")
        made = self._ask(EDIT, {"id": found["id"], "body": body})
        return Posted(made["updateIssueComment"]["issueComment"]["url"], "edited")

    def _found(self, marker: str) -> tuple[str, Mapping[str, Any] | None]:
        """Return the pull request's id, and the first comment of the token's owner that begins with `marker`."""
        after = None
        while True:
            asked = {"owner": self.owner, "name": self.name, "number": self.number, "after": after}
            pull = self._ask(COMMENTS, asked, again=True)["repository"]["pullRequest"]
            for one in pull["comments"]["nodes"]:
                if one["viewerDidAuthor"] and one["body"].startswith(marker):
                    return pull["id"], one
            page = pull["comments"]["pageInfo"]
            if not page["hasNextPage"]:
                return pull["id"], None
            after = page["endCursor"]

    def _ask(self, query: str, variables: Mapping[str, Any], *, again: bool = False) -> dict[str, Any]:
        answer = self.api.ask("POST", "", {"query": query, "variables": variables}, again=again)
        errors = answer.content.get("errors") if isinstance(answer.content, dict) else None
        if answer.status == 200 and not errors and isinstance(answer.content, dict):
            return dict(answer.content["data"])
        kind = errors[0].get("type") if errors else answer.status
        told = " ".join(str(errors[0].get("message")).split())[:300] if errors else said(answer)
        remedy = _REMEDIES.get(kind, "post again later")
        raise HostError(f"{self.owner}/{self.name}#{self.number}: GitHub refused ({kind}: {told}); {remedy}")


def commit(environment: Mapping[str, str]) -> str:
    """Return the commit that a workflow runs for: of a pull request its head, not what it was merged into."""
    event = _event(environment)
    head = (event.get("pull_request") or {}).get("head") or event.get("workflow_run") or {}
    return str(head.get("sha") or head.get("head_sha") or environment.get("GITHUB_SHA", ""))


def _graphql(environment: Mapping[str, str]) -> str:
    """Return the address of GraphQL, which a server of one's own has beside the REST API's `/api/v3`."""
    given = environment.get("GITHUB_GRAPHQL_URL")
    rest = environment.get("GITHUB_API_URL", PUBLIC).rstrip("/")
    return given or f"{rest.removesuffix('/v3')}/graphql"


def _number(environment: Mapping[str, str]) -> int:
    found = re.fullmatch(r"refs/pull/(\d+)/(merge|head)", environment.get("GITHUB_REF", ""))
    if found:
        return int(found.group(1))
    event = _event(environment)
    runs = (event.get("workflow_run") or {}).get("pull_requests") or [{}]
    places = (event.get("pull_request") or {}, event.get("issue") or {}, runs[0])
    number = next((one["number"] for one in places if isinstance(one.get("number"), int)), None)
    if number is None:
        raise HostError("GITHUB_REF: names no pull request, nor does GITHUB_EVENT_PATH; give --pull NUMBER")
    return int(number)


def _event(environment: Mapping[str, str]) -> dict[str, Any]:
    path = environment.get("GITHUB_EVENT_PATH")
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise HostError(f"GITHUB_EVENT_PATH: {path} cannot be read ({error}); give --pull NUMBER") from error
    return found if isinstance(found, dict) else {}

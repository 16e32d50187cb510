"""A comment (note) on a merge request of GitLab, found again by its marker and edited in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.previews.hosts import Answer, Api, HostError, Posted, is_same, required, said

PUBLIC = "https://gitlab.com/api/v4"
PAGE = 100
_REMEDIES = {
    401: "GITLAB_TOKEN is not valid; give another",
    403: "give the token the scope `api` and the role Reporter",
    404: "check project and number, and that the token may read them",
}


@dataclass(frozen=True)
class MergeRequest:
    """A merge request, the API that is asked, and the page that people read."""

    api: Api
    project: str
    number: int
    page: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str], number: int | None) -> MergeRequest:
        """Return the merge request that the variables of a pipeline name; raises HostError."""
        token = required(environment, "GITLAB_TOKEN", "a token with the scope `api` (CI_JOB_TOKEN may not comment)")
        # In the pipeline of a fork CI_PROJECT_ID is the fork.
        project = environment.get("CI_MERGE_REQUEST_PROJECT_ID") or required(
            environment, "CI_PROJECT_ID", "the project's number"
        )
        iid = str(number or required(environment, "CI_MERGE_REQUEST_IID", "the merge request's number, or give --pull"))
        for name, value in (("CI_PROJECT_ID", project), ("CI_MERGE_REQUEST_IID", iid)):
            if not value.isdecimal():
                raise HostError(f"{name}: {value!r} is no number; set it to one")
        api = Api.of("CI_API_V4_URL", environment.get("CI_API_V4_URL", PUBLIC), {"PRIVATE-TOKEN": token})
        return cls(api, project, int(iid), environment.get("CI_MERGE_REQUEST_PROJECT_URL", ""))

    def post(self, marker: str, body: str) -> Posted:
        """Edit the note that begins with `marker`, or make it; raises HostError."""
        found = self._found(marker)
        if found is None:
            made = self._ask("POST", self._notes, {"body": body}).content
            return Posted(self._url(made), "made")
        if is_same(found["body"], body):
            return Posted(self._url(found), "left as it was")
        return Posted(self._url(self._ask("PUT", f"{self._notes}/{found['id']}", {"body": body}).content), "edited")

    @property
    def _notes(self) -> str:
        return f"/projects/{self.project}/merge_requests/{self.number}/notes"

    def _found(self, marker: str) -> Mapping[str, Any] | None:
        """Return the first note of the token's owner that begins with `marker`."""
        own = self._ask("GET", "/user").content["id"]
        page = "1"
        while page:
            answer = self._ask("GET", f"{self._notes}?sort=asc&per_page={PAGE}&page={page}")
            for one in answer.content:
                if one["author"]["id"] == own and not one["system"] and one["body"].startswith(marker):
                    return dict(one)
            # The address of the next page would come from the host; its number does as well.
            page = answer.headers.get("X-Next-Page", "")
            if page and not page.isdecimal():
                raise HostError(f"{self.api.url}: names {page!r} as the next page, which is no number; post again")
        return None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        answer = self.api.ask(method, path, body, again=method == "GET")
        if answer.status in (200, 201) and answer.content is not None:
            return answer
        remedy = _REMEDIES.get(answer.status, "post again later")
        raise HostError(f"merge request !{self.number}: GitLab refused ({answer.status}: {said(answer)}); {remedy}")

    def _url(self, note: Mapping[str, Any]) -> str:
        place = f"{self.page}/-/merge_requests/{self.number}" if self.page else f"{self.api.url}{self._notes}"
        return f"{place}#note_{note['id']}"

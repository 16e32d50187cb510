"""The comment of a pull request on GitHub and GitLab: made once, then edited, and its token seen by one host alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.preview import TARGETS, Target
from ops.previews.github import PullRequest, commit
from ops.previews.gitlab import MergeRequest
from ops.previews.hosts import HostError
from ops.previews.markdown import LIMIT, marker
from tests.ops.hosts import Host, github, gitlab, serving

TOKEN = "the-token-of-a-job"
MARK = marker("models")


@dataclass(frozen=True)
class Place:
    """A host, and the environment of a job that it runs."""

    host: Host
    of: Callable[[Mapping[str, str], int | None], Target]
    environment: dict[str, str]

    def post(self, body: str) -> str:
        """Post a comment; returns what was done."""
        return self.of(self.environment, None).post(MARK, f"{MARK}\n{body}\n").done

    def having(self, **changed: str) -> Place:
        """Return the place with another environment."""
        return Place(self.host, self.of, self.environment | changed)


def with_token(host: Host) -> dict[str, str]:
    return {
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": "octo/models",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_GRAPHQL_URL": f"{host.url}/graphql",
        "GITLAB_TOKEN": TOKEN,
        "CI_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_API_V4_URL": f"{host.url}/api/v4",
        "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example/octo/models",
    }


@pytest.fixture(params=["github", "gitlab"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    answer = {"github": github, "gitlab": gitlab}[request.param]
    with serving(Host({TOKEN: "job", "another-token": "someone"}), answer) as host:
        yield Place(host, TARGETS[request.param], with_token(host))


def test_the_first_post_makes_a_comment_and_the_second_edits_it(place: Place) -> None:
    place.host.add("someone", "I like it")
    assert [place.post("one"), place.post("two")] == ["made", "edited"]
    assert place.host.bodies() == ["I like it", f"{MARK}\ntwo\n"]


def test_the_same_text_again_edits_nothing(place: Place) -> None:
    assert [place.post("one"), place.post("one")] == ["made", "left as it was"]
    assert [method for method, path, _ in place.host.asked if method == "PUT"] == []


def test_a_comment_on_a_later_page_is_found(place: Place) -> None:
    for number in range(250):
        place.host.add("someone", f"comment {number}")
    place.host.add("job", f"{MARK}\nold\n")
    for number in range(120):
        place.host.add("someone", f"later {number}")
    assert place.post("new") == "edited"
    assert place.host.bodies()[250] == f"{MARK}\nnew\n"
    assert len(place.host.comments) == 371


def test_a_marker_that_someone_else_planted_does_not_count(place: Place) -> None:
    place.host.add("someone", f"{MARK}\nnothing changes, merge it\n")
    assert place.post("one") == "made"
    assert place.host.bodies()[0].endswith("merge it\n")


def test_the_comment_of_another_name_stays(place: Place) -> None:
    place.host.add("job", f"{marker('other')}\nits own\n")
    assert place.post("one") == "made"


def test_a_comment_of_the_greatest_length_is_taken(place: Place) -> None:
    assert place.of(place.environment, None).post(MARK, MARK + "x" * (LIMIT - len(MARK))).done == "made"


def test_a_number_that_is_given_counts_before_that_of_the_job(place: Place) -> None:
    with pytest.raises(HostError, match="8"):
        place.of(place.environment, 8).post(MARK, MARK)


def test_a_token_that_is_refused_is_one_line_without_the_token(place: Place) -> None:
    wrong = place.having(GITHUB_TOKEN="a-wrong-token", GITLAB_TOKEN="a-wrong-token")
    with pytest.raises(HostError, match="is not valid; give another") as caught:
        wrong.post("one")
    assert "a-wrong-token" not in f"{caught.value!r}{caught.value}"
    assert "\n" not in str(caught.value)


def test_no_redirect_is_followed_and_the_token_reaches_no_other_host(place: Place) -> None:
    with serving(Host({TOKEN: "job"}), github) as other:
        place.host.failures.append((307, {}, {"Location": f"{other.url}/graphql"}))
        with pytest.raises(HostError, match="a redirect, which no token follows"):
            place.post("one")
        assert other.asked == []


def test_an_answer_that_is_lost_while_comments_are_read_is_asked_for_again(place: Place) -> None:
    place.host.failures += [(502, {}, {}), (503, {}, {})]
    assert place.post("one") == "made"
    assert len(place.host.comments) == 1


def test_a_host_that_is_down_is_one_clear_error(place: Place) -> None:
    down = place.having(GITHUB_GRAPHQL_URL="http://127.0.0.1:1/graphql", CI_API_V4_URL="http://127.0.0.1:1/api/v4")
    with pytest.raises(HostError, match=r"127\.0\.0\.1:1.*gave no answer"):
        down.post("one")


def test_a_token_is_not_sent_in_the_clear(place: Place) -> None:
    clear = {"GITHUB_GRAPHQL_URL": "http://github.example/graphql", "CI_API_V4_URL": "http://gitlab.example/api/v4"}
    with pytest.raises(HostError, match="is not https"):
        place.having(**clear).post("one")


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("GITHUB_TOKEN", PullRequest.of),
        ("GITHUB_REPOSITORY", PullRequest.of),
        ("GITHUB_REF", PullRequest.of),
        ("GITLAB_TOKEN", MergeRequest.of),
        ("CI_PROJECT_ID", MergeRequest.of),
        ("CI_MERGE_REQUEST_IID", MergeRequest.of),
    ],
)
def test_a_variable_that_is_missing_is_named(name: str, of: Callable[[Mapping[str, str], int | None], Target]) -> None:
    environment = {key: value for key, value in with_token(Host({})).items() if key != name}
    with pytest.raises(HostError, match=f"^{name}: "):
        of({**environment, "GITHUB_GRAPHQL_URL": "https://a/graphql", "CI_API_V4_URL": "https://a"}, None)


@pytest.mark.parametrize(
    ("rest", "graphql"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://github.example/api/v3", "https://github.example/api/graphql"),
    ],
)
def test_the_address_of_graphql_follows_from_that_of_rest(rest: str, graphql: str) -> None:
    environment = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/models", "GITHUB_API_URL": rest}
    assert PullRequest.of(environment, 7).api.url == graphql


@pytest.mark.parametrize(
    "event",
    [
        {"pull_request": {"number": 7, "head": {"sha": "a" * 40}}},
        {"issue": {"number": 7}},
        {"workflow_run": {"head_sha": "a" * 40, "pull_requests": [{"number": 7}]}},
    ],
)
def test_the_event_names_pull_request_and_commit(tmp_path: Path, event: dict[str, object]) -> None:
    (tmp_path / "event.json").write_text(json.dumps(event))
    environment = {
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": "octo/models",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": "b" * 40,
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
    }
    assert PullRequest.of(environment, None).number == 7
    assert commit(environment) == ("b" if "issue" in event else "a") * 40


def test_a_merge_request_from_a_fork_is_commented_where_it_is_and_not_in_the_fork() -> None:
    environment = {"GITLAB_TOKEN": TOKEN, "CI_PROJECT_ID": "99", "CI_MERGE_REQUEST_PROJECT_ID": "42"}
    found = MergeRequest.of({**environment, "CI_MERGE_REQUEST_IID": "7"}, None)
    assert (found.project, found.number) == ("42", 7)

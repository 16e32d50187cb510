"""What names a review stack, and what is refused in one line before anything is made."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ops.__main__ import main
from ops.review import names
from ops.review.names import UsageError

HOSTILE = (
    "",
    "0",
    "007",
    "../x",
    "1;rm -rf /",
    "1" * 200,
    "\u0661\u0662",
    "\uff11\uff12",
    "1\n2",
    " 7",
    "7 ",
    "-0",
    "1e3",
    "$(id)",
    "%2e",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_number_of_a_pull_request_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.pull_request(text)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "ünï", "a" * 64, "../x", "-x", "a;b", "a'b", "[bot]"])
def test_what_is_no_owner_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--owner"):
        names.owner(text)


@pytest.mark.parametrize("text", ["someone", "a.b@example.com", "dependabot[bot]", "x" * 63])
def test_logins_and_addresses_are_owners(text: str) -> None:
    assert names.owner(text) == text


def test_the_owner_is_whom_ci_names() -> None:
    assert names.owner(None, {"GITHUB_ACTOR": "octocat", "USER": "root"}) == "octocat"


@pytest.mark.parametrize("text", ["", "24", "0h", "-1h", "1w", "31d", "9999999h", "1.5h", "1h30m"])
def test_what_is_no_time_to_live_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--ttl"):
        names.life(text)


def test_times_to_live() -> None:
    found = [names.life(one) for one in ("90s", "30m", "24h", "30d")]
    assert found == [timedelta(seconds=90), timedelta(minutes=30), timedelta(days=1), timedelta(days=30)]


@pytest.mark.parametrize("text", ["../dev", "", "review-7", "a/b", "x" * 101])
def test_settings_are_those_of_another_stack(text: str) -> None:
    with pytest.raises(UsageError, match="--from"):
        names.source(text)


@pytest.mark.parametrize(
    ("stack", "number"),
    [
        ("review-7", 7),
        ("acme/review-12", 12),
        ("acme/modelstack/review-12", 12),
        ("review-0", None),
        ("review-7-copy", None),
        ("review-", None),
        ("dev", None),
        ("production-review-7", None),
        ("review-\uff11", None),
    ],
)
def test_a_stack_is_known_by_its_whole_name(stack: str, number: int | None) -> None:
    assert names.number_of(stack) == number


@pytest.mark.parametrize(
    "arguments", [["up", "../x"], ["down", "1;rm"], ["up", "7", "--owner", "a b"], ["list", "--from", "/"]]
)
def test_a_hostile_word_ends_the_command_with_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing could be run here: there is no project, and no engine.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["review", *arguments]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert list(tmp_path.iterdir()) == []

"""`ops history` and `ops rollback` on a stack of a real engine that ran several versions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ops import history
from ops.model_images import TYPE, ModelImage
from ops.versions import LONG_AGO
from ops.versions import versions as listed
from tests.ops.shops import METRICS, MODEL, Ops, Shop, at_home, open_shop
from tests.provider.stacks import Stack
from tests.registry import free_port, push

pytestmark = pytest.mark.timeout(600)
PROD = "prod"


@dataclass(frozen=True)
class Past:
    """A stack and the digests that it had, the latest last."""

    stack: Stack
    digests: tuple[str, ...]
    commits: tuple[str, ...]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


def committed(folder: Path, text: str) -> str:
    """Change the model in a commit and return its hash."""
    (folder / "tiny/model.py").write_text(f"def build(): return {text!r}\n")
    git = ("git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run([*git, "add", "tiny"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", text], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def past(shop: Shop) -> Past:
    """A stack that was brought up from three commits; of the second nothing came up, for no endpoint was known."""
    subprocess.run(["git", "init", "--quiet", str(shop.folder)], check=True)
    stack = shop.stack(PROD, shop.hosts[0], "prod")
    digests, commits = [], []
    for text in ("first", "second", "third"):
        commits.append(committed(shop.folder, text))
        digests.append(shop.push(shop.hosts[0], "prod", text).digest)
        done = (stack.having(FAIL="1") if text == "second" else stack).run("up")
        assert (done.code == 0) is (text != "second"), done.said
    return Past(stack, tuple(digests), tuple(commits))


@pytest.fixture
def ops(shop: Shop, past: Past, monkeypatch: pytest.MonkeyPatch) -> Ops:
    return at_home(shop, monkeypatch)


@pytest.fixture
def settings(shop: Shop, past: Past) -> Iterator[Path]:
    """The stack's file, as it was before a test."""
    path = shop.folder / f"Pulumi.{PROD}.yaml"
    text = path.read_bytes()
    yield path
    path.write_bytes(text)


def versions(ops: Ops, capsys: pytest.CaptureFixture[str], *further: str) -> list[dict[str, Any]]:
    assert ops("history", MODEL, "--json", *further) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["versions"]
    return found


def test_history_lists_each_version_with_its_commit_and_whether_it_came_up(
    ops: Ops, past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    found = versions(ops, capsys)
    assert [one["digest"] for one in found] == list(reversed(past.digests))
    taken = [one["stacks"][0] for one in found]
    assert [one["update"]["commit"] for one in taken] == list(reversed(past.commits))
    assert [one["update"]["author"] for one in taken] == ["Ada"] * 3
    assert [one["served"] for one in taken] == [True, False, True]
    assert [one["until"] is None for one in taken] == [True, False, False]


def test_history_tells_metrics_and_bytes_from_the_registry(
    ops: Ops, past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    found = versions(ops, capsys)
    assert [one["metrics"] for one in found] == [METRICS] * 3
    assert all(one["bytes"] > 0 for one in found)


def test_of_one_stack_the_versions_are_numbered_backwards(
    ops: Ops, past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ops("history", MODEL, "--stack", PROD) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [
        [str(at), digest[:19]] for at, digest in enumerate(reversed(past.digests))
    ]
    assert lines[1].endswith("prod (never came up)")


@pytest.mark.parametrize("arguments", [("other",), (MODEL, "--stack", "nowhere")])
def test_a_model_or_stack_that_is_not_there_is_exit_code_2(
    ops: Ops, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ops("history", *arguments) == 2
    assert "correct" in capsys.readouterr().err


def test_a_rollback_leaves_out_what_never_came_up(
    ops: Ops, past: Past, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ops("rollback", PROD, MODEL) == 0
    assert f"{past.digests[1][:19]} never came up in prod; it is left out" in capsys.readouterr().err
    assert f"pin: {past.digests[0]}" in settings.read_text()


def test_the_preview_shows_the_pin_and_builds_nothing(ops: Ops, past: Past, settings: Path) -> None:
    assert ops("rollback", PROD, MODEL, "--to", past.digests[0][7:20]) == 0
    done = past.stack.run("preview")
    operation, outputs = done.planned(TYPE)
    assert (operation, outputs["digest"]) == ("update", past.digests[0])
    assert [one for one in done.messages() if "is pinned, whatever the recipe says" in one], done.said


def test_up_goes_back_and_without_the_pin_forward_again(
    ops: Ops, past: Past, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = settings.read_bytes()
    assert ops("rollback", PROD, MODEL, "--to", "2", "--up", "--yes") == 0
    assert past.stack.outputs()["image"].endswith(past.digests[0])
    capsys.readouterr()
    assert [one["digest"] for one in versions(ops, capsys, "--stack", PROD)] == list(reversed(past.digests))
    assert ops("rollback", PROD, MODEL) == 2
    assert "knows no version before" in capsys.readouterr().err
    assert ops("rollback", PROD, MODEL, "--undo", "--up", "--yes") == 0
    assert settings.read_bytes() == before
    assert past.stack.outputs()["image"].endswith(past.digests[2])


def test_a_dry_run_shows_the_change_and_writes_nothing(
    ops: Ops, past: Past, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = settings.read_bytes()
    assert ops("rollback", PROD, MODEL, "--to", "2", "--dry-run") == 0
    assert f"pin: {past.digests[0]}" in capsys.readouterr().out
    assert settings.read_bytes() == before


@pytest.mark.parametrize(
    ("to", "refused"),
    [
        ("9", (2, "is not from 1 to 2")),
        ("abc", (2, "names 0 versions of tiny")),
        (f"sha256:{'0' * 64}", (3, "is not there; pin a version")),
    ],
)
def test_a_version_that_is_not_there_is_refused_and_nothing_is_written(
    ops: Ops, settings: Path, to: str, refused: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = settings.read_bytes()
    assert ops("rollback", PROD, MODEL, "--to", to) == refused[0]
    assert refused[1] in capsys.readouterr().err
    assert settings.read_bytes() == before


def test_an_image_that_no_trusted_key_signed_is_refused(
    ops: Ops, shop: Shop, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = push(shop.hosts[0], f"prod/{MODEL}", "planted")
    assert ops("rollback", PROD, MODEL, "--to", digest) == 3
    assert "is not signed" in capsys.readouterr().err


def test_a_version_of_which_nobody_knows_the_time_is_listed_all_the_same() -> None:
    image = ModelImage("urn:pulumi:dev::shop::t::tiny", {"digest": "sha256:1", "inputsHash": "2"})
    (one,) = listed(PROD, image, [])
    assert (one.digest, one.began, one.until, one.served) == ("sha256:1", LONG_AGO, None, None)


def test_a_registry_that_is_away_is_told_and_the_version_all_the_same(tmp_path: Path) -> None:
    place = {"push": f"127.0.0.1:{free_port()}", "repository": "shop/tiny"}
    image = ModelImage("urn:pulumi:dev::shop::t::tiny", {"digest": "sha256:1", "inputsHash": "2", **place})
    (row,) = history.rows(tmp_path, [(image, listed(PROD, image, []))])
    assert row.latest.digest == "sha256:1"
    assert place["push"] in row.facts.why
    assert row.values()["bytes"] is None

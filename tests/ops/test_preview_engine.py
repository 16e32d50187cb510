"""`ops preview` on stacks of the real engine: one comment of several, secrets, exit codes, what is posted."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ops.hosts import Host, github, serving
from tests.provider.stacks import Project, Stack

pytestmark = pytest.mark.build
CANARY = "canary/of+the=house"
# A stack on a cluster of its own, so that nothing is started for it.
SETTINGS = "config:\n  modelstack:cluster: {kubeconfig: none}\n"
PROGRAM = """
import base64
import pulumi
from provider.resources import Password

def leak(values):
    told = ", ".join(f"{value} {base64.b64encode(b'user:' + value.encode()).decode()}" for value in values)
    pulumi.log.warn(f"@team leaked {told}")

config = pulumi.Config()
passwords = [Password(f"password-{number}") for number in range(config.get_int("passwords") or 1)]
pulumi.Output.all(passwords[0].value, config.require_secret("canary")).apply(leak)
pulumi.export("cost", 12)
if config.get("fails"):
    raise pulumi.RunError("fails: is set; unset it")
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    error: str

    @property
    def previews(self) -> dict[str, dict[str, Any]]:
        """Return the previews of a document, by stack."""
        return {one["stack"]: one for one in json.loads(self.out)["previews"]}


@dataclass(frozen=True)
class Shop:
    """A project of which stack `up` is up with one password, and stack `new` is not."""

    up: Stack
    password: str

    def preview(self, *arguments: str, **environment: str) -> Said:
        """Run `ops preview` as a user does."""
        command = [sys.executable, "-m", "ops", "preview", *arguments]
        own = self.up.environment | environment
        done = subprocess.run(command, cwd=self.up.folder, env=own, capture_output=True, text=True, check=False)
        return Said(done.returncode, done.stdout, done.stderr)

    def set(self, stack: str, *setting: str) -> None:
        """Change a stack's configuration."""
        command = ["pulumi", "config", *setting, "--stack", stack]
        subprocess.run(command, cwd=self.up.folder, env=self.up.environment, check=True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop") / "project"
    project = Project.make(folder, PROGRAM)
    stacks = {name: project.stack(name) for name in ("up", "new")}
    for name, stack in stacks.items():
        settings = folder / f"Pulumi.{name}.yaml"
        settings.write_text(settings.read_text() + SETTINGS)
        Shop(stack, "").set(name, "set", "--secret", "canary", CANARY)
    done = stacks["up"].run("up")
    assert done.code == 0, done.said
    command = ["pulumi", "stack", "export", "--show-secrets", "--stack", "up"]
    state = subprocess.run(command, cwd=folder, env=project.environment, capture_output=True, text=True, check=True)
    resources = json.loads(state.stdout)["deployment"]["resources"]
    (password,) = [one["outputs"]["value"]["plaintext"] for one in resources if one["type"].endswith("Password")]
    return Shop(stacks["up"], json.loads(password))


@pytest.fixture(scope="module")
def found(shop: Shop) -> Said:
    """A new stack, one that is up, and one that has no settings, in one document."""
    named = ("--stack", "new", "--stack", "up", "--stack", "none")
    return shop.preview(*named, "--comment", "-", "--format", "json")


@pytest.fixture
def written(found: Said, tmp_path: Path) -> Path:
    """The document in a file, as another job gets it."""
    (tmp_path / "previews.json").write_text(found.out)
    return tmp_path / "previews.json"


def test_several_stacks_are_one_document_and_progress_goes_to_standard_error(found: Said) -> None:
    assert list(found.previews) == ["new", "up", "none"]
    assert "Previewing update (new)" in found.error
    assert "Previewing update (up)" in found.error


def test_a_preview_that_cannot_begin_stops_no_other_and_gives_its_exit_code(found: Said) -> None:
    assert found.code == 1
    assert [one["code"] for one in found.previews.values()] == [0, 0, 1]
    assert found.previews["none"]["reason"] == "STACK: Pulumi.none.yaml is no file; write it, or name one of new, up"


def test_no_secret_of_configuration_or_state_is_told_in_any_form(shop: Shop, found: Said, written: Path) -> None:
    for form in ("markdown", "text", "json"):
        told = shop.preview("--from", str(written), "--comment", "-", "--format", form).out
        assert "leaked [secret]" in told.replace("&#91;", "[").replace("&#93;", "]"), told
        for secret in (CANARY, shop.password):
            # The first and last letters in base64 hold what is beside the secret.
            coded = base64.b64encode(b"user:" + secret.encode()).decode()[8:-4]
            assert secret not in told
            assert coded not in told
            # It is what the engine itself shows while it runs: the test would see it.
            assert coded in found.error


def test_the_form_is_chosen_when_it_is_told(shop: Shop, written: Path) -> None:
    told = shop.preview("--from", str(written), "--comment", "-").out
    assert told.startswith("<!-- modelstack preview tiny -->\n## Preview\n\n### `new`: 2 created\n")
    assert "\n### `up`: nothing changes (2 resources)\n" in told
    assert shop.preview("--from", str(written), "--comment", "-", "--format", "text").out.startswith("Preview\n\nnew: ")


def test_a_preview_that_fails_tells_why_and_counts_what_the_engine_counts(shop: Shop) -> None:
    shop.set("up", "set", "fails", "yes")
    shop.set("up", "set", "passwords", "3")
    done = shop.preview("--stack", "up", "--comment", "-")
    for name in ("fails", "passwords"):
        shop.set("up", "rm", name)
    assert done.code == 1
    said = "### `up`: the preview failed with exit code 1\n\n**Errors**\n\n```text\nfails: is set; unset it\n```"
    assert said in done.out
    assert "| `modelstack:index:Password` | 2 | 1 |" in done.out
    assert "+ 2 to create" in done.error
    assert "2 unchanged" in done.error


def test_a_preview_that_the_engine_refuses_tells_its_last_words(shop: Shop) -> None:
    done = shop.preview("--stack", "up", "--comment", "-", PULUMI_CONFIG_PASSPHRASE="a wrong phrase")
    assert done.code != 0
    assert "### `up`: the preview failed" in done.out
    assert "passphrase" in done.out
    assert "a wrong phrase" not in done.out


def test_without_a_comment_the_engine_alone_speaks(shop: Shop) -> None:
    done = shop.preview("--stack", "up", "--stack", "none", "--", "--color", "never")
    assert done.code == 1
    assert "Previewing update (up)" in done.out
    assert "<!--" not in done.out


def test_what_one_job_wrote_another_posts_and_edits_without_any_preview(shop: Shop, written: Path) -> None:
    with serving(Host({"a-token": "job"}), github) as host:
        job = {"GITHUB_TOKEN": "a-token", "GITHUB_REPOSITORY": "octo/models", "GITHUB_API_URL": host.url}
        post = ("--from", str(written), "--post", "github", "--pull", "7")
        done = [shop.preview(*post, GITHUB_SHA="ab" * 20, **job) for _ in range(2)]
        written.write_text(written.read_text().replace('"up"', '"<b>@team</b>"').replace('"tiny"', '"prod"'))
        done.append(shop.preview(*post, GITHUB_SHA="cd" * 20, **job))
    assert [one.code for one in done] == [0, 0, 0], done
    said = [one.error.partition(": ")[0] for one in done]
    assert said == ["comment made", "comment left as it was", "comment edited"]
    (body,) = host.bodies()
    assert body.startswith("<!-- modelstack preview tiny -->\n## Preview of `cdcdcdcdcdcd`\n")
    assert "\n### `<b>@team</b>`: " in body


@pytest.mark.parametrize(
    "text", ["not json", '{"version": 2}', '{"version": 1, "name": "x", "previews": [{"code": 1}]}']
)
def test_a_document_that_is_none_is_refused(shop: Shop, tmp_path: Path, text: str) -> None:
    (tmp_path / "found.json").write_text(text)
    done = shop.preview("--from", str(tmp_path / "found.json"), "--comment", "-")
    assert (done.code, done.out) == (1, "")
    assert done.error.startswith("error: --from: ")
    assert len(done.error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--post", "github"), 3, "error: GITHUB_TOKEN: is not set"),
        (("--post", "gitlab"), 3, "error: GITLAB_TOKEN: is not set"),
        (("--comment", "-", "--name=-->"), 1, "error: --name: '-->' must be 1 to 64 letters"),
        (("--format", "json"), 2, "error: --from and --format: tell nothing by themselves"),
    ],
)
def test_what_cannot_be_told_is_refused_before_any_preview(
    shop: Shop, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = shop.preview("--stack", "up", *arguments)
    assert done.code == code
    assert done.error.startswith(said), done.error
    assert "Previewing" not in done.error + done.out


def test_a_comment_that_is_refused_gives_an_exit_code_of_its_own(shop: Shop, written: Path) -> None:
    with serving(Host({}), github) as host:
        job = {"GITHUB_TOKEN": "a-token", "GITHUB_REPOSITORY": "octo/models", "GITHUB_API_URL": host.url}
        done = shop.preview("--from", str(written), "--post", "github", "--pull", "7", **job)
    assert done.code == 3
    assert "GITHUB_TOKEN is not valid; give another" in done.error

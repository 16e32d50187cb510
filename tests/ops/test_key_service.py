"""A stack whose secrets are under a key of AWS KMS, by the real engine: the service is moto's, behind a port."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

import settings
from ops.engine import own_settings
from tests.conftest import PROJECT
from tests.provider.programs import engine_folder

REGION = "eu-central-1"
SECRET = "https://hooks.example.com/T0/B0"  # pragma: allowlist secret
pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@dataclass
class KeyService:
    """KMS as the engine asks it, and which calls it made."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyService]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        kms = boto3.client("kms", region_name=REGION)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/modelstack", TargetKeyId=key)
        made = KeyService()
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kms, made))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()
        server.server_close()


def _handler(kms: Any, made: KeyService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.headers["x-amz-target"].rpartition(".")[2]
            made.asked.append(asked)
            given = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = _answer(kms, asked, given)
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _answer(kms: Any, asked: str, given: dict[str, Any]) -> tuple[int, bytes]:
    try:
        if asked == "Encrypt":
            made = kms.encrypt(KeyId=given["KeyId"], Plaintext=base64.b64decode(given["Plaintext"]))
            told = {"CiphertextBlob": _text(made["CiphertextBlob"]), "KeyId": made["KeyId"]}
        else:
            assert asked == "Decrypt"
            made = kms.decrypt(CiphertextBlob=base64.b64decode(given["CiphertextBlob"]))
            told = {"Plaintext": _text(made["Plaintext"]), "KeyId": made["KeyId"]}
    except ClientError as error:
        return 400, json.dumps({"__type": error.response["Error"]["Code"], "message": str(error)}).encode()
    return 200, json.dumps(told).encode()


def _text(given: bytes) -> str:
    return base64.b64encode(given).decode()


@dataclass
class Folder:
    """A project with stacks in a folder of its own."""

    path: Path
    service: KeyService

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the engine; it is told no passphrase."""
        strange = ("PULUMI_", "AWS_")
        own = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        told = {
            "PULUMI_BACKEND_URL": f"file://{self.path}",
            "PULUMI_HOME": str(self.path / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        }
        command = [str(engine_folder() / "pulumi"), "--non-interactive", *arguments]
        return subprocess.run(
            command, cwd=self.path, env=own | told, capture_output=True, text=True, check=False, timeout=120
        )

    def made_of(self, key: str) -> subprocess.CompletedProcess[str]:
        """Make stack prod, whose secrets are under a key."""
        url = f"awskms://{key}?region={REGION}&endpoint={self.service.url}"
        return self.pulumi("stack", "init", "prod", "--secrets-provider", url)


@pytest.fixture
def folder(tmp_path: Path, service: KeyService) -> Folder:
    (tmp_path / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
    return Folder(tmp_path, service)


def test_a_secret_lies_encrypted_in_the_settings_and_only_the_service_reads_it(folder: Folder) -> None:
    done = folder.made_of("alias/modelstack")
    assert done.returncode == 0, done.stderr
    done = folder.pulumi("config", "set", "--secret", "--path", "modelstack:notifications.slack", SECRET, "-s", "prod")
    assert done.returncode == 0, done.stderr
    written = (folder.path / "Pulumi.prod.yaml").read_text()
    assert SECRET not in written
    assert yaml.safe_load(written)["secretsprovider"].startswith("awskms://alias/modelstack")
    assert yaml.safe_load(written)["encryptedkey"]
    folder.service.asked.clear()
    told = folder.pulumi("config", "get", "--path", "modelstack:notifications.slack", "-s", "prod")
    assert (told.returncode, told.stdout.strip()) == (0, SECRET)
    assert set(folder.service.asked) == {"Decrypt"}


def test_a_key_that_is_not_there_makes_no_stack(folder: Folder) -> None:
    done = folder.made_of("alias/other")
    assert done.returncode != 0
    assert "NotFoundException" in done.stderr
    assert (
        not (folder.path / "Pulumi.prod.yaml").exists()
        or "encryptedkey" not in (folder.path / "Pulumi.prod.yaml").read_text()
    )


def test_what_the_key_service_adds_to_a_stacks_file_is_no_setting(folder: Folder) -> None:
    own = (PROJECT / "Pulumi.dev.yaml").read_text()
    (folder.path / "Pulumi.prod.yaml").write_text(own)
    (folder.path / "models").symlink_to(PROJECT / "models")
    done = folder.made_of("alias/modelstack")
    assert done.returncode == 0, done.stderr
    assert "awskms://" in (folder.path / "Pulumi.prod.yaml").read_text()
    assert settings.load(own_settings(folder.path, "prod"), folder.path, "prod").models

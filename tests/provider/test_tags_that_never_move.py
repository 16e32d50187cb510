"""A registry whose tags never move, as ECR can be told: the same tag on the same digest is not put again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_build.oci.descriptor import MANIFEST
from model_build.oci.registry import Registry
from model_build.oci.upload import put_blob
from provider.registry import Repository


def test_a_tag_that_is_there_is_left_as_it_is(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(host)
    described = put_blob(registry, "team/fixed", b"{}")
    config = {"mediaType": described.media_type, "digest": described.digest, "size": described.size}
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}).encode()
    registry.put("team/fixed", "first", body, MANIFEST)
    repository = Repository(host, "team/fixed", None, tmp_path)
    digest = repository.digest("first")
    assert digest is not None
    repository.tag(digest, "inputs-1")

    def never(*_: Any) -> None:
        raise AssertionError("a tag was put again")

    monkeypatch.setattr(Registry, "put", never)
    repository.tag(digest, "inputs-1")
    assert repository.digest("inputs-1") == digest
    with pytest.raises(AssertionError, match="put again"):
        repository.tag(digest, "inputs-2")

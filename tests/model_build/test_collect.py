import os
import time
from pathlib import Path

import pytest

from model_build.__main__ import main
from model_build.cache import StepStore
from model_build.collect import DAY, collect


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    """A cache with one artifact, `kept`, that was last of use forty days ago."""
    made = StepStore(tmp_path)
    with made.scratch() as folder:
        (folder / "kept").mkdir()
        (folder / "kept" / "file").write_bytes(b"12345")
        made.put("kept", folder / "kept", seconds=1.0, facts={})
    age(tmp_path / "steps" / "kept", 40)
    return made


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_what_no_build_has_used_for_long_is_removed(store: StepStore) -> None:
    removed = collect(store.root, 30, remove=True)
    assert removed.entries == 1
    assert removed.size > 5
    assert list(removed.places) == ["steps"]
    assert store.get("kept") is None


def test_without_yes_the_same_is_told_and_nothing_is_removed(
    store: StepStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELSTACK_CACHE", str(store.root))
    assert main(["gc"]) == 0
    told = capsys.readouterr().out
    assert (store.root / "steps" / "kept").exists()
    assert main(["gc", "--yes"]) == 0
    assert not (store.root / "steps" / "kept").exists()
    assert told.endswith(" would be removed; add --yes\n")
    assert capsys.readouterr().out == told.replace("would be removed; add --yes", "removed")


def test_what_was_used_since_stays(store: StepStore) -> None:
    assert store.get("kept") is not None
    assert collect(store.root, 30, remove=True).entries == 0
    assert store.get("kept") is not None


def test_old_reports_and_logs_go_and_binaries_stay(store: StepStore) -> None:
    for place in ("reports", "logs", "bin"):
        (store.root / place).mkdir()
        (store.root / place / "old").write_text("old")
        age(store.root / place / "old", 40)
    assert collect(store.root, 30, remove=True).entries == 3
    assert (store.root / "bin" / "old").exists()

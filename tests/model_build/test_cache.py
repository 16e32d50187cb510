from pathlib import Path

import pytest

from model_build.cache import StepStore


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore(tmp_path / "cache")


def put(store: StepStore, key: str = "a" * 64, text: str = "content") -> Path:
    with store.scratch() as scratch:
        made = scratch / "made"
        made.mkdir()
        (made / "file").write_text(text)
        return store.put(key, made, seconds=1.5, facts={"size": 7}).path


def test_an_artifact_is_found_again_with_what_it_told(store: StepStore) -> None:
    put(store)
    found = store.get("a" * 64)
    assert found is not None
    assert (found.path / "file").read_text() == "content"
    assert (found.seconds, found.facts) == (1.5, {"size": 7})


def test_the_digest_of_an_artifact_is_that_of_its_files(store: StepStore) -> None:
    put(store, "a" * 64)
    put(store, "b" * 64)
    put(store, "c" * 64, "other")
    digests = [found.digest for key in "abc" if (found := store.get(key * 64))]
    assert digests[0] == digests[1] != digests[2]


def test_an_artifact_that_is_missing_is_none(store: StepStore) -> None:
    assert store.get("a" * 64) is None


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "record"])
def test_a_damaged_artifact_is_not_used_and_can_be_made_again(store: StepStore, damage: str) -> None:
    folder = put(store)
    match damage:
        case "changed":
            (folder / "file").write_text("Content")
        case "removed":
            (folder / "file").unlink()
        case "added":
            (folder / "more").write_text("x")
        case _:
            record = folder.parent / "step.json"
            record.write_text(record.read_text().replace('"size": 7', '"size": 8'))
    assert store.get("a" * 64) is None
    put(store)
    assert store.get("a" * 64) is not None


def test_a_link_in_an_artifact_is_refused(store: StepStore) -> None:
    with store.scratch() as scratch:
        made = scratch / "made"
        made.mkdir()
        (made / "link").symlink_to("/etc/hostname")
        with pytest.raises(ValueError, match="is a link"):
            store.put("a" * 64, made, seconds=0, facts={})


def test_what_a_dead_build_left_is_swept_and_a_living_one_keeps_its_own(store: StepStore) -> None:
    left = store.root / "tmp" / "left"
    left.mkdir(parents=True)
    with store.scratch() as scratch:
        assert store.sweep() == 1
        assert scratch.is_dir()
    assert list((store.root / "tmp").iterdir()) == []

"""Which of several workers a build is, and what it may not share with them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from model_build.build import Order, build
from model_build.errors import EnvironmentFault, RecipeError
from model_build.events import JsonLines
from model_build.ranks import Rank, rank_of
from model_build.worker import scrubbed

TOLD = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "first", "MASTER_PORT": "23456"}


def test_a_build_that_is_told_nothing_is_alone_and_the_first() -> None:
    for told in ({}, {"WORLD_SIZE": "1"}, {"RANK": "3"}):
        assert (rank_of(told).alone, rank_of(told).first) == (True, True)


def test_an_engine_says_which_worker_it_is() -> None:
    assert rank_of(TOLD) == Rank(1, 4)
    assert not rank_of(TOLD).first
    assert rank_of({**TOLD, "RANK": "0"}).first


@pytest.mark.parametrize("changes", [{"RANK": "4"}, {"RANK": "-1"}, {"MASTER_ADDR": ""}, {"MASTER_PORT": "http"}])
def test_what_says_no_worker_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(EnvironmentFault, match=r"workers: RANK=.* do not say which worker this is"):
        rank_of({**TOLD, **changes})


def test_the_process_that_trains_is_told_of_the_others_and_of_no_key(tmp_path: Path) -> None:
    kept = scrubbed({**TOLD, "MODELSTACK_DEVICE": "cuda", "SIGNING_KEY": "x", "AWS_CONTAINER_TOKEN": "x"}, tmp_path)
    assert {**TOLD, "MODELSTACK_DEVICE": "cuda"}.items() <= kept.items()
    assert not {"SIGNING_KEY", "AWS_CONTAINER_TOKEN"} & set(kept)


def test_a_search_by_the_clock_is_not_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**TOLD, "MODELSTACK_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    recipe = tmp_path / "spam" / "recipe.yaml"
    recipe.parent.mkdir()
    (recipe.parent / "model.py").touch()
    recipe.write_text(
        "version: 1\nname: spam\nmodel: model.py:build\ndata: model.py:load\n"
        "steps: [{train: {epochs: 1, batch_size: 8, learning_rate: 0.1, patience: 1}}, {export: {opset: 20}}]\n"
        "search: {candidates: {int8: [{quantize: {method: dynamic-int8}}]}}\ngates: {min_accuracy: 0.5}\n"
    )
    with pytest.raises(RecipeError, match=r"search: is tried until its seconds are over, which 4 workers would count"):
        build(Order(recipe, None, None), JsonLines(io.StringIO()))

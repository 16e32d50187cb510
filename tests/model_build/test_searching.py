"""Whole builds of a recipe that leaves the choice to the search."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house, ran

pytestmark = pytest.mark.build
INT8, PRUNED = "{quantize: {method: static-int8}}", "{prune: {method: structured, amount: 0.5, finetune: {epochs: 2}}}"
CANDIDATES = ["fp32", "int8", "pruned", "pruned-int8"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> Iterator[House]:
    made = open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)
    with made.searching(f"int8: [{INT8}]", f"pruned: [{PRUNED}]", f"pruned-int8: [{PRUNED}, {INT8}]"):
        yield made


def test_every_candidate_is_in_the_report_with_its_figures_and_why_it_lost(house: House) -> None:
    code, events = house.build()
    assert code == 0, events[-1]
    report = house.report(events)
    rows = report["facts"]["search"]["tried"]
    assert sorted(row["name"] for row in rows) == CANDIDATES
    assert [row["name"] for row in rows if not row["lost"]] == [report["chosen"]]
    assert all(row["lost"] or row["speedup"] >= 1 for row in rows)


def test_equal_steps_of_two_candidates_are_run_once_and_a_second_build_runs_none(house: House) -> None:
    _, events = house.build()
    states = {row["name"]: row["state"] for row in events[-1]["steps"]}
    assert states["pruned-int8/prune"] == "cached"
    _, events = house.build()
    assert ran(events) == []


def test_candidates_that_come_after_the_searchs_seconds_are_named_as_not_tried(house: House) -> None:
    with house.changed("recipe.yaml", r"seconds: 600", "seconds: 0.000001"):
        code, events = house.build()
    assert code == 0, events[-1]
    report = house.report(events)
    assert report["chosen"] == "fp32"
    rows = {row["name"]: row["lost"] for row in report["facts"]["search"]["tried"]}
    assert rows.pop("fp32") == ""
    assert set(rows) == set(CANDIDATES) - {"fp32"}
    assert all("the search had used up its seconds" in lost for lost in rows.values())

"""The report page opened in a browser: nothing is fetched, nothing fails, every plot is seen, nothing is cut off."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser import running_browser
from tests.model_build.builder import Builder
from tests.model_build.houses import open_house
from tests.model_build.test_page import INT8, PRUNED

pytestmark = pytest.mark.build
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
# What sticks out of the window to the right; what scrolls in a box of its own does not.
STICKING_OUT = """() => [...document.querySelectorAll('main *')].filter(one => {
    for (let box = one.parentElement; box; box = box.parentElement)
        if (['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) return false;
    return one.getBoundingClientRect().right > innerWidth + 1;
}).map(one => one.tagName)"""
PLOTS = "() => [...document.querySelectorAll('figure > svg')].map(one => one.getBoundingClientRect().toJSON())"
WORDS = "() => [...document.querySelectorAll('figure text')].map(one => one.getBoundingClientRect().height)"


@dataclass
class Opened:
    """The page in a window, and what the browser told meanwhile."""

    page: Page
    fetched: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> Path:
    house = open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)
    with house.searching(INT8, PRUNED):
        code, events = house.build()
    assert code == 0, events[-1]
    return house.cache / str(events[-1]["page"])


@pytest.fixture(scope="module", params=SIZES)
def opened(request: pytest.FixtureRequest, report: Path) -> Iterator[Opened]:
    width, height = SIZES[request.param]
    with running_browser() as browser:
        found = Opened(browser.new_page(viewport={"width": width, "height": height}))
        found.page.on("request", lambda one: found.fetched.append(one.url))
        found.page.on("console", lambda one: found.told.append(one.text))
        found.page.on("pageerror", lambda one: found.told.append(str(one)))
        found.page.goto(report.as_uri())
        yield found


def test_the_page_opens_without_a_word_and_fetches_only_itself(opened: Opened, report: Path) -> None:
    assert opened.told == []
    assert [url for url in opened.fetched if not url.startswith("data:")] == [report.as_uri()]


def test_every_plot_is_drawn_with_words_that_can_be_read(opened: Opened) -> None:
    plots: list[dict[str, Any]] = opened.page.evaluate(PLOTS)
    assert len(plots) == opened.page.locator("section figure").count() == 5
    assert all(one["width"] > 250 and one["height"] > 60 for one in plots)
    words: list[float] = opened.page.evaluate(WORDS)
    assert len(words) > 50
    assert min(words) > 3


def test_nothing_sticks_out_of_the_window(opened: Opened) -> None:
    assert opened.page.evaluate(STICKING_OUT) == []


def test_a_person_sees_the_name_the_figures_and_what_was_tried(opened: Opened) -> None:
    for words in ("digits", "accuracy, held out", "What was tried", "Confusion"):
        assert opened.page.get_by_text(words, exact=words != "Confusion").first.is_visible(), words
    row = opened.page.locator("#tried tr", has_text="int8").first.inner_text()
    assert any(why in row for why in ("served", "ms an answer", "fp32 is faster", "gates.")), row


def test_the_page_is_not_blank(opened: Opened, tmp_path: Path) -> None:
    drawn = opened.page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert len(drawn) > 50_000

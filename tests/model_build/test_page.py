"""The report page of a build with a search: whole in itself, and everything in it that a person would ask for."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house

pytestmark = pytest.mark.build
INT8 = "int8: [{quantize: {method: static-int8, keep_fp32: {max_drop: 0.0, max_nodes: 1}}}]"
PRUNED = "pruned: [{prune: {method: structured, amount: 0.5, finetune: {epochs: 2}}}]"


SECTIONS = ["trade-off", "curves", "sensitivity-int8-quantize", "calibration-int8-quantize", "confusion"]
REST = ["tried", "steps", "recipe"]
INSIDE = ("#", "data:image/png;base64,")


class Seen(HTMLParser):
    """Keeps ids, tags, words, and whatever would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if tag == "section" else []
        places = [found.get(name) or "" for name in ("src", "href", "xlink:href", "action", "data")]
        self.fetched += [place for place in places if place and not place.startswith(INSIDE)]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> Iterator[House]:
    made = open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)
    with made.searching(INT8, PRUNED):
        yield made


@pytest.fixture(scope="module")
def seen(house: House) -> Seen:
    code, events = house.build()
    assert code == 0, events[-1]
    found = Seen()
    found.feed((house.cache / events[-1]["page"]).read_text())
    return found


def test_the_page_holds_every_section_with_its_plot(seen: Seen) -> None:
    assert seen.ids == [*SECTIONS, *REST]
    assert seen.tags.count("figure") == len(SECTIONS)
    assert seen.tags.count("figure") <= seen.tags.count("svg")


def test_the_page_fetches_nothing_and_runs_nothing(seen: Seen) -> None:
    assert seen.fetched == []
    assert "script" not in seen.tags
    assert "link" not in seen.tags


def test_the_page_names_every_candidate_and_every_step(seen: Seen) -> None:
    for words in ("fp32", "int8", "pruned", "pruned/prune", "parameters 85,258 → 21,642", "core-hours"):
        assert words in seen.words


def test_a_second_build_leaves_the_page_as_it_is(house: House, seen: Seen) -> None:
    _, events = house.build()
    page = house.cache / events[-1]["page"]
    written = page.stat().st_mtime_ns
    house.build()
    assert page.stat().st_mtime_ns == written


def refused(house: House, limit: str, new: str) -> Seen:
    """Return the page of a build that misses a limit."""
    with house.changed("recipe.yaml", limit, new):
        code, events = house.build()
    assert code == 5, events[-1]
    found = Seen()
    found.feed(Path(events[-1]["message"].rpartition("; report: ")[2]).read_text())
    return found


def test_the_page_of_a_refused_search_tells_why_each_candidate_lost(house: House) -> None:
    found = refused(house, r"min_accuracy: [\d.]+", "min_accuracy: 1.0")
    assert found.ids == ["refused", *[one for one in found.ids if one.endswith("-quantize") or one == "curves"], *REST]
    assert found.words.count("gates.min_accuracy: accuracy is 0.") >= 4, "in the refusal, and for each of three"
    assert "Refused by search: nothing was pushed" in found.words


def test_the_page_of_a_refused_gate_holds_figures_and_steps(house: House) -> None:
    found = refused(house, r"parity: \{atol: [\d.e-]+", "parity: {atol: 1.0e-30")
    assert found.ids == ["refused", *SECTIONS, *REST]
    assert "Refused by gates: nothing was pushed" in found.words
    assert "gates.parity: the exported model differs from its source by " in found.words
    assert "core-hours" in found.words


def test_what_a_step_tells_is_text_and_never_markup(house: House) -> None:
    _, events = house.build()
    report = house.report(events)
    report["recipe"]["name"] = "<script>alert(1)</script>"
    (house.root / "report.json").write_text(json.dumps(report))
    script = house.root / "render.py"
    script.write_text(
        "import json, pathlib\n"
        "from model_build.page import render\n"
        f"folder = pathlib.Path({str(house.root)!r})\n"
        "(folder / 'page.html').write_text(render(json.loads((folder / 'report.json').read_bytes())))\n"
    )
    done = house.python(script)
    assert done.returncode == 0, done.stderr
    assert "<script" not in (house.root / "page.html").read_text()

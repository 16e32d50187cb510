"""What previews found, read from events that the real engine wrote."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ops.previews.facts import Cost, Message, Money, Pack, Preview, Previews, parse
from ops.previews.models import KIND
from ops.previews.reading import events_of, read
from ops.previews.secrets import Secrets
from ops.previews.text import text
from tests.ops.recorded import CANARY, FOLDER, NOTHING, preview, previews

NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def test_a_line_that_was_not_written_whole_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "events"
    log.write_text('{"sequence": 1}\n{"sequ\n{"sequence": 3}\n{"sequence": 4')
    assert [one["sequence"] for one in events_of(log)] == [1, 3]


def test_every_scene_is_recorded() -> None:
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_of_the_engines_own_summary(name: str) -> None:
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    (summary,) = [event["summaryEvent"] for event in map(json.loads, lines) if "summaryEvent" in event]
    assert preview(name).counts == summary["resourceChanges"]


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_read_as_it_was_written(name: str) -> None:
    told = previews(name)
    assert parse(told.model_dump_json()) == told


def test_what_the_engine_says_to_its_developers_and_in_passing_is_not_told() -> None:
    assert '"severity": "debug"' in (FOLDER / "same.jsonl").read_text()
    assert preview("same").messages == ()


def test_progress_is_not_told(tmp_path: Path) -> None:
    told = (FOLDER / "to_build.jsonl").read_text()
    (tmp_path / "log").write_text(told.replace('"severity": "info"', '"severity": "info", "ephemeral": true'))
    assert len(preview("to_build").messages) == 1
    assert read("to_build", 0, events_of(tmp_path / "log"), NOTHING).messages == ()


def test_what_a_program_writes_to_standard_error_is_a_message(tmp_path: Path) -> None:
    told = (FOLDER / "to_build.jsonl").read_text()
    (tmp_path / "log").write_text(told.replace('"severity": "info"', '"severity": "info#err"'))
    assert [one.severity for one in read("to_build", 0, events_of(tmp_path / "log"), NOTHING).messages] == ["info"]


def test_a_log_that_was_cut_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = (FOLDER / "to_build.jsonl").read_text()
    cut = tmp_path / "cut.jsonl"
    cut.write_text(whole[: whole.rindex("summaryEvent") + 5])
    assert read("cut", 255, events_of(cut), NOTHING, "killed").reason == "killed"
    assert len(read("cut", 255, events_of(cut), NOTHING).changes) == 3


def test_no_log_is_a_preview_that_tells_the_last_words(tmp_path: Path) -> None:
    found = read(
        "none", 255, events_of(tmp_path / "none"), Secrets(frozenset(["hunter22"])), "error: hunter22 is wrong\n"
    )
    assert found == Preview(stack="none", code=255, reason="error: [secret] is wrong")


def test_an_error_that_was_told_needs_no_last_words() -> None:
    events = events_of(FOLDER / "failing.jsonl")
    assert read("failing", 1, events, NOTHING, "something else").reason == ""


def test_a_secret_in_base64_is_hidden_which_the_engine_leaves() -> None:
    coded = base64.b64encode(CANARY.encode()).decode()
    assert CANARY not in (FOLDER / "secret.jsonl").read_text()
    assert coded in preview("secret").model_dump_json()
    hidden = preview("secret", Secrets(frozenset([CANARY])))
    assert hidden.messages[0].text == "leaked [secret], [secret] @team"
    assert coded not in hidden.model_dump_json()


def test_a_model_that_is_built_already_has_figures_and_layers_on_both_sides() -> None:
    (model,) = preview("built_ahead").models
    assert model.runs is not None
    assert model.will_run is not None
    assert model.runs.digest != model.will_run.digest
    assert model.why == ("recipe: steps.quantize.calibration_samples: 200 → 100",)
    for side in (model.runs, model.will_run):
        assert side.metrics["accuracy"] > 0.9
        assert side.metrics["latency_ms"] > 0
        assert len(side.layers) >= 3
        assert side.bytes > 1e6
    assert len({layer.digest for layer in model.will_run.layers} - {layer.digest for layer in model.runs.layers}) == 1
    assert model.gates == {"min_accuracy": 0.5, "max_drop": 0.2, "max_size_ratio": 0.9, "max_latency_ms": 50}


def test_a_model_that_is_yet_to_be_built_has_figures_of_what_runs_alone() -> None:
    (model,) = preview("to_build").models
    assert model.runs is not None
    assert model.will_run is not None
    assert (bool(model.runs.digest), model.will_run.digest, model.will_run.metrics) == (True, "", {})


def test_a_new_stack_has_models_that_do_not_run() -> None:
    for name, known in (("new", False), ("known", True)):
        (model,) = preview(name).models
        assert model.runs is None
        assert model.will_run is not None
        assert (model.operation, bool(model.will_run.digest), model.why) == ("create", known, ("first build",))


def test_a_replaced_model_keeps_both_sides_and_says_what_moved() -> None:
    found = preview("replaced")
    (model,) = found.models
    assert model.runs is not None
    assert (model.operation, bool(model.runs.digest), model.why) == ("replace", True, ("repository changed",))
    (change,) = [one for one in found.changes if one.kind == KIND]
    assert change.replaces == ("repository",)


def test_policies_that_were_kept_are_counted() -> None:
    found = preview("mandatory")
    assert [(one.name, one.kept, one.asked) for one in found.packs] == [("house", 1, 2)]
    (violation,) = found.violations
    assert (violation.policy, violation.level, violation.name) == ("no-models", "mandatory", "tiny")
    assert violation.message == "Models are refused.\nask @team | first"
    assert preview("same").packs == ()


def test_cost_is_told_where_the_stack_has_it() -> None:
    assert preview("to_build").cost == Cost(before=12.5, after=20, currency="USD")
    assert preview("new").cost == Cost(before=None, after=12.5, currency="USD")


def of_stack(old: object, new: object, secrets: Secrets | None = None) -> Cost | None:
    sides = {"old": {"outputs": {"cost": old}}, "new": {"outputs": {"cost": new}}}
    urn = "urn:pulumi:prod::modelstack::pulumi:pulumi:Stack::modelstack-prod"
    step = {"op": "update", "urn": urn, "type": "pulumi:pulumi:Stack", **sides}
    return read("prod", 0, [{"resourcePreEvent": {"metadata": step}}], secrets or NOTHING).cost


def test_cost_has_the_share_of_each_model_and_what_is_not_counted() -> None:
    old = {"monthly": 100, "currency": "USD", "models": {"digits": 60, "gone": 5}, "notCounted": ["old"]}
    new = {"monthly": 110, "currency": "USD", "models": {"digits": 73.5}, "notCounted": ["nat: by use"]}
    assert of_stack(old, new) == Cost(
        before=100,
        after=110,
        currency="USD",
        models={"digits": Money(before=60, after=73.5), "gone": Money(before=5)},
        not_counted=("nat: by use",),
    )


@pytest.mark.parametrize("odd", [{"models": ["a"], "notCounted": {"a": 1}}, {"models": None, "notCounted": None}])
def test_what_another_program_calls_cost_is_read_as_far_as_it_can_be(odd: dict[str, object]) -> None:
    assert of_stack(None, {"monthly": 1, **odd}) == Cost(after=1)


def test_cost_tells_no_secret() -> None:
    secrets = Secrets(frozenset({"hunter2hunter2"}))
    found = of_stack({}, {"monthly": 1, "models": {"hunter2hunter2": 1}, "notCounted": ["hunter2hunter2"]}, secrets)
    assert found is not None
    assert "hunter2" not in found.model_dump_json()


def test_text_has_the_same_order_as_the_comment_and_no_markdown() -> None:
    told = text(previews("replaced", "failing", "advisory"))
    places = [
        told.index(part) for part in ("replace  modelstack", "delete   modelstack", "models:", "resources by kind")
    ]
    assert places == sorted(places)
    assert "failing: the preview failed with exit code 1\n  errors:\n    FAILING: is set to `yes`" in told
    assert (
        "advisory no-models of house on modelstack:index:ModelImage tiny: Models are refused. ask @team | first" in told
    )
    assert "**" not in told


def test_text_moves_no_cursor() -> None:
    message = Message(severity="warning", text="a\x1b[2Jb\rc\u202ed", name="e\nf")
    told = text(Previews(name="x", previews=(Preview(stack="s\x07", code=0, messages=(message,)),)))
    assert all(letter == "\n" or letter.isprintable() for letter in told)
    assert "a<U+001B>[2Jb<U+000D>c<U+202E>d" in told


def test_a_pack_that_kept_all_is_told_so() -> None:
    found = Preview(stack="dev", code=0, packs=(Pack(name="house", version="1", kept=2, asked=2),))
    assert "policies: house 1 2 of 2 kept" in text(
        Previews(name="x", previews=(found.model_copy(update={"messages": (Message(severity="warning", text="w"),)}),))
    )

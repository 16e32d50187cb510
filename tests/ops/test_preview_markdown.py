"""A comment of recorded previews, read by a Markdown parser as a host reads it."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ops.previews.escaping import block, code
from ops.previews.facts import Change, Cost, Layer, Message, Model, Money, Pack, Preview, Previews, Version, Violation
from ops.previews.fitting import width
from ops.previews.markdown import LIMIT, markdown, marker
from tests.ops.recorded import CANARY, previews

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HARMFUL = st.one_of(
    st.text(max_size=80),
    st.text(st.sampled_from("`|\\<>&*_[]()!@#~-=\n\r\t /:abc1.\u202e\u200b\x1b"), max_size=80),
    st.sampled_from(
        [
            "@everyone and @org/team",
            "`` ` ``` @team",
            "| a | b |\n|---|---|",
            "a\\|b\\",
            "</details></summary><!-- -->",
            "<img src=x onerror=alert(1)>",
            "![x](https://example.invalid/pixel.png)",
            "[x](javascript:alert(1))",
            "https://example.invalid #1 GH-2 owner/repo#3",
            "# heading\n- list\n> quote\n/close\n---",
            "```\n@team\n```",
            "<!-- modelstack preview tiny -->",
            "$\\mathrm{x}$",
            "\u202eright to left",
        ]
    ),
)


def tokens(text: str) -> list[Token]:
    """Return all tokens, those within lines after their line's."""
    return [one for token in PARSER.parse(text) for one in (token, *(token.children or ()))]


def shape(text: str) -> list[str]:
    """Return the kinds of tokens; what is in code does not count, nor whether it is code by backticks or tags."""
    found = [one for one in tokens(text) if one.type not in ("text", "text_special", "softbreak")]
    return [one.type for one in found if one.type != "code_inline" and one.content not in ("<code>", "</code>")]


def said(text: str) -> str:
    """Return all that a reader sees."""
    return "".join(one.content for one in tokens(text) if one.type in ("text", "text_special", "code_inline"))


def outside_code(text: str) -> str:
    """Return what a reader sees that is neither code nor a fold."""
    told, inside = [], False
    for one in tokens(text):
        if one.type == "html_inline":
            inside = (inside or one.content == "<code>") and one.content != "</code>"
        elif one.type in ("text", "text_special", "link_open", "image", "html_block") and not inside:
            told.append(f"{one.content}{one.attrs or ''}")
    return "\n".join(told)


def a_preview(text: str) -> Preview:
    """Return a preview that has `text` wherever text of others is told."""
    model = Model(
        name=text, operation="update", runs=Version(digest=f"sha256:{'a' * 64}"), will_run=Version(), why=(text,)
    )
    return Preview(
        stack=text,
        code=1,
        reason=text,
        changes=tuple(Change(kind=text, name=text, operation=one, paths=(text,)) for one in ("delete", "update")),
        models=(model,) * 4,
        packs=(Pack(name=text, version=text, kept=1, asked=2),),
        violations=(Violation(policy=text, pack=text, level=text, kind=text, name=text, message=text),),
        messages=tuple(Message(severity=one, text=text, kind=text, name=text) for one in ("error", "warning", "info")),
        cost=Cost(
            before=1, after=2, currency=text[:16], models={text: Money(before=1, after=2)}, not_counted=(text, text)
        ),
    )


def comment(*found: Preview) -> str:
    return markdown(Previews(name="tiny", previews=found))


@given(HARMFUL)
@example("`|`")
@example("\\|")
@settings(deadline=None)
def test_text_of_others_changes_nothing_but_itself(text: str) -> None:
    assert shape(f"- {code(text)}") == shape(f"- {code('word')}")
    # A row with more cells than its head loses them unseen, so that the words count and not the cells alone.
    assert said(f"| a | b |\n|---|---|\n| {code(text)} | 2 |\n") == f"ab{said(code(text))}2"
    assert Counter(one.type for one in PARSER.parse(block(text))) == {"fence": 1}


@given(HARMFUL.filter(lambda text: text.strip()))
@settings(max_examples=50, deadline=None)
def test_a_comment_has_the_same_shape_whatever_it_tells(text: str) -> None:
    assert shape(comment(a_preview(text))) == shape(comment(a_preview("word")))


def test_nothing_of_others_is_mentioned_linked_or_shown_as_an_image() -> None:
    harm = "@team ![x](https://example.invalid/a.png) <b>x</b> #12 `|\\"
    told = outside_code(comment(a_preview(harm)))
    assert not re.search(r"@|example|#12|<b>", told), told


def test_letters_that_are_not_seen_are_told_by_number() -> None:
    assert code("a\u202eb\x1b[2J") == "`a<U+202E>b<U+001B>[2J`"


@given(st.lists(HARMFUL, max_size=4), st.integers(1, 1000))
@settings(max_examples=15, deadline=None)
def test_a_comment_never_exceeds_the_limit_and_each_fold_and_block_closes(texts: list[str], times: int) -> None:
    many = tuple(
        Change(kind=text, name=f"{text}{number}", operation="delete") for text in texts for number in range(times)
    )
    long = tuple(Message(severity="error", text=f"{text}\n" * times) for text in texts)
    text = comment(Preview(stack="dev", code=1, changes=many, messages=long), a_preview("word"))
    assert width(text) <= LIMIT
    parsed = PARSER.parse(text)
    folds = [one.content for one in parsed if one.type == "html_block"]
    assert sum("<details>" in one for one in folds) == sum("</details>" in one for one in folds)
    # A block that did not close would take the next stack's heading into it.
    assert [one.tag for one in parsed if one.type == "heading_open"] == ["h2", "h3", "h3"]
    assert "`word`" in text


def test_forty_models_of_three_stacks_fit_and_each_is_told() -> None:
    one = Version(digest=f"sha256:{'a' * 64}", metrics={"accuracy": 0.97, "latency_ms": 1.2, "size": 9e4})
    two = Version(digest=f"sha256:{'b' * 64}", metrics={"accuracy": 0.98, "latency_ms": 1.1, "size": 8e4})
    models = tuple(
        Model(
            name=f"model-{number}",
            operation="update",
            runs=one,
            will_run=two,
            why=("recipe: seed: 7 → 8",),
            gates={"min_accuracy": 0.9},
        )
        for number in range(40)
    )
    changes = tuple(Change(kind="ModelImage", name=model.name, operation="update") for model in models)
    stacks = (Preview(stack=name, code=0, models=models, changes=changes) for name in ("dev", "staging", "prod"))
    text = comment(*stacks)
    assert width(text) <= LIMIT
    rows = [line for line in text.splitlines() if line.startswith("| `model-")]
    assert len(rows) == 120
    left_out = sum(
        int(found) for found in re.findall(r"^_Left out for length: (\d+) (?:more )?models?\._$", text, re.MULTILINE)
    )
    assert left_out + text.count(" is updated: ") == 120


def test_what_is_replaced_and_deleted_outlives_all_else_that_is_cut() -> None:
    dangers = tuple(Change(kind="kind", name=f"gone-{number}", operation="delete") for number in range(200))
    created = tuple(Change(kind="kind", name=f"new-{number}" * 20, operation="create") for number in range(3000))
    text = comment(Preview(stack="dev", code=0, changes=created + dangers))
    assert width(text) <= LIMIT
    assert all(f"`gone-{number}`" in text for number in range(200))
    assert re.search(r"^_Left out for length: [\d,]+ more changes\._$", text, re.MULTILINE)


def test_more_stacks_than_fit_are_told_in_a_line_each_and_the_failed_ones_are_kept() -> None:
    quiet = [Preview(stack=f"stack-{number}-{'x' * 60}", code=0) for number in range(2000)]
    text = comment(*quiet, Preview(stack="broken", code=255))
    assert width(text) <= LIMIT
    assert "`broken`: the preview failed with exit code 255" in text
    assert re.search(r"^_Left out for length: [\d,]+ more stacks\._$", text, re.MULTILINE)


def test_a_long_error_keeps_its_end_and_counts_what_it_lost() -> None:
    text = comment(Preview(stack="dev", code=1, messages=(Message(severity="error", text="x" * 9000 + "\nthe end"),)))
    assert "the end\n```" in text
    assert "_5,008 characters before it are left out._" in text


def test_a_stack_without_change_is_one_line() -> None:
    assert markdown(
        previews("same")
    ) == f"{marker('tiny')}\n## Preview\n\n### `dev`: nothing changes (3 resources)\n".replace("`dev`", "`same`")


def test_replacements_and_deletes_stand_before_everything_else() -> None:
    lines = markdown(previews("replaced")).splitlines()
    assert lines[3:8] == [
        "### `replaced`: 1 replaced, 1 deleted, 1 the same",
        "",
        "**Replaced and deleted**",
        "",
        "- **replace** `modelstack:index:ModelImage` `tiny`: `repository`",
    ]
    assert lines[8] == "- **delete** `modelstack:index:Password` `password`"


def test_a_model_that_is_yet_to_be_built_shows_what_runs_and_why_it_changes() -> None:
    text = markdown(previews("to_build"))
    assert "→ built by `up`, because `recipe: steps.quantize.calibration_samples: 200 → 100`" in text
    assert re.search(r"^\| accuracy \| 9\d\.\d\d% \| built by `up` \|  \| ≥ 50\.00% \|$", text, re.MULTILINE), text
    assert "**Cost**: 12.50 USD → 20.00 USD a month (+7.50)" in text


def test_the_share_of_each_model_and_what_is_not_counted_stand_below_the_cost() -> None:
    shares = {"digits": Money(before=60, after=73.5), "mnist": Money(before=36.75, after=36.75), "new": Money(after=1)}
    missing = ("aws:ec2/natGateway:NatGateway: by use",)
    cost = Cost(before=100, after=110, currency="USD", models=shares, not_counted=missing)
    told = comment(Preview(stack="prod", code=0, cost=cost))
    assert "**Cost**: 100.00 USD → 110.00 USD a month (+10.00)\n" in told
    assert "Of that, by what models request:\n\n- `digits`: 60.00 → 73.50 (+13.50)\n- `mnist`: 36.75\n" in told
    assert "- `new`: not known → 1.00\n" in told
    assert "<summary>Not counted in the cost</summary>\n\n- `aws:ec2/natGateway:NatGateway: by use`\n" in told


def test_a_model_that_is_built_already_shows_both_sides_of_each_figure() -> None:
    text = markdown(previews("built_ahead"))
    assert re.search(r"`tiny` is updated: `sha256:[0-9a-f]{12}` → `sha256:[0-9a-f]{12}`, because", text), text
    assert re.search(
        r"^\| p50 of one answer \| 0\.\d{3} ms \| 0\.\d{3} ms \| ([+-]\d+\.\d%)? \| ≤ 50\.0 ms \|$", text, re.MULTILINE
    )
    assert re.search(
        r"^\| image \| \d+\.\d MB, \d layers \| \d+\.\d MB, \d layers \| 1 new layer, \d+\.\d kB \|  \|$",
        text,
        re.MULTILINE,
    ), text


def test_a_failed_preview_shows_its_reason_as_it_was_said() -> None:
    text = markdown(previews("failing"))
    assert "### `failing`: the preview failed with exit code 1\n" in text
    assert "```text\nFAILING: is set to `yes`\nby @team; unset it\n```" in text


@pytest.mark.parametrize(("name", "level"), [("advisory", "advisory"), ("mandatory", "mandatory")])
def test_a_policy_that_is_not_kept_is_named_with_its_resource(name: str, level: str) -> None:
    text = markdown(previews(name))
    assert "1 of 2 kept" in text
    assert f"- **{level}** `no-models` of `house` on `modelstack:index:ModelImage` `tiny`: " in text
    assert ("1 time a mandatory policy is not kept" in text) == (level == "mandatory")


def test_the_commit_stands_in_the_title() -> None:
    assert "\n## Preview of `0123456789ab`\n" in markdown(Previews(name="tiny", commit="0123456789abcdef"))


def test_models_that_stay_are_counted_alone() -> None:
    changed, same = (Model(name=name, operation=name) for name in ("update", "same"))
    changes = (Change(kind="ModelImage", name="update", operation="update"),)
    text = comment(Preview(stack="dev", code=0, models=(changed, same), changes=changes))
    assert "**Models** (1 more the same)" in text
    assert "`same`" not in text


def test_layers_count_as_new_that_the_image_which_runs_lacks() -> None:
    def version(*names: str) -> Version:
        layers = tuple(Layer(digest=f"sha256:{name * 64}", size=1000) for name in names)
        return Version(digest=f"sha256:{'f' * 64}", layers=layers)

    model = Model(name="m", operation="update", runs=version("a", "b"), will_run=version("a", "c", "d"))
    assert "| image | 2.0 kB, 2 layers | 3.0 kB, 3 layers | 2 new layers, 2.0 kB |  |" in comment(
        Preview(stack="dev", code=0, models=(model,), changes=(Change(kind="k", name="m", operation="update"),))
    )


def test_no_recorded_comment_tells_the_canary() -> None:
    assert CANARY not in markdown(previews("secret"))

"""A text is cut by whole pieces, and says how many it left out."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ops.previews.fitting import Block, Item, fit, width

PIECES = st.lists(st.lists(st.tuples(st.text("ab😀", max_size=60), st.integers(0, 9)), max_size=30), max_size=6)


def blocks_of(pieces: list[list[tuple[str, int]]]) -> list[Block]:
    """Return folds of numbered lines."""
    return [
        Block(
            f"<details><summary>{which}</summary>\n\n",
            tuple(Item(f"- {which}.{at} {text}\n", rank) for at, (text, rank) in enumerate(found)),
            "\n</details>\n",
            "line",
        )
        for which, found in enumerate(pieces)
    ]


@given(PIECES, st.integers(0, 4000))
def test_a_text_never_exceeds_its_limit(pieces: list[list[tuple[str, int]]], limit: int) -> None:
    text = fit(blocks_of(pieces), limit)
    assert text is None or width(text) <= limit


@given(PIECES, st.integers(200, 4000))
def test_every_fold_that_opens_closes_and_every_piece_is_told_or_counted(
    pieces: list[list[tuple[str, int]]], limit: int
) -> None:
    text = fit(blocks_of(pieces), limit)
    if text is None:
        return
    assert text.count("<details>") == text.count("</details>")
    left_out = re.findall(r"^_Left out for length: ([\d,]+) (?:more )?lines?\._$", text, re.MULTILINE)
    told = re.findall(r"^- \d+\.\d+ ", text, re.MULTILINE)
    assert len(told) + sum(map(int, left_out)) == sum(map(len, pieces))


def test_what_fits_is_told_whole() -> None:
    blocks = [Block("head\n", (Item("one\n", 0), Item("two\n", 9))), Block("alone\n")]
    assert fit(blocks, 100) == "head\none\ntwo\n\nalone\n"


def test_of_two_pieces_that_do_not_both_fit_the_lower_rank_is_kept() -> None:
    blocks = [
        Block(
            "",
            tuple(Item(f"{letter * 99}\n", rank) for letter, rank in (("a", 5), ("b", 1), ("c", 7))),
            noun="line",
        )
    ]
    assert fit(blocks, 250) == f"{'b' * 99}\n\n_Left out for length: 2 more lines._\n"


def test_a_limit_that_does_not_hold_the_heads_gives_no_text() -> None:
    assert fit([Block("a head of more than ten letters\n")], 10) is None


def test_letters_beyond_the_first_plane_count_twice() -> None:
    assert width("a😀") == 3

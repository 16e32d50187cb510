"""Fits a text of blocks into a limit: whole items are left out and counted, those of the highest rank first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ops.previews.words import several

_NOTE = 80  # more letters than a note of what was left out has


@dataclass(frozen=True)
class Item:
    """A piece that is told whole or not at all, its line end in it; of two the lower rank is kept."""

    text: str
    rank: int


@dataclass(frozen=True)
class Block:
    """Items between a head and a foot; `noun` is what one of them is."""

    head: str
    items: tuple[Item, ...] = ()
    foot: str = ""
    noun: str = ""

    def render(self, shown: Sequence[Item]) -> str:
        """Return the block with some of its items, and how many there are besides."""
        left_out = len(self.items) - len(shown)
        if self.items and not shown:
            return f"_Left out for length: {several(left_out, self.noun)}._\n"
        note = f"\n_Left out for length: {several(left_out, f'more {self.noun}')}._\n" if left_out else ""
        return f"{self.head}{''.join(one.text for one in shown)}{note}{self.foot}"


def width(text: str) -> int:
    """Return how long a text is for a host that counts UTF-16 code units, which no count of letters exceeds."""
    return len(text) + sum(ord(letter) > 0xFFFF for letter in text)


def fit(blocks: Sequence[Block], limit: int) -> str | None:
    """Return the blocks within `limit`; None where it does not hold even what cannot be left out."""
    whole = _joined(blocks, [block.items for block in blocks])
    if width(whole) <= limit:
        return whole
    left = limit - sum(width(block.render(())) + 1 for block in blocks)
    chosen: list[set[int]] = [set() for _ in blocks]
    for rank_of_block, at in _by_rank(blocks):
        block, shown = blocks[rank_of_block], chosen[rank_of_block]
        costs = width(block.items[at].text) + (0 if shown else width(block.head) + width(block.foot) + _NOTE)
        if costs <= left:
            shown.add(at)
            left -= costs
    text = _joined(
        blocks, [[block.items[at] for at in sorted(shown)] for block, shown in zip(blocks, chosen, strict=True)]
    )
    return text if width(text) <= limit else None


def _by_rank(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    places = [(which, at) for which, block in enumerate(blocks) for at in range(len(block.items))]
    return sorted(places, key=lambda place: (blocks[place[0]].items[place[1]].rank, *place))


def _joined(blocks: Sequence[Block], shown: Sequence[Sequence[Item]]) -> str:
    return "\n".join(block.render(items) for block, items in zip(blocks, shown, strict=True))

"""Text of others in Markdown, so that it stays text: no mention, link, image, table cell, heading or end of a block."""

from __future__ import annotations

import re
import unicodedata

# Letters that move what is around them, or are not seen; a reader must see that they are there.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_PLAIN = re.compile(r"[^`|\\]*")
_LONGEST = 300


def visible(text: str, *, lines: bool = False) -> str:
    """Return text with each letter that is not seen told by its number; line ends stay where `lines` says so."""
    return "".join(_seen(letter, lines=lines) for letter in text.replace("\r\n", "\n").replace("\t", "    "))


def _seen(letter: str, *, lines: bool) -> str:
    if letter == "\n":
        return "\n" if lines else " "
    if letter == " " or (letter.isascii() and letter.isprintable()):
        return letter
    return f"<U+{ord(letter):04X}>" if unicodedata.category(letter) in _UNSEEN else letter


def shortened(text: str, most: int = _LONGEST) -> str:
    """Return text of at most `most` letters, which says how many it left out."""
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]}… ({left_out:,} more characters)"


def code(text: str, most: int = _LONGEST) -> str:
    """Return text of others as code within a line, in a table too."""
    told = " ".join(shortened(visible(text), most).split())
    if not told:
        return "(empty)"
    if _PLAIN.fullmatch(told):
        return f"`{told}`"
    # A fence of backticks or a `\|` would do for one of a line and a table's cell, not for both.
    return f"<code>{''.join(one if one.isalnum() or one in ' .-' else f'&#{ord(one)};' for one in told)}</code>"


def block(text: str) -> str:
    """Return text of others as a block of code, which nothing in it ends; lines of it are kept."""
    told = visible(text, lines=True).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", told)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{told}\n{fence}"

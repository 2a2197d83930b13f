"""Text that came from outside, made safe to show.

Belongs here: what a name or a rationale may look like on a surface. Does not belong here: tables (tables).
Names of strategies, knobs, people, and every rationale are written by somebody else. `visible` makes
such a text mean what it looks like; the surfaces then add their own escaping.
"""

import re
import unicodedata
from typing import Final

_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Letters by category, but drawn as nothing: fillers, blanks, and the variation selectors.
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159")
_INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Every ASCII mark that can begin or end markup; a backslash before it takes its meaning away. A "|" needs an
# entity, because a table is cut into cells before backslashes are read.
_BACKSLASHED: Final = frozenset("\\`*_{}[]()#+-.!~$:=")
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}

# Renderers make links of "http://", "www." and "a@b" even where the marks are escaped; a word joiner prevents it.
_LINK_STARTS: Final = re.compile(r":(?=//)|(?<=www)(?=\.)|@", re.IGNORECASE)
_JOINER: Final = "\u2060"


def _is_invisible(character: str) -> bool:
    if unicodedata.category(character) in _INVISIBLE_CATEGORIES:
        return True
    selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return selector or character in _INVISIBLE or (character != " " and unicodedata.category(character) == "Zs")


def _escape(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def visible(text: str) -> str:
    r"""Return a text in which every character is one that can be seen, on one line.

    Control characters (terminal escapes and line ends among them), direction overrides, zero-width and
    other invisible characters are written as escapes like ``\x1b`` or ``\u202e``. All else is kept.
    """
    return "".join(_escape(c) if _is_invisible(c) else c for c in text)


def markdown(text: str) -> str:
    """Return Markdown (GitHub's flavour, table cells included) that shows `visible(text)` and nothing else.

    No mark-up, HTML, image or link can come of it: addresses are shown, but cannot be followed.
    """
    broken = _LINK_STARTS.sub(lambda found: found.group() + _JOINER, visible(text))
    return "".join(_markdown_piece(c, broken[i - 1 : i], broken[i + 1 : i + 2]) for i, c in enumerate(broken))


def _markdown_piece(character: str, before: str, after: str) -> str:
    if character in _BACKSLASHED:
        return "\\" + character
    if character == " " and (before in {"", " "} or not after):
        return "&nbsp;"  # spaces at the ends and in runs would be swallowed, and two values look alike
    if character == _JOINER:
        return "&#8288;"
    return _ENTITIES.get(character, character)

"""Names of people and machines: written down as given, compared by a key.

Belongs here: when two names mean the same actor, which names no person may bear, which characters
no name or reason may hold. Does not belong here: who is on the list of approvers (store).
"""

import re
import unicodedata
from typing import Final, Literal, TypeAlias

from meta_pipeline.errors import InputError

ActorKind: TypeAlias = Literal["machine", "human"]

MACHINE_ACTOR: Final = "meta-pipeline"
"""The author of what the pipeline proposes by itself."""

MAX_NAME: Final = 128
"""Longest name, and longest key of a name, in characters: the width of the columns that hold them."""

MAX_REASON: Final = 4000

_MACHINE_NAMES: Final = frozenset(
    {
        *("metapipeline", "dagster", "dagsterdaemon", "scheduler", "schedule", "sensor", "daemon", "cron", "system"),
        *("machine", "robot", "bot", "auto", "automatic", "automation", "pipeline", "service", "anonymous"),
        *("unknown", "nobody", "none", "null", "airflow", "ci", "githubactions"),
    }
)
_MACHINE_PREFIX: Final = re.compile(r"(machine|service|bot|system)\s*:")

# Letters and marks by category, but drawn as nothing or as a blank.
_BLANK_LETTERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159")
_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Alphabets whose letters are drawn like those of another; a name keeps to one of them.
_LOOK_ALIKE_SCRIPTS: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})


def clean_name(name: str) -> str:
    """Return a name as it is stored: spaces at the ends dropped, runs of them made one.

    Raises
    ------
    InputError
        If the name is empty or too long, holds a character that cannot be seen (controls, zero width,
        direction marks, fillers, variation selectors, lone surrogates), or mixes alphabets that look alike.
    """
    unseen = next((character for character in name if _is_unseen(character)), None)
    if unseen is not None:
        raise InputError(
            f"the name {name!a} holds U+{ord(unseen):04X}, a character that cannot be seen; type the name anew"
        )
    shown = " ".join(name.split())
    if not shown:
        raise InputError(f"the name {name!r} is empty; give the name of who acts")
    if len(shown) > MAX_NAME:
        raise InputError(f"the name {shown[:40]!r}... has {len(shown)} characters; at most {MAX_NAME} are allowed")
    scripts = _scripts(shown)
    if len(scripts) > 1:
        raise InputError(
            f"the name {shown!a} mixes {' and '.join(sorted(s.title() for s in scripts))} letters, which look "
            "alike; write it in one alphabet"
        )
    if len(_folded(shown)) > MAX_NAME:
        raise InputError(
            f"the name {ascii(shown)[:60]}... is longer than {MAX_NAME} characters when compared; shorten it"
        )
    return shown


def name_key(name: str) -> str:
    """Return the text by which names are compared: NFKC, case folded, white space collapsed.

    Two names with the same key are the same actor, however they are typed.

    Raises
    ------
    InputError
        As `clean_name`.
    """
    return _folded(clean_name(name))


def is_machine(name: str) -> bool:
    """Say whether a name is reserved for machines, so that no person may decide under it.

    Reserved are the pipeline's own names, what schedulers call themselves, ``machine:...``,
    ``service:...``, ``bot:...``, ``system:...`` and ``...[bot]``.
    """
    key = name_key(name)
    bare = re.sub(r"[\s_.\-\[\]]+", "", key)
    return bare in _MACHINE_NAMES or key.endswith("[bot]") or _MACHINE_PREFIX.match(key) is not None


def kind_of(name: str) -> ActorKind:
    """Return "machine" for a reserved name, else "human"."""
    return "machine" if is_machine(name) else "human"


def clean_reason(reason: str, *, what: str) -> str:
    """Return a reason without white space at its ends.

    Parameters
    ----------
    what
        What the reason is for; named in errors.

    Raises
    ------
    InputError
        If nothing that can be read is left, or the text is too long, or PostgreSQL cannot store it.
    """
    text = reason.strip()
    check_text(text, what=f"the reason for {what}", longest=MAX_REASON)
    if all(_is_unseen(character) or character.isspace() for character in text):
        raise InputError(f"{what} needs a reason, and {reason!a} is none; say why in a sentence")
    return text


def check_text(text: str, *, what: str, longest: int) -> None:
    """Check that a text can be stored.

    Raises
    ------
    InputError
        If it is longer than `longest` characters, holds NUL, or is not valid Unicode.
    """
    if len(text) > longest:
        raise InputError(f"{what} has {len(text)} characters; at most {longest} are allowed")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{what} holds a NUL or half a character, which cannot be stored: {ascii(text)[:80]}")


def _is_unseen(character: str) -> bool:
    selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    mongolian = "\u180b" <= character <= "\u180f"
    unseen = unicodedata.category(character) in _UNSEEN_CATEGORIES and character not in "\t\n\r"
    return unseen or selector or mongolian or character in _BLANK_LETTERS


def _folded(name: str) -> str:
    # Folding can undo the composition and the other way round, so both until nothing moves (two or three rounds).
    before, after = "", name
    while before != after:
        before, after = after, " ".join(unicodedata.normalize("NFKC", after).casefold().split())
    return after


def _scripts(name: str) -> set[str]:
    composed = unicodedata.normalize("NFKC", name)
    names = (unicodedata.name(character, "") for character in composed if character.isalpha())
    return {script for found in names if (script := found.partition(" ")[0]) in _LOOK_ALIKE_SCRIPTS}

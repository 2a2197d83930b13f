"""Configurations as nested objects: read one key, set or remove one, replay changes.

A path joins the keys of nested objects by dots. `ABSENT` is a key that is not there, which is not
the value null. Nothing here changes what it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meta_pipeline.canonical import ABSENT, JsonValue, Level
from meta_pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """One key was set to a level, or removed (`ABSENT`)."""

    path: str
    level: Level


def level_at(config: Mapping[str, JsonValue], path: str) -> Level:
    """Return the value at a path, or ABSENT.

    Raises
    ------
    InputError
        If a key that itself holds dots makes the path ambiguous.
    """
    node: JsonValue = config
    parts = path.split(".")
    for i, part in enumerate(parts):
        if not isinstance(node, Mapping):
            return ABSENT
        _refuse_ambiguity(node, parts[i:], path)
        if part not in node:
            return ABSENT
        node = node[part]
    return node


def with_level(config: Mapping[str, JsonValue], path: str, level: Level) -> dict[str, JsonValue]:
    """Return the configuration with one key set, or removed if the level is ABSENT.

    Objects on the way to a key that is set are made where they are missing. Removing a key that is
    not there changes nothing, and never removes the object it would be in.

    Raises
    ------
    InputError
        If something on the way is not an object, or the path is ambiguous.
    """
    level_at(config, path)
    return _with_level(config, path.split("."), level, path)


def related(one: str, other: str) -> bool:
    """Say whether a change of one path can touch the other: the same, or one inside the other."""
    a, b = one.split("."), other.split(".")
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def replay(config: Mapping[str, JsonValue], changes: Sequence[KeyChange]) -> dict[str, JsonValue]:
    """Return a configuration after changes, in their order.

    The live configuration of a strategy is by definition its first configuration with the changes
    replayed that are in force. A revert therefore leaves one out, and what the change had made on
    its way (objects around a key that was absent) goes with it.
    """
    result = dict(config)
    for change in changes:
        result = with_level(result, change.path, change.level)
    return result


def _with_level(node: Mapping[str, JsonValue], parts: list[str], level: Level, path: str) -> dict[str, JsonValue]:
    result: dict[str, Any] = dict(node)
    key = parts[0]
    if len(parts) == 1:
        if level is ABSENT:
            result.pop(key, None)
        else:
            result[key] = level
        return result
    inner = node.get(key, ABSENT)
    if level is ABSENT and not isinstance(inner, Mapping):
        return result
    if inner is ABSENT:
        inner = {}
    if not isinstance(inner, Mapping):
        raise InputError(
            f"{path} cannot be set: {key!r} on the way to it is {inner!r}, not an object; change that key instead"
        )
    result[key] = _with_level(inner, parts[1:], level, path)
    return result


def _refuse_ambiguity(node: Mapping[str, JsonValue], rest: list[str], path: str) -> None:
    wanted = ".".join(rest)
    for key in node:
        if "." in key and (wanted == key or wanted.startswith(f"{key}.")):
            raise InputError(
                f"the path {path} is ambiguous: the configuration has the key {key!r}, which itself holds a dot; "
                "write it as nested objects"
            )

"""What a change does, shown: the touched keys with their direction of risk, and three-way differences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meta_pipeline.canonical import ABSENT, JsonValue, Level, canonical_json, level_key
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.configs import related
from meta_pipeline.proposals.knobs import Knob


@dataclass(frozen=True, kw_only=True)
class TouchedKey:
    """One key that differs between two configurations.

    Parameters
    ----------
    before, after
        ABSENT: the key is not there.
    risk_change
        "raises", "reduces", "neutral" or "unknown", by the knob that declares the key.
    """

    path: str
    before: Level
    after: Level
    risk_change: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the key as a JSON object."""
        return {
            "path": self.path,
            "before": level_to_json(self.before),
            "after": level_to_json(self.after),
            "risk_change": self.risk_change,
        }


@dataclass(frozen=True, kw_only=True)
class ThreeWay:
    """One key in three configurations: before a change, after it, and now."""

    path: str
    before: Level
    after: Level
    live: Level

    def text(self) -> str:
        """Return the three values in one line."""
        return f"{self.path}: {show(self.before)} -> {show(self.after)} by this change, {show(self.live)} now"


def show(level: Level) -> str:
    """Write a level for a person: canonical JSON, or "absent"."""
    return "absent" if level is ABSENT else canonical_json(level)


def sentence(*, strategy_id: str, path: str, before: Level, after: Level, risk_change: str) -> str:
    """Return a change in one sentence, its direction of risk included."""
    risk = {
        "raises": "raises risk",
        "reduces": "reduces risk",
        "neutral": "leaves risk as it is",
        "unknown": "effect on risk unknown",
    }[risk_change]
    if after is ABSENT:
        return f"Remove {path} of {strategy_id} (now {show(before)}): {risk}."
    if before is ABSENT:
        return f"Set {path} of {strategy_id}, absent until now, to {show(after)}: {risk}."
    return f"Change {path} of {strategy_id} from {show(before)} to {show(after)}: {risk}."


def touched_keys(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue], *, knobs: Mapping[str, Knob]
) -> tuple[TouchedKey, ...]:
    """List the keys that differ between two configurations, innermost first where objects are nested.

    Parameters
    ----------
    knobs
        The strategy's declared knobs, by path.

    Returns
    -------
    tuple of TouchedKey
        In the order of their paths; empty for equal configurations. `1` and `1.0` differ.
    """
    return tuple(
        TouchedKey(path=path, before=old, after=new, risk_change=_risk_change(path, old, new, knobs))
        for path, old, new in sorted(_differences(before, after, ""), key=lambda found: found[0])
    )


def _differences(before: Level, after: Level, path: str) -> Iterator[tuple[str, Level, Level]]:
    if before is ABSENT and isinstance(after, Mapping) and after:
        before = {}  # an object that is new is shown by the keys in it
    if after is ABSENT and isinstance(before, Mapping) and before:
        after = {}
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {*before, *after}:
            inner = f"{path}.{key}" if path else key
            yield from _differences(before.get(key, ABSENT), after.get(key, ABSENT), inner)
    elif level_key(before) != level_key(after):
        yield path, before, after


def _risk_change(path: str, before: Level, after: Level, knobs: Mapping[str, Knob]) -> str:
    if path in knobs:
        return knobs[path].risk_change(before, after)
    around = {knob.risk_change(before, after) for name, knob in knobs.items() if related(name, path)}
    return "neutral" if around == {"neutral"} else "unknown"

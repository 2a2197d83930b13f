"""Knobs inside a knob: a group is changed as one value, and what is declared inside it still holds.

A strategy may declare `parameters` as a knob of type json, and `parameters.depth` as well. Then either may be proposed:
one figure, or all of them at once where only together they were ever tried.
"""

from collections.abc import Iterable, Mapping

from meta_pipeline.canonical import ABSENT, Level, level_key
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.knobs import Knob


def objection_inside(knobs: Iterable[Knob], path: str, before: Level, after: Level) -> str | None:
    """Say why a value is not allowed by the knobs that are declared inside its path, or None if it is.

    Every one of them has to allow its part, step and changeability included, and a key of the group that is not
    declared may only stay as it is. A knob with nothing declared inside has no objection.

    Parameters
    ----------
    path
        Of the knob that changes as a whole.
    before, after
        Its values.
    """
    inside = {knob.path[len(path) + 1 :]: knob for knob in knobs if knob.path.startswith(f"{path}.")}
    if not inside:
        return None
    if not isinstance(after, Mapping):
        return f"{path} = {after!r} is no object, and {len(inside)} knobs are declared inside it"
    was = before if isinstance(before, Mapping) else {}
    undeclared = (set(was) | set(after)) - {name.partition(".")[0] for name in inside}
    changed = sorted(key for key in undeclared if level_key(was.get(key, ABSENT)) != level_key(after.get(key, ABSENT)))
    if changed:
        return f"{path} changes {', '.join(changed)}, which is not declared inside it"
    for name, knob in sorted(inside.items()):
        try:
            old, new = level_at(was, name), level_at(after, name)
        except InputError as error:
            return str(error)
        stays = old is ABSENT or level_key(old) == level_key(new)
        objection = knob.objection(new) if stays else knob.objection_to_change(old, new)
        if objection is not None:
            return objection
    return None

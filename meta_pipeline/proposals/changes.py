"""Which changes there are to judge: every level of every declared knob against the live value.

Belongs here: enumerating changes, their contrast weights, and why some cannot be judged. Does not belong here:
estimates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from meta_pipeline.canonical import ABSENT, JsonValue, Level, level_key
from meta_pipeline.evidence.design import Weights
from meta_pipeline.evidence.factors import Factor, Role, level_at
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import Experiment, Note, Rule
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.rationale import show_level

MAX_EXPERIMENT_BLOCKS: Final = 4
MAX_LEVELS: Final = 50
MOST_LEVELS: Final = 1000  # more values than that are no grid, however often each was run


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """One level of one knob against the live value.

    Parameters
    ----------
    knob, from_value, to_value
        The change.
    pairs, squares
        The contrast by matched pairs, if there are enough of them, and by least squares, if it is identified. At least
        one is there unless there is a refusal.
    local
        The contrast at the live configuration.
    refusal
        Why there is no contrast: a rule and a sentence.
    experiments
        Runs that would identify it.
    """

    knob: Knob
    from_value: Level
    to_value: Level
    factor: Factor | None = None
    low: int = -1
    high: int = -1
    pairs: Weights | None = None
    squares: Weights | None = None
    local: Weights | None = None
    refusal: tuple[Rule, str] | None = None
    experiments: tuple[Experiment, ...] = ()


def enumerate_changes(campaign: Campaign) -> list[Change]:
    """Return every change that the runs hint at, by knob path and level."""
    changes: list[Change] = []
    skipped = {subject for note in too_fine(campaign) for subject in note.subjects}
    for knob in campaign.knobs:
        if knob.path in skipped:
            continue
        live = level_at(campaign.live, knob.path)
        others = [level for level in _levels_seen(campaign, knob.path) if level_key(level) != level_key(live)]
        changes.extend(_change(campaign, knob, live, level) for level in others)
    return changes


def too_fine(campaign: Campaign) -> tuple[Note, ...]:
    """Return a note on each declared knob that has nearly a value per run: its values cannot be compared one by one."""
    notes = []
    named = set()
    for factor in (*campaign.distinct.factors, *campaign.metrics_only.factors):
        n_values = len(factor.levels)
        if factor.role is not Role.KNOB or n_values <= MAX_LEVELS or factor.path in named:
            continue
        if n_values > MOST_LEVELS or int(np.sum(np.bincount(factor.codes) == 1)) > n_values / 2:
            named.add(factor.path)
            sentence = (
                f"{factor.path} has {n_values} values in {len(factor.codes)} runs, few runs to a value; run a grid "
                "of values to have it judged. Meanwhile it is held fixed by bins."
            )
            notes.append(Note(code="too_many_values", sentence=sentence, subjects=(factor.path,), count=n_values))
    return tuple(notes)


def _levels_seen(campaign: Campaign, path: str) -> list[Level]:
    seen = {}
    for source in (campaign.distinct, campaign.metrics_only):
        for factor in source.factors:
            if factor.path == path:
                seen.update({level_key(factor.levels[code]): factor.levels[code] for code in np.unique(factor.codes)})
    return [seen[key] for key in sorted(seen)]


def _change(campaign: Campaign, knob: Knob, live: Level, level: Level) -> Change:
    factor = campaign.factor(knob.path)
    if factor is not None and knob.path in campaign.dead:
        sentence = f"{knob.path} is dead: wherever runs show what it does alone, their returns are identical"
        return Change(knob=knob, from_value=live, to_value=level, factor=factor, refusal=(Rule.DEAD_KNOB, sentence))
    if knob.path in campaign.confounded:
        together = ", ".join(campaign.confounded[knob.path])
        sentence = f"{knob.path} always moves together with {together}, so its own effect is not identifiable"
        return Change(
            knob=knob,
            from_value=live,
            to_value=level,
            factor=factor,
            refusal=(Rule.ALIASED_KNOB, sentence),
            experiments=_experiments(campaign, knob.path, live, level),
        )
    low, high = (None, None) if factor is None else (factor.code_of(live), factor.code_of(level))
    if factor is None or high is None:
        sentence = f"no run with a return series has {knob.path} = {show_level(level)}"
        return _unidentified(campaign, knob, live, level, sentence, factor)
    if low is None:
        sentence = f"no run has the live value {show_level(live)} of {knob.path}"
        return _unidentified(campaign, knob, live, level, sentence, factor)
    return _weighed(campaign, knob, factor, low, high)


def _weighed(campaign: Campaign, knob: Knob, factor: Factor, low: int, high: int) -> Change:
    design = campaign.design
    live, level = factor.levels[low], factor.levels[high]
    pairs = design.matched_pairs(factor, low, high)
    squares = design.generalised_least_squares(factor, low, high)
    enough = pairs.weights is not None and pairs.n_pairs >= campaign.parameters.minimum_pairs
    if squares.weights is None and not enough:
        sentence = f"the effect of {knob.path} = {show_level(level)} is not identified: {squares.reason}"
        return _unidentified(campaign, knob, live, level, sentence, factor)
    return Change(
        knob=knob,
        from_value=live,
        to_value=level,
        factor=factor,
        low=low,
        high=high,
        pairs=pairs if enough else None,
        squares=squares if squares.weights is not None else None,
        local=design.local_pairs(factor, low, high, campaign.live_codes),
    )


def _unidentified(
    campaign: Campaign, knob: Knob, live: Level, level: Level, sentence: str, factor: Factor | None
) -> Change:
    return Change(
        knob=knob,
        from_value=live,
        to_value=level,
        factor=factor,
        refusal=(Rule.UNIDENTIFIED, sentence),
        experiments=_experiments(campaign, knob.path, live, level),
    )


def _experiments(campaign: Campaign, path: str, live: Level, level: Level) -> tuple[Experiment, ...]:
    """Return the runs that are missing: the live configuration, and the same with only this knob changed."""
    wanted = []
    held = [knob.path for knob in campaign.knobs if knob.path != path]
    base = {other: level_at(campaign.live, other) for other in held}
    for value in (live, level):
        levels = {**base, path: value}
        wanted.append((levels, config_json(levels)))
    experiments = []
    # Where no run has returns, the ones that only reported metrics say where to run.
    labels = campaign.distinct.block_labels or campaign.metrics_only.block_labels
    for block, _ in labels[:MAX_EXPERIMENT_BLOCKS]:
        for levels, config in wanted:
            if not _has_run(campaign, block, levels):
                why = f"compares {path} = {show_level(level)} with {show_level(live)} at the live configuration"
                experiments.append(Experiment(block=block, config=config, why=why))
    return tuple(experiments)


def _has_run(campaign: Campaign, block: str, levels: Mapping[str, Level]) -> bool:
    labels = campaign.distinct.block_labels
    inside = np.isin(campaign.distinct.blocks, [code for code, label in enumerate(labels) if label[0] == block])
    for path, level in levels.items():
        factor = campaign.factor(path)
        code = None if factor is None else factor.code_of(level)
        if factor is None or code is None:
            return False
        inside &= factor.codes == code
    return bool(inside.any())


def config_json(levels: Mapping[str, Level]) -> dict[str, JsonValue]:
    """Return levels by path as a JSON object; absent ones are left out."""
    return {path: level for path, level in sorted(levels.items()) if level is not ABSENT}

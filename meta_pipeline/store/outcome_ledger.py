"""The outcome ledger: what was expected of every candidate, what became of it, and what a decision may know of both.

Belongs here: rows of `candidate_predictions` and `outcomes`. Does not belong here: replaying (replayed_outcomes), or
what is learned (evidence.expected_value).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Row, func
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline.canonical import JsonValue, Level, digest, level_key
from meta_pipeline.evidence.expected_value.ledger import Ledger, Outcome
from meta_pipeline.evidence.half_years import half_year_of
from meta_pipeline.proposals.candidate import Candidate, ProposalType, Proposed, Rule, finite, level_to_json
from meta_pipeline.proposals.candidate_json import level_from_json
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema import outcomes
from meta_pipeline.store.schema_evidence import candidate_predictions

WINDOWS: Final = (3, 6, 12, 24)
"""Months after the evidence at whose end an outcome is recorded. Learned from are those of half a year and more."""
_DEAD: Final = frozenset({Rule.DEAD_KNOB, Rule.IDENTICAL_RETURNS})


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Where and when candidates were judged.

    Parameters
    ----------
    family, campaign
        As the ledger names them (`campaign_of`).
    evidence_start, evidence_end
        First and last day of the evidence.
    decided_on
        The day of the decision.
    live
        The configuration that was live.
    """

    family: str
    campaign: str
    evidence_start: date
    evidence_end: date
    decided_on: date
    live: Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class DueOutcome:
    """A window after a candidate's evidence that is over and has no outcome yet."""

    candidate_id: str
    knob: str
    low: Level
    high: Level
    live: Mapping[str, JsonValue]
    claimed: float | None
    dead: bool
    window_start: date
    window_end: date


@dataclass(frozen=True, kw_only=True)
class Realised:
    """What became of a candidate in one window.

    Parameters
    ----------
    scale
        "main": averaged over other knobs; "incumbent": at the configuration that was live.
    effect, standard_error
        Difference of annualised Sharpe ratios on the same days; None where `reason` says why there is none.
    """

    scale: str
    n_days: int
    effect: float | None = None
    standard_error: float | None = None
    reason: str | None = None


def family_of(family: str, strategy_id: str) -> str:
    """Return the family that a strategy shares its ledger with: its own name where it declares none."""
    return family or strategy_id


def campaign_of(strategy_id: str, evidence_end: date) -> str:
    """Name what is decided together: a strategy, and the half-year in which its evidence ends.

    Nightly looks within a half-year are looks at nearly the same days; the ledger counts the first.
    """
    return f"{strategy_id}|{int(half_year_of(np.asarray([evidence_end], dtype='datetime64[D]'))[0])}"


def write_predictions(
    connection: Connection,
    proposed: Proposed,
    judged: Judgement,
    *,
    strategy_id: str,
    knobs: Sequence[str],
    now: datetime,
) -> int:
    """Record what was expected of every candidate of a declared knob, and the campaign's own pseudo-outcomes.

    Candidates must be written already. What was expected first stays: the same change on the same days, with the same
    live configuration, adds nothing, though the ledger may have taught something since.

    Returns
    -------
    int
        How many predictions were new.
    """
    ids = {
        _change(candidate): candidate.candidate_id(strategy_id=strategy_id, evidence_digest=proposed.evidence_digest)
        for candidate in proposed.candidates
        if candidate.proposal_type is ProposalType.CONFIG_PARAMETER_CHANGE and candidate.knob in set(knobs)
    }
    rows = [
        _prediction(candidate, ids[_change(candidate)], judged, strategy_id, now)
        for candidate in proposed.candidates
        if candidate.proposal_type is ProposalType.CONFIG_PARAMETER_CHANGE and _change(candidate) in ids
    ]
    if not rows:
        return 0
    written = connection.execute(
        insert(candidate_predictions).on_conflict_do_nothing().returning(candidate_predictions.c.candidate_id), rows
    )
    new = set(written.scalars())
    pseudo = [row for row in proposed.pseudo_outcomes if ids.get((row.knob, row.low, row.high)) in new]
    _write(connection, [part for row in pseudo for part in _pseudo(row, ids, strategy_id, now)])
    return len(new)


def _change(candidate: Candidate) -> tuple[str, str, str]:
    return candidate.knob, level_key(candidate.from_value), level_key(candidate.to_value)


def _prediction(
    candidate: Candidate, candidate_id: str, judged: Judgement, strategy_id: str, now: datetime
) -> dict[str, Any]:
    surface = candidate.decision.get("surface")
    return {
        "candidate_id": candidate_id,
        "strategy_id": strategy_id,
        "family": judged.family,
        "campaign": judged.campaign,
        "look": digest(
            {
                "strategy": strategy_id,
                "knob": candidate.knob,
                "from": level_to_json(candidate.from_value),
                "to": level_to_json(candidate.to_value),
                "live": dict(judged.live),
                "evidence": [str(judged.evidence_start), str(judged.evidence_end)],
            }
        ),
        "evidence_start": judged.evidence_start,
        "evidence_end": judged.evidence_end,
        "decided_on": max(judged.decided_on, judged.evidence_end),
        "live_config": dict(judged.live),
        "contrast": finite(candidate.effect.estimate),
        "standard_error": finite(candidate.effect.standard_error),
        "surface": finite(surface) if isinstance(surface, float) else None,
        "claimed": finite(candidate.expected_uplift),
        "probability": finite(candidate.probability_positive),
        "dead": candidate.suppressed_by in _DEAD,
        "created_at": now,
    }


def _pseudo(
    row: Outcome, ids: Mapping[tuple[str, str, str], str], strategy_id: str, now: datetime
) -> list[dict[str, Any]]:
    common = {
        "candidate_id": ids[row.knob, row.low, row.high],
        "strategy_id": strategy_id,
        "kind": "pseudo",
        "window_start": (row.evidence_end + np.timedelta64(1, "D")).astype(date),
        "window_end": row.outcome_end.astype(date),
        "n_days": int((row.outcome_end - row.evidence_end) / np.timedelta64(1, "D")),
        "claimed": None,
        "standard_error": None,
        "missing_reason": None,
        "recorded_at": now,
        "contrast": finite(row.contrast),
        "contrast_error": finite(row.standard_error),
        "surface": finite(row.surface),
        "years": row.years,
    }
    scales = {"main": finite(row.main), "incumbent": finite(row.incumbent)}
    return [{**common, "scale": scale, "realised": value} for scale, value in scales.items() if value is not None]


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write outcomes; one that was missing is replaced by one that is known, never the other way round."""
    if not rows:
        return
    statement = insert(outcomes)
    replaced = ("n_days", "realised", "standard_error", "missing_reason", "recorded_at")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["candidate_id", "kind", "scale", "window_start", "window_end"],
            set_={name: statement.excluded[name] for name in replaced},
            where=outcomes.c.realised.is_(None) & statement.excluded.realised.is_not(None),
        ),
        [dict(row) for row in rows],
    )


def write_outcome(
    connection: Connection, due: DueOutcome, found: Sequence[Realised], *, strategy_id: str, now: datetime
) -> None:
    """Record what became of a candidate in one window, on every scale that was looked at."""
    _write(
        connection,
        [
            {
                "candidate_id": due.candidate_id,
                "strategy_id": strategy_id,
                "kind": "replay",
                "scale": one.scale,
                "window_start": due.window_start,
                "window_end": due.window_end,
                "n_days": one.n_days,
                "claimed": due.claimed,
                "realised": finite(one.effect),
                "standard_error": finite(one.standard_error),
                "missing_reason": one.reason,
                "recorded_at": now,
            }
            for one in found
        ],
    )


def due_outcomes(connection: Connection, strategy_id: str, *, today: date, moved: int = 0) -> tuple[DueOutcome, ...]:
    """Return the windows of a strategy's candidates that are over and have no outcome yet, earliest evidence first.

    Parameters
    ----------
    today
        A window is over when its last day is before this.
    moved
        Days by which the days after the evidence are moved to become live ones (the lab's held-back years).
    """
    rows = connection.execute(
        query("due_outcomes"),
        {"strategy_id": strategy_id, "today": today, "moved": moved, "months": list(WINDOWS)},
    )
    return tuple(_due(row) for row in rows)


def _due(row: Row[Any]) -> DueOutcome:
    return DueOutcome(
        candidate_id=row.candidate_id,
        knob=json.loads(row.knob),
        low=level_from_json(json.loads(row.low)),
        high=level_from_json(json.loads(row.high)),
        live=json.loads(row.live_config),
        claimed=row.claimed,
        dead=row.dead,
        window_start=row.window_start,
        window_end=row.window_end,
    )


def load_ledger(connection: Connection, family: str, *, decided_on: date, now: datetime) -> Ledger:
    """Read what a decision on a day may know: a family's outcomes that had ended, and were on record, by then."""
    rows = connection.execute(query("ended_outcomes"), {"family": family, "decided_on": decided_on, "now": now}).all()
    nan = float("nan")
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows]
        for name in ("family", "campaign", "evidence_end", "outcome_end", "pseudo", "dead")
    }
    columns["knob"] = [json.loads(row.knob) for row in rows]
    for name in ("low", "high"):
        columns[name] = [level_key(level_from_json(json.loads(getattr(row, name)))) for row in rows]
    for name in ("years", "contrast", "standard_error", "surface", "claimed", "probability", "main", "incumbent"):
        columns[name] = [nan if getattr(row, name) is None else getattr(row, name) for row in rows]
    return Ledger.from_columns(**columns)


def count_outcomes(connection: Connection, strategy_id: str) -> dict[str, int]:
    """Return how many outcomes of a strategy are on record, by kind, where the effect is known."""
    table = outcomes
    rows = connection.execute(
        table.select()
        .with_only_columns(table.c.kind, func.count())
        .where(table.c.strategy_id == strategy_id, table.c.realised.is_not(None))
        .group_by(table.c.kind)
        .order_by(table.c.kind)
    )
    return {kind: int(number) for kind, number in rows}

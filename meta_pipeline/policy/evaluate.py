"""One evaluation: health and statistics in, the policy with its reasons out. Pure, and quick.

Belongs here: the order of the steps. Does not belong here: the steps themselves, the signed document (document), and
where inputs come from (store).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.policy.allocation import latest_fixed_share, natural_rate
from meta_pipeline.policy.classic import classic_mode, shift_by_opportunity, symbols_with_opportunity
from meta_pipeline.policy.health import MAX_AGE, SystemHealth, problems
from meta_pipeline.policy.modes import Profile, Reason, RiskMode, tightest
from meta_pipeline.policy.parameters import LIMITS, Limits
from meta_pipeline.policy.risk_budget import BUDGET, FEWEST_DAYS, expected_shortfall, scale_to_budget
from meta_pipeline.policy.risk_mode import ModeDecision, ModeState, decide_mode
from meta_pipeline.policy.scores import Flags, Floats, StrategyTable, classic_scores, edge_bounds, objections, suits
from meta_pipeline.policy.selection import Selection, choose, choose_classic, most_of

FEWEST_TRADES: Final = 10
WEIGHT_DAYS: Final = 60
WEIGHT_DIGITS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Halt:
    """A halt by hand: nothing new is traded until a person resumes."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What does not change from one evaluation to the next.

    Parameters
    ----------
    profile
        Whose rules decide.
    max_strategies
        Hard cap on the allowed strategies, whatever the mode.
    fewest_trades
        Closed trades below which a strategy is not judged.
    ceiling
        The loosest mode that may be; the predecessor's CURRENT_PROFILE=SAFE means NORMAL.
    max_age
        Oldest input that is still believed.
    """

    profile: Profile = Profile.DEFAULT
    max_strategies: int = 8
    fewest_trades: int = FEWEST_TRADES
    ceiling: RiskMode = RiskMode.AGGRESSIVE
    max_age: timedelta = MAX_AGE


DEFAULT_RULES: Final = Rules()


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What one evaluation looks at.

    Parameters
    ----------
    table
        Statistics of the declared strategies.
    returns
        Shape (n_days, n_strategies), the daily returns of each on the book's equity, the latest day last.
    withheld
        Shape (n_strategies,), a code where a strategy may not trade whatever its record ("paused"), else "".
    admitted
        Shape (n_strategies,), strategies that a person let in without a record, for a time.
    state
        What the evaluation before left behind.
    symbols
        Symbols with a fresh price; None: nothing is known of prices, and symbols are not restricted.
    opportunities
        Symbol -> score 0..1, where somebody ranks them.
    halt
        The halt in force.
    """

    now: datetime
    health: SystemHealth
    table: StrategyTable
    returns: Floats
    withheld: NDArray[np.str_]
    admitted: Flags
    state: ModeState | None = None
    symbols: Sequence[str] | None = None
    opportunities: Mapping[str, float] | None = None
    halt: Halt | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What an evaluation decided.

    Parameters
    ----------
    mode, limits
        What executors are told.
    state
        To go on from; its mode may be looser than `mode` where a ceiling holds.
    reduce_only
        Whether nothing new may be opened at all.
    strategies
        The allowed ones, the best first.
    weights
        Strategy -> share of the book's risk. Equal shares that sum to one leave each at the size it has been trading;
        a sum below one shrinks the book to its risk budget.
    symbols
        The allowed symbols; None: not restricted.
    scores, codes
        Shape (n_strategies,): score by the profile, and why each was not chosen.
    expected_shortfall
        Of the weighted strategies before scaling, a daily fraction; None where it cannot be estimated.
    """

    profile: Profile
    mode: RiskMode
    limits: Limits
    state: ModeState
    reduce_only: bool
    halt: Halt | None
    strategies: tuple[str, ...]
    weights: Mapping[str, float]
    symbols: tuple[str, ...] | None
    reasons: tuple[Reason, ...]
    health: SystemHealth
    table: StrategyTable
    scores: Floats
    codes: NDArray[np.str_]
    expected_shortfall: float | None
    max_expected_shortfall: float
    counts: Mapping[str, int] = field(default_factory=dict)

    def not_chosen(self) -> dict[str, JsonValue]:
        """Return how many strategies were left out, by code."""
        return dict(sorted(self.counts.items()))


def evaluate(inputs: Inputs, rules: Rules = DEFAULT_RULES) -> Evaluation:
    """Decide the policy."""
    decision = _mode(inputs, rules)
    mode = tightest((decision.mode, rules.ceiling))
    reasons = list(decision.reasons)
    if mode is not decision.mode:
        reasons.append(Reason(code="ceiling", text=f"{decision.mode} is held down to {mode} by the configuration"))
    scores, selection = _select(inputs, rules, mode)
    halted = inputs.halt is not None
    chosen = () if halted else _with_admitted(selection, inputs, most_of(mode, rules.max_strategies))
    weights, shortfall = _weights(inputs, chosen, mode)
    names = tuple(inputs.table.strategy_ids[index] for index in chosen)
    counts = Counter(selection.codes.tolist())
    counts.pop("", None)
    reasons += _selection_reasons(names, counts, halted=halted)
    if shortfall is not None and shortfall > BUDGET[mode]:
        text = f"weights scaled down: expected shortfall {shortfall:.2%} a day, {BUDGET[mode]:.2%} allowed"
        reasons.append(Reason(code="risk_budget", text=text))
    return Evaluation(
        profile=rules.profile,
        mode=mode,
        limits=LIMITS[mode],
        state=decision.state,
        reduce_only=halted,
        halt=inputs.halt,
        strategies=names,
        weights=dict(zip(names, weights, strict=True)),
        symbols=_symbols(inputs),
        reasons=tuple(reasons),
        health=inputs.health,
        table=inputs.table,
        scores=scores,
        codes=selection.codes,
        expected_shortfall=shortfall,
        max_expected_shortfall=BUDGET[mode],
        counts=counts,
    )


def _mode(inputs: Inputs, rules: Rules) -> ModeDecision:
    found = list(problems(inputs.health, now=inputs.now, max_age=rules.max_age))
    if inputs.halt is not None:
        halt = inputs.halt
        text = f"halted by {halt.by} since {halt.at:%Y-%m-%d %H:%M} UTC: {halt.reason}"
        found.insert(0, Reason(code="halted", text=text))
    scored = inputs.opportunities or {}
    bad = [symbol for symbol, score in scored.items() if not 0.0 <= score <= 1.0]
    if bad:
        text = f"the opportunity of {', '.join(sorted(bad)[:3])} is no score between 0 and 1"
        found.append(Reason(code="invalid_opportunity", text=text))
    if rules.profile is Profile.DEFAULT or found:
        decision = decide_mode(inputs.state, inputs.health, found, now=inputs.now)
        return decision if found else _cooled(decision, scored)
    mode, why = classic_mode(inputs.health)
    shifted = shift_by_opportunity(mode, scored)
    if shifted is not mode:
        why = (*why, Reason(code="opportunity", text=f"the ranking of symbols moves {mode} to {shifted}"))
    before = inputs.state
    entered = before.entered_at if before is not None and before.mode is shifted else inputs.now
    state = ModeState(mode=shifted, entered_at=entered, evaluated_at=inputs.now)
    return ModeDecision(mode=shifted, reasons=why or (Reason(code="no_signal", text="no signal"),), state=state)


def _cooled(decision: ModeDecision, opportunities: Mapping[str, float]) -> ModeDecision:
    """Take one step down where the symbols look bad; looking good only ever helps by the book's own results."""
    lower = tightest((decision.mode, shift_by_opportunity(decision.mode, opportunities)))
    if lower is decision.mode:
        return decision
    reason = Reason(code="opportunity", text=f"the ranking of symbols moves {decision.mode} to {lower}")
    return ModeDecision(mode=lower, reasons=(*decision.reasons, reason), state=decision.state)


def _select(inputs: Inputs, rules: Rules, mode: RiskMode) -> tuple[Floats, Selection]:
    table = inputs.table
    codes = objections(table, fewest=rules.fewest_trades)
    codes = np.where(inputs.withheld != "", inputs.withheld, codes)
    if rules.profile is Profile.CLASSIC:
        scores = classic_scores(table, inputs.health.regime).score
        scores[codes != ""] = np.nan
        return scores, choose_classic(scores, codes, mode=mode, most=rules.max_strategies)
    bounds = edge_bounds(table, codes == "")
    suitable = suits(table, inputs.health.regime) | ~table.regime_tags.any(axis=1)
    chosen = choose(bounds, codes, suitable=suitable, returns=inputs.returns, mode=mode, most=rules.max_strategies)
    return bounds, chosen


def _with_admitted(selection: Selection, inputs: Inputs, most: int) -> tuple[int, ...]:
    """Add the strategies that a person let in, within the cap; only those without a record need it."""
    newcomers = np.flatnonzero(inputs.admitted & (selection.codes == "too_few_trades")).tolist()
    return tuple([*selection.chosen, *newcomers][:most])


def _weights(inputs: Inputs, chosen: Sequence[int], mode: RiskMode) -> tuple[tuple[float, ...], float | None]:
    """Weigh the chosen by their recent returns, and scale them into the risk budget; rounded down."""
    if not chosen:
        return (), None
    recent = inputs.returns[-WEIGHT_DAYS:, list(chosen)]
    shares = latest_fixed_share(-recent, rate=natural_rate(recent))
    # At equal shares each strategy keeps its size, so a share times their number is the factor on it.
    book = inputs.returns[:, list(chosen)] @ (len(chosen) * np.array(shares))
    ages = _days_traded(inputs.returns[:, list(chosen)])
    # Days before a strategy began say nothing of its risk, so those on which all that are known traded count alone too.
    youngest = min((age for age in ages if age >= FEWEST_DAYS), default=len(book))
    whole, since = expected_shortfall(book), expected_shortfall(book[len(book) - youngest :])
    shortfall = None if whole is None or since is None else max(whole, since)
    scale, unknown = scale_to_budget(shortfall, mode), scale_to_budget(None, mode)
    scales = [scale if age >= FEWEST_DAYS else min(scale, unknown) for age in ages]
    step = 10**WEIGHT_DIGITS
    return tuple(int(share * one * step) / step for share, one in zip(shares, scales, strict=True)), shortfall


def _days_traded(returns: Floats) -> list[int]:
    """Return for each strategy the days since it first made or lost anything; 0 if it never did."""
    moved = returns != 0.0
    first = np.argmax(moved, axis=0)
    return np.where(moved.any(axis=0), len(returns) - first, 0).tolist()  # type: ignore[no-any-return]


def _symbols(inputs: Inputs) -> tuple[str, ...] | None:
    allowed = inputs.symbols
    if inputs.opportunities:
        good = symbols_with_opportunity(inputs.opportunities)
        allowed = good if allowed is None else [symbol for symbol in good if symbol in set(allowed)]
    return None if allowed is None else tuple(allowed)


_CODES: Final[Mapping[str, str]] = {
    "too_few_trades": "with too few closed trades",
    "edge_not_proven": "without a proven edge",
    "low_score": "with a score of 0.3 or less",
    "not_for_this_regime": "not made for this regime",
    "beyond_the_cap": "beyond the cap",
    "same_bet": "the same bet as one that is allowed",
    "no_variation": "whose trades do not vary",
    "paused": "paused by hand",
    "undeclared": "that nobody declared",
}


def _selection_reasons(names: Sequence[str], counts: Mapping[str, int], *, halted: bool) -> list[Reason]:
    if halted:
        return [Reason(code="no_strategy", text="no strategy is allowed while halted")]
    left = "; ".join(f"{n} {_CODES.get(code, code.replace('_', ' '))}" for code, n in sorted(counts.items()))
    if not names:
        return [
            Reason(code="no_strategy", text=f"no strategy qualifies, so none is allowed ({left or 'none is known'})")
        ]
    text = f"allowed: {', '.join(names)}" + (f"; left out: {left}" if left else "")
    return [Reason(code="strategies", text=text)]

"""The default rule of the risk mode: the documented table, with breakers, hysteresis and dwell.

It tightens at once and loosens late: one step at a time, and only after the calm has lasted. Of two books whose
readings differ only in that one is worse in some of them, at whatever times, the worse one never has the looser mode;
the tests hold that for whole paths.

Hysteresis: what leads into DEFENSIVE at one threshold leads out of it only beyond a quieter one, and the other way
round for AGGRESSIVE. Dwell: the time the calm must last. A gap between evaluations counts as calm for an hour at most,
for nobody looked in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.policy.classic import (
    AGGRESSIVE_AT,
    DEFENSIVE_AT,
    DOCUMENTED,
    Table,
    above,
    aggressive_points,
    at_least,
    defensive_points,
)
from meta_pipeline.policy.health import SystemHealth
from meta_pipeline.policy.modes import Reason, Regime, RiskMode, Volatility

QUIET: Final = Table(
    drawdown=4.0, winrate=0.48, slope=-0.3, losses=4, days=2.5, good_drawdown=2.5, good_winrate=0.57, good_slope=0.8
)
"""The thresholds a reading must be beyond before the mode is left that the documented ones led into."""

TO_NORMAL: Final = timedelta(hours=4)
TO_AGGRESSIVE: Final = timedelta(hours=12)
LOOKS: Final = 3
"""Evaluations in a row that must find calm, however far apart they are: one wild reading proves nothing."""

LONGEST_LOOK: Final = timedelta(hours=1)
SLOWEST: Final = 10.0
ENOUGH_TRADES: Final = 30
"""Closed trades from which on a high win rate counts towards AGGRESSIVE."""


@dataclass(frozen=True, kw_only=True)
class Breakers:
    """Single readings that suffice for DEFENSIVE. The defaults are ours; the documented rule has none."""

    drawdown: float = 7.0
    winrate: float = 0.30
    slope: float = -2.0
    losses: int = 8
    days: float = 10.0


TRIP: Final = Breakers()
RESET: Final = Breakers(drawdown=6.0, winrate=0.33, slope=-1.5, losses=7, days=9.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeState:
    """What one evaluation leaves behind for the next.

    Parameters
    ----------
    mode
        The mode that was decided.
    entered_at
        Since when it holds.
    evaluated_at
        When it was last decided.
    calm_seconds, calm_looks
        For how long, and in how many evaluations in a row, the readings have allowed the next looser mode.
    """

    mode: RiskMode
    entered_at: datetime
    evaluated_at: datetime
    calm_seconds: float = 0.0
    calm_looks: int = 0

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state as a JSON object."""
        return {
            "mode": str(self.mode),
            "entered_at": self.entered_at.isoformat(),
            "evaluated_at": self.evaluated_at.isoformat(),
            "calm_seconds": self.calm_seconds,
            "calm_looks": self.calm_looks,
        }

    @classmethod
    def from_json(cls, value: object) -> "ModeState":
        """Read what `to_json` wrote.

        Raises
        ------
        InputError
            If it is something else.
        """
        try:
            assert isinstance(value, dict)
            return cls(
                mode=RiskMode(value["mode"]),
                entered_at=datetime.fromisoformat(value["entered_at"]),
                evaluated_at=datetime.fromisoformat(value["evaluated_at"]),
                calm_seconds=float(value["calm_seconds"]),
                calm_looks=int(value["calm_looks"]),
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"the stored state of the risk mode cannot be read ({error!r}): {value!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeDecision:
    """The mode, why, and the state to go on from."""

    mode: RiskMode
    reasons: tuple[Reason, ...]
    state: ModeState


def decide_mode(
    state: ModeState | None, health: SystemHealth, problems: Sequence[Reason], *, now: datetime
) -> ModeDecision:
    """Decide the risk mode.

    Parameters
    ----------
    state
        What the evaluation before left behind; None: there was none, and the mode starts DEFENSIVE.
    health
        The readings; looked at only where there are no problems.
    problems
        Why the readings cannot be trusted (`health.problems`); any makes the mode DEFENSIVE.
    now
        The time, UTC-aware.
    """
    before = state or ModeState(mode=RiskMode.DEFENSIVE, entered_at=now, evaluated_at=now)
    if problems:
        return _settled(before, RiskMode.DEFENSIVE, tuple(problems), now)
    alarms = _alarms(health, DOCUMENTED, TRIP)
    if alarms:
        return _settled(before, RiskMode.DEFENSIVE, alarms, now)
    if before.mode is RiskMode.DEFENSIVE:
        unrest = _alarms(health, QUIET, RESET)
        first = () if state is not None else (Reason(code="first", text="the first evaluation starts DEFENSIVE"),)
        return _wait(before, unrest, TO_NORMAL, now, first)
    if before.mode is RiskMode.NORMAL:
        return _wait(before, _not_aggressive(health, DOCUMENTED, QUIET, RESET), TO_AGGRESSIVE, now)
    lost = _not_aggressive(health, QUIET, DOCUMENTED, TRIP)
    if lost:
        return _settled(before, RiskMode.NORMAL, lost, now)
    return _settled(before, RiskMode.AGGRESSIVE, _good(health, QUIET)[1], now)


def _wait(
    before: ModeState, unrest: tuple[Reason, ...], dwell: timedelta, now: datetime, first: tuple[Reason, ...] = ()
) -> ModeDecision:
    """Stay in the mode until nothing has spoken against the next one for long enough."""
    if unrest:
        return _settled(before, before.mode, (*first, *unrest), now)
    gap = min(max(now - before.evaluated_at, timedelta(0)), LONGEST_LOOK)
    # The first calm look says nothing about the time before it.
    calm = before.calm_seconds + gap.total_seconds() if before.calm_looks else 0.0
    looks = before.calm_looks + 1
    target = before.mode.one_up()
    if calm >= dwell.total_seconds() and looks >= LOOKS:
        text = f"calm for {calm / 3600:.1f} hours in {looks} evaluations"
        return _settled(before, target, (Reason(code="calm", text=text),), now)
    text = (
        f"calm for {calm / 3600:.1f} of the {dwell / timedelta(hours=1):g} hours, and {looks} of the {LOOKS} "
        f"evaluations, that {target} takes"
    )
    kept = replace(before, evaluated_at=now, calm_seconds=calm, calm_looks=looks)
    return ModeDecision(mode=before.mode, reasons=(*first, Reason(code="dwell", text=text)), state=kept)


def _settled(before: ModeState, mode: RiskMode, reasons: tuple[Reason, ...], now: datetime) -> ModeDecision:
    entered = before.entered_at if mode is before.mode else now
    return ModeDecision(mode=mode, reasons=reasons, state=ModeState(mode=mode, entered_at=entered, evaluated_at=now))


def _alarms(health: SystemHealth, table: Table, breakers: Breakers) -> tuple[Reason, ...]:
    """Return why the mode must be DEFENSIVE by these thresholds; empty where it need not."""
    broken = _broken(health, breakers)
    points, why = _bad(health, table)
    return (*broken, *why) if broken or points >= DEFENSIVE_AT else ()


def _not_aggressive(health: SystemHealth, good: Table, bad: Table, breakers: Breakers) -> tuple[Reason, ...]:
    """Return why the mode may not be AGGRESSIVE; empty where it may."""
    against = (*_broken(health, breakers), *_bad(health, bad)[1])
    if against:
        return against
    points, why = _good(health, good)
    if points >= AGGRESSIVE_AT:
        return ()
    short = f"{points} of the {AGGRESSIVE_AT} signs that AGGRESSIVE takes"
    return (*why, Reason(code="too_few_good_signs", text=short))


def _bad(health: SystemHealth, table: Table) -> tuple[int, tuple[Reason, ...]]:
    points, why = defensive_points(health, replace(table, days=table.days * pace(health)))
    extra = []
    if health.regime is Regime.VOLATILE:
        extra.append(Reason(code="regime", text="regime VOLATILE"))
    if trend_against(health):
        held = "nobody knows which way it stands" if health.exposure is None else f"net exposure {health.exposure:+.2f}"
        extra.append(Reason(code="trend_against_book", text=f"regime {health.regime} against the book, {held}"))
    return points + len(extra), (*why, *extra)


def _good(health: SystemHealth, table: Table) -> tuple[int, tuple[Reason, ...]]:
    _, why = aggressive_points(health, table)
    few = (health.recent_trade_count or 0) < ENOUGH_TRADES
    dropped = {"trend"} if not trend_with(health) else set()
    dropped |= {"good_winrate"} if few else set()
    kept = tuple(reason for reason in why if reason.code not in dropped)
    return len(kept), kept


def trend_with(health: SystemHealth) -> bool:
    """Say whether the market trends the way the book stands."""
    exposure = health.exposure or 0.0
    return (health.regime is Regime.BULL_TRENDING and exposure > 0) or (
        health.regime is Regime.BEAR_TRENDING and exposure < 0
    )


def trend_against(health: SystemHealth) -> bool:
    """Say whether the market trends against the book; a book of unknown exposure has every trend against it."""
    if health.regime not in {Regime.BULL_TRENDING, Regime.BEAR_TRENDING}:
        return False
    return health.exposure is None or (health.exposure != 0 and not trend_with(health))


def pace(health: SystemHealth) -> float:
    """Return the factor on days without profit: the days between two trades, at least 1 and at most `SLOWEST`."""
    gap = health.days_between_trades
    return 1.0 if gap is None or not gap > 1.0 else min(gap, SLOWEST)


def _broken(health: SystemHealth, breakers: Breakers) -> tuple[Reason, ...]:
    h, b = health, replace(breakers, days=breakers.days * pace(health))
    assert h.drawdown_pct is not None
    assert h.winrate is not None
    assert h.equity_slope_pct_per_day is not None
    assert h.consecutive_losses is not None
    assert h.days_since_profit is not None
    found = (
        (at_least(h.drawdown_pct, b.drawdown), "drawdown", f"drawdown {h.drawdown_pct:.2f} % >= {b.drawdown:g} %"),
        (above(b.winrate, h.winrate), "winrate", f"win rate {h.winrate:.1%} < {b.winrate:.0%}"),
        (
            above(b.slope, h.equity_slope_pct_per_day),
            "slope",
            f"equity slope {h.equity_slope_pct_per_day:+.2f} %/day < {b.slope:+g}",
        ),
        (h.consecutive_losses >= b.losses, "losses", f"{h.consecutive_losses} losses in a row >= {b.losses}"),
        (
            at_least(h.days_since_profit, b.days),
            "no_profit",
            f"{h.days_since_profit:.1f} days without profit >= {b.days:.3g}",
        ),
        (h.volatility is Volatility.EXTREME, "volatility", "volatility EXTREME"),
        (h.regime is Regime.LOW_LIQUIDITY, "regime", "regime LOW_LIQUIDITY"),
    )
    return tuple(Reason(code=f"breaker_{code}", text=f"breaker: {text}") for holds, code, text in found if holds)

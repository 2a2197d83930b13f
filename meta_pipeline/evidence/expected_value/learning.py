"""What ended outcomes teach: weights of the main mean, rho, spreads, the probability, the alarm.

Belongs here: fitting, and what is expected of a change. Does not belong here: which change is made (decision).

Everything is learned from outcomes that ended by the day of the decision, and each row's own history is taken as of the
end of its evidence, so that a row is treated as the decision it was.
"""

from dataclasses import dataclass
from math import fsum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.expected_value.alarm import Alarm, sound
from meta_pipeline.evidence.expected_value.history import SHRINK, History
from meta_pipeline.evidence.expected_value.ledger import Floats, Ledger, Texts, keys_of
from meta_pipeline.evidence.expected_value.probability import WinOdds, fit_win_odds, log_odds
from meta_pipeline.evidence.grades import haircut

ENOUGH: Final = 400
"""Ended outcomes from which weights and the probability are learned, and value proposals are made."""
WEIGHTS: Final = (0.2, 0.7)
RIDGE: Final = 3.0
RHO: Final = 0.5
RHO_ROWS: Final = 100  # outcomes that the default rho counts for
HAIRCUT_SHORT: Final = (5.0, 0.25)
HAIRCUT_LONG: Final = (10.0, 0.45)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """Changes to be judged, each field of shape (n,).

    Parameters
    ----------
    family, campaign, knob, low, high
        As in `ledger.Outcome`.
    years, contrast, standard_error
        The evidence.
    surface
        What `Surface.uplift` says at the incumbent; NaN where no surface speaks.
    spread
        Standard deviation of the realised effect around the claim as theory has it (`grades.claim`), positive.
    """

    family: Texts
    campaign: Texts
    knob: Texts
    low: Texts
    high: Texts
    years: Floats
    contrast: Floats
    standard_error: Floats
    surface: Floats
    spread: Floats

    def __len__(self) -> int:
        return len(self.knob)


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """What is expected of each case, each of shape (n,).

    Parameters
    ----------
    main_mean
        m: weighted contrast and history; the contrast after the haircut where there is no history.
    at_incumbent
        u: what the response surface says at the incumbent, or m where it does not speak.
    claim
        c: rho * u, halved under an alarm.
    probability
        That the realised effect is positive.
    spread
        Standard deviation of the realised effect around the claim.
    history, n_outcomes, win_rate
        k, the outcomes it rests on (mirrored ones included), and the shrunken win rate.
    from_surface
        Whether u is the surface's.
    """

    main_mean: Floats
    at_incumbent: Floats
    claim: Floats
    probability: Floats
    spread: Floats
    history: Floats
    n_outcomes: NDArray[np.int64]
    win_rate: Floats
    from_surface: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """What a ledger teaches as of a day. Build it with `learn`.

    Parameters
    ----------
    at
        The day of the decision.
    n_outcomes
        Ended outcomes learned from, dead ones not counted.
    weights
        Of the contrast and of k in the main mean.
    rho, rho_main
        Share of u that is claimed where the surface speaks, and where the main mean does; 0 to 1.
    odds
        The logistic model of a positive outcome; None while there are too few outcomes.
    alarm
        Realised against claimed of the last outcomes.
    past, squares
        Outcomes by kind of change; per (family, knob) their number and the sum of their squares.
    campaigns, only_pseudo
        Campaigns they come from, and whether none is more than a pseudo-outcome.
    haircuts
        As in `learn`.
    """

    at: np.datetime64
    n_outcomes: int
    weights: tuple[float, float]
    rho: float
    rho_main: float
    odds: WinOdds | None
    alarm: Alarm
    past: History
    squares: dict[tuple[str, ...], tuple[int, float]]
    campaigns: frozenset[str]
    only_pseudo: bool
    haircuts: tuple[tuple[float, float], tuple[float, float]]

    @property
    def enough(self) -> bool:
        """Whether value proposals may be made."""
        return self.n_outcomes >= ENOUGH

    def is_first(self, campaign: str) -> bool:
        """Whether nothing is known but this campaign's own pseudo-outcomes: then the haircut decides."""
        return self.only_pseudo and self.campaigns <= {campaign}

    def expect(self, cases: Cases) -> Expected:
        """Return claim and probability of each case."""
        today = np.full(len(cases), self.at, dtype="datetime64[D]")
        kind = (cases.family, cases.knob, cases.low, cases.high)
        k, wins = self.past.means(*kind, today), self.past.win_rates(*kind, today)
        mean = self.weights[0] * cases.contrast + self.weights[1] * k
        first = np.asarray([self.is_first(name) for name in cases.campaign], dtype=bool)
        mean = np.where(first, self._shares(cases.years) * cases.contrast, mean)
        speaks = np.isfinite(cases.surface)
        at_incumbent = np.where(speaks, cases.surface, mean)
        # The haircut of a first campaign is all that is held back: there is nothing to learn a share from.
        share = np.where(speaks, self.rho, np.where(first, 1.0, self.rho_main))
        claim = share * at_incumbent * (0.5 if self.alarm.sounded else 1.0)
        spread = self._spreads(cases)
        with np.errstate(all="ignore"):
            score = np.where(spread > 0, claim / spread, np.sign(claim) * np.inf)
        score = np.where(claim == 0, 0.0, score)
        probability = ndtr(score) if self.odds is None else self.odds.probability(score, log_odds(wins))
        return Expected(
            main_mean=mean,
            at_incumbent=at_incumbent,
            claim=claim,
            probability=probability,
            spread=spread,
            history=k,
            n_outcomes=self.past.counts(*kind, today),
            win_rate=wins,
            from_surface=speaks,
        )

    def _shares(self, years: Floats) -> Floats:
        short, long = self.haircuts
        return np.asarray([haircut(length, short=short, long=long) for length in years.tolist()], dtype=np.float64)

    def _spreads(self, cases: Cases) -> Floats:
        """Return s_knob: the theoretical variance, updated by the knob's squared outcomes as if it were 20 of them."""
        found = [self.squares.get(key, (0, 0.0)) for key in keys_of(cases.family, cases.knob)]
        n, total = np.asarray([count for count, _ in found], dtype=np.float64), np.asarray([s for _, s in found])
        spreads: Floats = np.sqrt((SHRINK * cases.spread**2 + total) / (SHRINK + n))
        return spreads


def learn(
    ledger: Ledger,
    *,
    at: np.datetime64,
    enough: int = ENOUGH,
    haircuts: tuple[tuple[float, float], tuple[float, float]] = (HAIRCUT_SHORT, HAIRCUT_LONG),
) -> Learned:
    """Learn from outcomes that have ended.

    Parameters
    ----------
    ledger
        Of one family, or of several that share weights and rho. Only outcomes that ended by `at`: see
        `Ledger.ended_by`.
    at
        The day of the decision.
    enough
        Outcomes from which weights and the probability are learned.
    haircuts
        (years, share) at the short and the long end: what the very first campaign claims of its contrast.

    Raises
    ------
    InputError
        If an outcome ended after the day of the decision. It is refused, not left out: who hands it in would also
        have shown it to something else.
    """
    late = np.flatnonzero(ledger.outcome_end > at)
    if len(late):
        row = int(late[0])
        raise InputError(
            f"the outcome of {ledger.knob[row]} in {ledger.campaign[row]} ended on {ledger.outcome_end[row]}, after "
            f"{at}, the day of the decision; hand in ledger.ended_by(day)"
        )
    held = ledger.scored
    past = History.of(held)
    kind = (held.family, held.knob, held.low, held.high)
    k = past.means(*kind, held.evidence_end)
    weights = _weights(held, k) if len(held) >= enough else WEIGHTS
    mean = weights[0] * held.contrast + weights[1] * k
    rho = _rho(held.surface, held.target, RHO)
    rho_main = _rho(np.where(np.isfinite(held.surface), np.nan, mean), held.target, 1.0)
    squares = _squares(held)
    odds = None
    if len(held) >= enough:
        speaks = np.isfinite(held.surface)
        claim = np.where(speaks, rho * held.surface, rho_main * mean)
        deviation = np.asarray([np.sqrt(squares[key][1] / squares[key][0]) for key in keys_of(held.family, held.knob)])
        with np.errstate(all="ignore"):
            score = np.where(deviation > 0, claim / deviation, 0.0)
        odds = fit_win_odds(score, log_odds(past.win_rates(*kind, held.evidence_end)), held.target)
    return Learned(
        at=at,
        n_outcomes=len(held),
        weights=weights,
        rho=rho,
        rho_main=rho_main,
        odds=odds,
        alarm=sound(held),
        past=past,
        squares=squares,
        campaigns=frozenset(held.campaign.tolist()),
        only_pseudo=bool(held.pseudo.all()),
        haircuts=haircuts,
    )


def _weights(held: Ledger, k: Floats) -> tuple[float, float]:
    """Return the two weights: least squares of the average effect, shrunk towards the defaults; mirror rows counted."""
    x = np.column_stack([held.contrast, k])
    left = held.average - x @ np.asarray(WEIGHTS)
    known = np.isfinite(x).all(axis=1)
    x, left = x[known], left[known]
    gram = np.asarray([[2 * fsum((x[:, i] * x[:, j]).tolist()) for j in range(2)] for i in range(2)])
    moment = np.asarray([2 * fsum((x[:, i] * left).tolist()) for i in range(2)])
    change = np.linalg.solve(gram + RIDGE * np.eye(2), moment)
    return float(WEIGHTS[0] + change[0]), float(WEIGHTS[1] + change[1])


def _rho(said: Floats, came: Floats, default: float) -> float:
    """Return the share of a prediction that came: a slope through the origin, shrunk as by 100 rows at the default.

    At most 1: a surface shrinks the less the more campaigns it holds, so that early rows would inflate late claims.
    """
    known = np.isfinite(said)
    x, y = said[known], came[known]
    n = int(known.sum())
    square = fsum((x * x).tolist())
    if n == 0 or square == 0:
        return default
    prior = RHO_ROWS * square / n
    slope = (fsum((x * y).tolist()) + prior * default) / (square + prior)
    return min(max(slope, 0.0), 1.0)


def _squares(held: Ledger) -> dict[tuple[str, ...], tuple[int, float]]:
    """Return per (family, knob) the number of outcomes and the sum of their squares."""
    values: dict[tuple[str, ...], list[float]] = {}
    for key, effect in zip(keys_of(held.family, held.knob), held.target.tolist(), strict=True):
        values.setdefault(key, []).append(effect * effect)
    return {key: (len(found), fsum(found)) for key, found in values.items()}

"""Ledgers with a known truth, for the tests of expected value."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from meta_pipeline.evidence.expected_value.learning import Cases
from meta_pipeline.evidence.expected_value.ledger import Ledger, Outcome

DAY = np.timedelta64(1, "D")
NAN = float("nan")
LEVELS = ("0", "1", "2")


def outcomes(
    seed: int,
    n_campaigns: int = 30,
    *,
    effects: Mapping[tuple[str, str], float] | None = None,
    noise: float = 0.3,
    error: float = 0.2,
    claimed: float = NAN,
    surface: float = NAN,
) -> list[Outcome]:
    """Campaigns half a year apart, each with the changes of four knobs from level 0, and outcomes two years later.

    `surface`: how far the surface's word is from the truth; NaN: it says nothing.
    """
    rng = np.random.default_rng(seed)
    truth = effects or {}
    rows = []
    for campaign in range(n_campaigns):
        end = np.datetime64("2000-06-30") + campaign * 183 * DAY
        for knob in ("a", "b", "c", "d"):
            for high in LEVELS[1:]:
                effect = truth.get((knob, high), 0.0)
                rows.append(
                    Outcome(
                        family="trend",
                        campaign=f"campaign{campaign:03d}",
                        knob=knob,
                        low="0",
                        high=high,
                        evidence_end=end,
                        outcome_end=end + 730 * DAY,
                        years=5.0,
                        contrast=effect + float(rng.normal(0, error)),
                        standard_error=error,
                        main=effect + float(rng.normal(0, noise)),
                        incumbent=effect + float(rng.normal(0, noise)),
                        surface=effect + float(rng.normal(0, surface)) if np.isfinite(surface) else NAN,
                        claimed=claimed,
                    )
                )
    return rows


def cases(*changes: tuple[str, str, float], campaign: str = "now", surface: float = NAN) -> Cases:
    """Changes to be judged: (knob, high, contrast), all from level 0 at five years of evidence."""
    n = len(changes)

    def texts(values: list[str]) -> np.ndarray:
        return np.asarray(values, dtype=np.object_)

    return Cases(
        family=texts(["trend"] * n),
        campaign=texts([campaign] * n),
        knob=texts([knob for knob, _, _ in changes]),
        low=texts(["0"] * n),
        high=texts([high for _, high, _ in changes]),
        years=np.full(n, 5.0),
        contrast=np.asarray([contrast for _, _, contrast in changes]),
        standard_error=np.full(n, 0.2),
        surface=np.full(n, surface),
        spread=np.full(n, 0.4),
    )


def relabelled(row: Outcome) -> Outcome:
    """The same outcome with other names for its levels, in another order."""
    names = {"0": '"x"', "1": "9", "2": "true"}
    return replace(row, low=names[row.low], high=names[row.high])


def ledger(*arguments: object, **options: object) -> Ledger:
    """`outcomes` as a ledger."""
    return Ledger.of(outcomes(*arguments, **options))  # type: ignore[arg-type]

"""Expected value: what a change is worth, learned from what earlier changes really did.

The way through it, each step a module:

1. `half_years` (one room up) reduces runs to sums per half-year; `pseudo_outcomes` splits a campaign's own window into
   past and future, which gives outcomes before any has come in.
2. `ledger.Ledger` holds outcomes as arrays: one row for each change that was looked at, with the contrast that the
   evidence showed and the effect that later days showed. `Ledger.ended_by(day)` is the walk-forward cut.
3. `history.History` answers, as of any day, how a change of this kind did so far: k and the win rate.
4. `surface.Surface` is the pooled response surface: what a change does at the incumbent's own configuration.
5. `learning.learn(ledger, at=day)` learns weights, rho, spreads, the probability and the alarm, and refuses a ledger
   that holds an outcome that ended after the day.
6. `Learned.expect(cases)` gives claim and probability of each change; `decision.choose` picks.

Example
-------
::

    ledger = Ledger.of(rows)                                   # rows: Outcome records, any order, any repetition
    surface = fit_surface(samples, at=day)                     # samples: Samples of every campaign of the family
    learned = learn(ledger.ended_by(day), at=day)
    expected = learned.expect(cases)                           # cases: Cases, one entry per change
    chosen = choose(expected.claim, switching_cost=0.05)       # index of the change to make, or ()

Levels are texts here (`canonical.level_key`), days are datetime64[D], effects are differences of annualised Sharpe
ratios, `high` minus `low`. A figure that is not known is NaN. Row order, repeated rows and the names of levels change
no answer.
"""

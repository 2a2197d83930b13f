"""The four-model strategy as an evaluator: forests vote, votes become orders, orders become returns.

Belongs here: the way of one configuration through the modules of this room. Does not belong here: which
configurations (search), or whether the best of them is any good (verdict).

The resource is units of trees. Every rung votes on the same out-of-sample bars, so values of all rungs are comparable
and every configuration, pruned or not, leaves a whole series of returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import canonical_json, digest
from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.forests import Engine, engine, piece_seed, votes_of_piece
from meta_pipeline.hyperband.objective import Objective, Viability, objective_named
from meta_pipeline.hyperband.orders import Foretold, Rules, orders
from meta_pipeline.hyperband.performance import buy_and_hold, performance, values
from meta_pipeline.hyperband.played import Played
from meta_pipeline.hyperband.protocol import Evaluation, ParameterValue, Space
from meta_pipeline.hyperband.simulator import Simulation, simulate
from meta_pipeline.hyperband.strategy_settings import StrategySettings
from meta_pipeline.hyperband.strategy_space import MODELS, SPACE, Model, forests_digest, n_estimators, tree_shape
from meta_pipeline.hyperband.training_data import FoldRows, SymbolWindow, TrainingData, Window, prepare
from meta_pipeline.hyperband.vote_sums import VoteSums, pieces, trees_of_piece

Floats = NDArray[np.float64]
Config = Mapping[str, ParameterValue]

VERSION: Final = 1
"""Of the strategy's rules: raised whenever the same settings and data would give other returns."""
FOLD_PENALTY: Final = 0.5
"""The value is the mean score of the folds less so many of their standard deviations."""


class ForestEvaluator:
    """Evaluates configurations of the four-model strategy. Stateless and picklable: what it keeps is derived.

    Parameters
    ----------
    settings
        What is fixed.
    bars
        One series per symbol.
    """

    space: Space = SPACE

    def __init__(self, settings: StrategySettings, bars: Sequence[Bars]) -> None:
        if not bars:
            raise InputError("there are no bars; name a file or a market with some")
        self.settings = settings
        self.bars = tuple(bars)
        self.engine: Engine = engine(settings.engine)
        self.objective: Objective = objective_named(settings.objective)
        self.fingerprint = digest(self.describe())

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is derived."""
        return {name: value for name, value in self.__dict__.items() if name != "data"}

    @cached_property
    def data(self) -> TrainingData:
        """What all configurations share."""
        return prepare(self.bars, self.settings)

    @property
    def periods_per_year(self) -> float:
        """Bars a year."""
        return self.data.periods_per_year

    @property
    def viability(self) -> Viability:
        """Thresholds of the objective."""
        return self.objective.viability

    def describe(self) -> dict[str, Any]:
        """Return what the answers depend on besides the arguments; its digest is the fingerprint."""
        fixed = {name: value for name, value in asdict(self.settings).items() if name not in {"data", "engine"}}
        fixed["rungs"] = list(self.settings.pieces_end)
        return {
            "strategy": "four forests",
            "version": VERSION,
            "settings": fixed,
            "bars": {series.symbol: series.digest for series in self.bars},
            "engine": self.engine.name,
            "versions": list(self.engine.versions),
            "space": self.space.digest,
        }

    def evaluate(self, config: Config, r_from: int, r_to: int, checkpoint: bytes | None) -> Evaluation:
        """Bring a configuration from `r_from` units to `r_to`; see `protocol.Evaluator`.

        Raises
        ------
        InputError
            If the configuration is not of the space, or the units are not rungs.
        ArtifactBroken
            If the checkpoint is not that of this configuration at `r_from`.
        """
        checked = self.space.check(config)
        if (checkpoint is None) != (r_from == 0):
            raise InputError(
                f"from {r_from} units with{'out' if checkpoint is None else ''} a checkpoint; give both or 0"
            )
        name = forests_digest(checked)
        before = None
        if checkpoint is not None:
            before = VoteSums.from_bytes(checkpoint, forests=name, fingerprint=self.fingerprint, units=r_from).sums
        sums = self._vote(self.data.research, "research", checked, r_from, r_to, before)
        played = self.play(self.data.research, checked, sums, r_to)
        scores = self._fold_scores(played)
        figures = values(played.figures) | {
            "score": self.objective.score(played.figures),
            "maximum_drawdown": -played.figures["max_drawdown"].value,  # its depth, for searches that minimise it
            **{
                f"{key}_standard_error": figure.standard_error
                for key, figure in played.figures.items()
                if np.isfinite(figure.standard_error) and figure.standard_error > 0.0
            },
        }
        return Evaluation(
            metrics=figures,
            value=float(np.mean(scores) - FOLD_PENALTY * np.std(scores)),
            constraints=self.objective.viability.constraints(played.figures),
            returns=played.returns,
            checkpoint=VoteSums(forests=name, fingerprint=self.fingerprint, units=r_to, sums=sums).to_bytes(),
        )

    def replay(self, config: Config, checkpoint: bytes, units: int, *, cost_factor: float = 1.0) -> Played:
        """Trade a configuration on its research window again, from its votes: no tree is grown.

        Parameters
        ----------
        config
            May differ in its parameters of trading from the one that made the checkpoint.
        checkpoint, units
            Of the forests.
        cost_factor
            Multiple of fees and slippage.
        """
        checked = self.space.check(config)
        sums = VoteSums.from_bytes(
            checkpoint, forests=forests_digest(checked), fingerprint=self.fingerprint, units=units
        ).sums
        return self.play(self.data.research, checked, sums, units, cost_factor=cost_factor)

    def returns_by_symbol(
        self, config: Config, checkpoint: bytes, units: int
    ) -> dict[str, tuple[NDArray[np.datetime64], Floats]]:
        """Return what each symbol's own account earned on the research window: times, and a net return per bar.

        Parameters
        ----------
        config, checkpoint, units
            As in `replay`.
        """
        checked, window = self.space.check(config), self.data.research
        sums = VoteSums.from_bytes(
            checkpoint, forests=forests_digest(checked), fingerprint=self.fingerprint, units=units
        ).sums
        done = self._simulated(window, checked, sums, units)
        return {
            symbol.bars.symbol: (window.times[symbol.places], simulation.returns)
            for symbol, simulation in zip(window.symbols, done, strict=True)
        }

    def carries_over(self, config: Config, other: Config) -> bool:
        """Return whether `replay` can trade `other` from a checkpoint of `config`: they have the same forests."""
        return forests_digest(self.space.check(config)) == forests_digest(self.space.check(other))

    def holdout(self, config: Config, *, cost_factor: float = 1.0) -> Played:
        """Grow the full forests on the bars before the holdout, and trade the holdout with them.

        Whoever calls this opens it: a second configuration on the same holdout is a second look (see `verdict`).
        """
        checked = self.space.check(config)
        full = self.settings.max_resource
        sums = self._vote(self.data.holdout, "holdout", checked, 0, full, None)
        return self.play(self.data.holdout, checked, sums, full, cost_factor=cost_factor)

    def _vote(
        self,
        window: Window,
        name: str,
        config: Config,
        r_from: int,
        r_to: int,
        before: Mapping[str, NDArray[np.float32]] | None,
    ) -> dict[str, NDArray[np.float32]]:
        """Add the votes of the pieces from `r_from` to `r_to`."""
        steps = pieces(self.settings.pieces_end, r_from, r_to)
        sums = {}
        for model in MODELS:
            total = np.full(window.n_rows, np.nan, dtype=np.float32) if before is None else before[model].copy()
            for number, fold in enumerate(window.folds):
                votes = np.zeros(len(fold.places), dtype=np.float32) if before is None else total[fold.places]
                for step in steps:
                    votes = votes + self._piece(config, model, (name, number), fold, step)
                total[fold.places] = votes
            sums[str(model)] = total
        return sums

    def _piece(
        self, config: Config, model: Model, place: tuple[str, int], fold: FoldRows, step: tuple[int, int]
    ) -> NDArray[np.float32]:
        trees = trees_of_piece(n_estimators(config, model), self.settings.max_resource, step)
        if not trees:
            return np.zeros(len(fold.places), dtype=np.float32)
        own = canonical_json({key: value for key, value in config.items() if key.startswith(f"{model}_m")})
        return votes_of_piece(
            self.engine,
            "regressor" if model == "position" else "classifier",
            tree_shape(config, model, self.settings.sample_share),
            trees,
            piece_seed(self.settings.seed, model, own, *place, step[1]),
            fold.train,
            fold.answers[model],
            fold.test,
        )

    def play(
        self,
        window: Window,
        config: Config,
        sums: Mapping[str, NDArray[np.float32]],
        units: int,
        *,
        cost_factor: float = 1.0,
    ) -> Played:
        """Turn votes after `units` units into orders, fills and figures."""
        return self._account(window, self._simulated(window, config, sums, units, cost_factor=cost_factor))

    def _simulated(
        self,
        window: Window,
        config: Config,
        sums: Mapping[str, NDArray[np.float32]],
        units: int,
        *,
        cost_factor: float = 1.0,
    ) -> list[Simulation]:
        """Trade each symbol by itself."""
        answers = {}
        for model in MODELS:
            trees = trees_of_piece(n_estimators(config, model), self.settings.max_resource, (0, units))
            answers[model] = sums[model].astype(np.float64) / trees
        at, simulated = 0, []
        for symbol in window.symbols:
            rows = slice(at, at + len(symbol.places))
            at = rows.stop
            simulated.append(
                self._trade(
                    symbol, config, {m: a[rows] for m, a in answers.items()}, window.usual_continues[rows], cost_factor
                )
            )
        return simulated

    def _trade(
        self, symbol: SymbolWindow, config: Config, answers: Mapping[Model, Floats], usual: Floats, cost_factor: float
    ) -> Simulation:
        settings = self.settings
        seen = Foretold(
            rises=answers["entry"],
            size_rank=answers["position"],
            falls=answers["exit"],
            continues=answers["profit"],
            usual_continues=usual,
            last_direction=symbol.last_direction,
            momentum=symbol.momentum,
            volatility=symbol.volatility,
        )
        rules = Rules(
            target_volatility=settings.target_volatility,
            leverage_cap=settings.leverage_cap,
            stop_loss=settings.stop_loss,
            take_profit=settings.take_profit,
            horizon=settings.horizon,
            allow_short=settings.allow_short,
            periods_per_year=self.data.periods_per_year,
        )
        return simulate(
            symbol.bars.execution_prices(),
            orders(seen, config, rules),
            fee=settings.fee * cost_factor,
            slippage=settings.slippage * cost_factor,
        )

    def _account(self, window: Window, simulated: Sequence[Simulation]) -> Played:
        n = len(window.times)
        total, market, listed = np.zeros(n), np.zeros(n), np.zeros(n)
        for symbol, done in zip(window.symbols, simulated, strict=True):
            total[symbol.places] += done.returns
            market[symbol.places] += buy_and_hold(symbol.bars.close)
            listed[symbol.listed[0] : symbol.listed[1] + 1] += 1.0
        shares = np.maximum(listed, 1.0)
        ends = [s.places[done.trips.exit_bar] for s, done in zip(window.symbols, simulated, strict=True)]
        places = np.concatenate(ends)
        order = np.argsort(places, kind="stable")
        # A round trip moves its symbol's share of the account.
        profits = np.concatenate([d.trips.profit for d in simulated])[order] / shares[places[order]]
        sizes = np.concatenate([d.trips.size for d in simulated])[order] / shares[places[order]]
        returns, benchmark = total / shares, market / shares
        return Played(
            times=window.times,
            returns=returns,
            benchmark=benchmark,
            profits=profits,
            sizes=sizes,
            exit_places=places[order],
            figures=performance(
                returns,
                profits,
                sizes,
                periods_per_year=self.data.periods_per_year,
                benchmark=benchmark,
                seed=self.settings.seed,
            ),
            ruined=tuple(s.bars.symbol for s, done in zip(window.symbols, simulated, strict=True) if done.ruined),
        )

    def _fold_scores(self, played: Played) -> list[float]:
        """Score each fold's part of what was played; a trip belongs to the fold in which it ended."""
        scores, start = [], 0
        for stop in self.data.research.fold_stops:
            trips = (played.exit_places >= start) & (played.exit_places < stop)
            found = performance(
                played.returns[start:stop],
                played.profits[trips],
                played.sizes[trips],
                periods_per_year=self.data.periods_per_year,
                benchmark=played.benchmark[start:stop],
                errors=False,
            )
            scores.append(self.objective.score(found))
            start = stop
        return scores


def build(settings: Mapping[str, Any]) -> ForestEvaluator:
    """Build the evaluator from JSON settings (see `StrategySettings`), reading the bars they name.

    Raises
    ------
    InputError
        If a setting, or a bar, is not valid, or an engine is not installed.
    """
    read = StrategySettings.from_json(settings)
    return ForestEvaluator(read, read.data.bars())

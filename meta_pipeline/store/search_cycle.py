"""What joins a search to the loop: its verdict kept, its winner proposed, its winner run beside the live configuration.

Belongs here: the rules by which a search may touch proposals and experiments at all. A search never changes a live
configuration: its winner is a proposal like any other, and the same gate decides on it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from meta_pipeline.backtests.replaying import replay_named
from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.counted import counted
from meta_pipeline.errors import Blocked, InputError, NotFound, StaleBase
from meta_pipeline.hyperband.forest_strategy import (
    FIXED,
    FOREST_LAB,
    PARAMETERS,
    as_declared,
    declaration,
    parameters_of,
    require_real,
    strategy_searched,
)
from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.identity import clean_name, kind_of
from meta_pipeline.proposals.report_writer import ReportWriter
from meta_pipeline.proposals.roles import Power
from meta_pipeline.settings import Settings
from meta_pipeline.store import experiments, people, proposals, search, search_live_run, search_verdict, strategies
from meta_pipeline.store.outcome_rules import outcome_rule
from meta_pipeline.store.transactions import in_transaction

if TYPE_CHECKING:
    from meta_pipeline.hyperband.ledger import Ledger
    from meta_pipeline.hyperband.results import SearchResult
    from meta_pipeline.hyperband.verdict import Thresholds
    from meta_pipeline.store.database import Database
    from meta_pipeline.store.experiments import Experiment
    from meta_pipeline.store.search_ledgers import SearchPlace
    from meta_pipeline.store.strategies import StrategyRecord

PROPOSAL_TYPE = "config_parameter_change"
REPLAY = "meta_pipeline.hyperband.forest_replay:replay"


def judge_finished(
    database: "Database",
    place: "SearchPlace",
    ledger: "Ledger",
    result: "SearchResult",
    *,
    actor: str,
    now: datetime,
    thresholds: "Thresholds | None" = None,
) -> dict[str, JsonValue] | None:
    """Put the best of a finished search before the gates, once, and keep the verdict.

    The live configuration's days are handed in as backtest runs, so that the loop knows the strategy's markets.

    Returns
    -------
    dict or None
        The verdict, an earlier one on the same ledger if there is one. None if the search is not finished, nothing
        can be judged, or the strategy is somebody's own, with gates of its own.
    """
    from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator

    name = result.settings.name
    with database.connect() as connection:
        stored = search.get(connection, name)
    if stored.verdict is not None and stored.verdict.get("digest") == result.digest:
        return dict(stored.verdict)
    evaluator = result.settings.evaluator.build()
    if not isinstance(evaluator, ForestEvaluator) or not result.is_finished:
        return None
    search_live_run.record_live_runs(database, place, evaluator, result, actor=actor, now=now)
    scope = search_verdict.scope_of(evaluator)
    search_verdict.declare_scope(ledger, scope.name)
    judged = search_verdict.judge_search(
        database, place, evaluator, result, scope=scope, actor=actor, now=now, thresholds=thresholds
    )
    if judged is None:
        return None
    verdict: dict[str, JsonValue] = {**judged, "digest": result.digest, "as_of": scope.as_of.isoformat()}
    with database.begin() as connection:
        search_verdict.keep_verdict(connection, name, verdict, now=now)
    return verdict


def declare_lab(connection: Connection, *, actor: str, now: datetime) -> "StrategyRecord":
    """Return the strategy on the lab's prices, declared if it is not there; what is live is left as it is."""
    try:
        return strategies.load(connection, FOREST_LAB)
    except NotFound:
        strategies.declare(connection, declaration(), actor=actor, now=now)
    return strategies.load(connection, FOREST_LAB)


def propose_winner(
    database: "Database",
    search_name: str,
    *,
    actor: str,
    now: datetime,
    settings: Settings,
    report: ReportWriter | None = None,
) -> str:
    """Make the winner of a search a proposal, with the verdict as its evidence. Somebody else has to approve it.

    The 22 parameters are one proposal: together they passed the gates, and no part of them ever did.

    Parameters
    ----------
    report
        As in `proposals.save`.

    Returns
    -------
    str
        The proposal's id; the same again if it is there already.

    Raises
    ------
    Blocked
        If the search has no winner, was not run beside a declared strategy's live configuration, or its prices are
        not known to be real.
    StaleBase
        If another configuration is live than the one that the winner was compared with.
    """
    who = clean_name(actor)

    def work(connection: Connection) -> str:
        found = search.get(connection, search_name)
        winner = _winner(connection, found)
        asked = found.settings["evaluator"]
        provenance = require_real(asked["target"], asked["settings"])
        strategy_id = _strategy_of(connection, found)
        strategies.lock(connection, strategy_id)
        if kind_of(who) == "human":
            people.require(connection, who, Power.AUTHOR)
        strategy = strategies.load(connection, strategy_id)
        draft = _draft(connection, strategy, found, winner, provenance, who, settings)
        identity, _ = proposals.save_alone(connection, draft, now=now, settings=settings, report=report)
        if kind_of(who) == "human":
            people.require_still(connection, who, Power.AUTHOR)
        return identity

    return in_transaction(database, work)


def shadow_winner(
    database: "Database", search_name: str, *, actor: str, now: datetime, settings: Settings
) -> "Experiment":
    """Trade the winner of a search on paper, beside the live configuration, from tomorrow on. Nothing goes live.

    Raises
    ------
    Blocked, StaleBase
        As `propose_winner`.
    Conflict
        If such an experiment is running.
    """
    with database.connect() as connection:
        found = search.get(connection, search_name)
        winner = _winner(connection, found)
        asked = found.settings["evaluator"]
        require_real(asked["target"], asked["settings"])
        strategy_id = _strategy_of(connection, found)
        _refuse_stale(strategies.load(connection, strategy_id), found)
    if replay_named(strategy_id, settings.replays) is None:
        raise Blocked(
            f"nothing plays {strategy_id} on paper: add {strategy_id}={REPLAY} to META_PIPELINE_REPLAYS, or declare it "
            "under an id that begins with FOREST_"
        )
    return experiments.start(
        database,
        strategy_id=strategy_id,
        knob=PARAMETERS,
        challenger=dict(winner),
        why=f"winner of the search {search_name}",
        actor=actor,
        now=now,
        settings=settings,
    )


def _winner(connection: Connection, found: search.StoredSearch) -> dict[str, ParameterValue]:
    if found.verdict is None or found.status != "finished" or found.verdict.get("digest") != found.digest:
        raise Blocked(
            f"the search {found.search_name} is not judged yet; finish it: meta-pipeline search resume "
            f"{found.search_name}"
        )
    if found.verdict.get("winner") is not True:
        raise Blocked(f"{found.verdict['summary']} Only a winner becomes a proposal, or trades on paper.")
    best = search.top(connection, found.search_name, limit=1)[0]
    winner = as_declared(best["config"])
    if digest(winner) != found.verdict["config"]:
        raise Blocked(f"the best configuration of {found.search_name} is not the one that was judged; judge it again")
    return winner


def _strategy_of(connection: Connection, found: search.StoredSearch) -> str:
    """Return the declared strategy whose search this is, by the search's name."""
    strategy_id = strategy_searched(found.search_name)
    declared = {record.strategy.strategy_id for record in strategies.list_strategies(connection)}
    if strategy_id in declared:
        return strategy_id
    raise Blocked(
        f"the search {found.search_name} is about no declared strategy; search with --strategy, so that the winner is "
        "compared with what is live"
    )


def _refuse_stale(strategy: "StrategyRecord", found: search.StoredSearch) -> dict[str, ParameterValue]:
    live = parameters_of(strategy.strategy.live_config)
    if found.settings.get("live_config") != live:
        raise StaleBase(
            f"{found.search_name} compared its winner with another configuration than version {strategy.live_version} "
            f"of {strategy.strategy.strategy_id}, which is live; search again"
        )
    fixed = {key: value for key, value in found.settings["evaluator"]["settings"].items() if key not in _OF_A_SEARCH}
    own: Any = strategy.strategy.live_config[FIXED]
    if _without_until(fixed) != _without_until(own):
        raise StaleBase(f"{found.search_name} had other data, costs or rules than the strategy has; search again")
    return live


_OF_A_SEARCH = frozenset({"max_resource", "eta"})


def _without_until(settings: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: value for key, value in (settings.get("data") or {}).items() if key != "until"}
    rest = {key: value for key, value in settings.items() if key != "data"}
    return {**rest, **({"data": data} if data else {})}


def _draft(
    connection: Connection,
    strategy: "StrategyRecord",
    found: search.StoredSearch,
    winner: Mapping[str, ParameterValue],
    provenance: Mapping[str, JsonValue],
    who: str,
    settings: Settings,
) -> ProposalDraft:
    live = _refuse_stale(strategy, found)
    assert found.verdict is not None, "a winner has a verdict"
    if dict(winner) == live:
        raise InputError(f"the winner of {found.search_name} is what is live; there is nothing to propose")
    strategy_id = strategy.strategy.strategy_id
    changed: dict[str, JsonValue] = {
        name: {"from": live[name], "to": value} for name, value in winner.items() if live[name] != value
    }
    evidence: dict[str, JsonValue] = {
        "kind": "search",
        "search": found.search_name,
        "digest": found.digest,
        "verdict": dict(found.verdict),
        "data": dict(provenance),
        "fingerprint": found.settings["fingerprint"],
        "changed": changed,
    }
    gates = found.verdict["gates"]
    return ProposalDraft(
        strategy_id=strategy_id,
        proposal_type=PROPOSAL_TYPE,
        target_component=PARAMETERS,
        current=dict(live),
        proposed=dict(winner),
        base_version=strategy.live_version,
        rationale=(
            f"Winner of the search {found.search_name}, the best of "
            f"{counted(found.verdict['trials'], 'configuration')} ever scored: it passes all {len(gates)} gates, the "
            f"holdout last. Changed: {len(changed)} of {counted(len(winner), 'parameter')}. No improvement is claimed "
            "as a figure: the best of many overstates its own."
        ),
        supporting_metrics=evidence,
        evidence_digest=digest(evidence),
        risk_change=strategy.knobs[PARAMETERS].risk_change(dict(live), dict(winner)),
        author=who,
        author_kind=kind_of(who),
        outcome_rule=outcome_rule(connection, strategy_id, settings).to_json(),
    )

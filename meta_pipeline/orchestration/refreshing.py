"""What the refreshes have in common: their tags, their scope, and whether one is under way.

Belongs here: how a run says which strategies it is about. Does not belong here: when to start one (batching).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster import DagsterRun, DagsterRunStatus

from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NIGHTLY: Final = "nightly"
FIRST_ASSET: Final = dg.AssetKey("backtest_aggregates")

REFRESH: Final = "meta_pipeline/refresh"
"""Tag of every refresh; `dagster.yaml` lets those with the same value take turns: shards are side by side."""

ALL: Final = "all"
"""Value of that tag but for a shard's."""

STRATEGIES: Final = "meta_pipeline/strategies"
"""Tag with a JSON list of strategy ids: the refresh is about these only. Without it, about all."""

SHARD: Final = "meta_pipeline/shard"
"""Tag "i/n": the refresh is about one of n parts of the strategies. The n together are about each strategy once."""

MOST_SHARDS: Final = 1024

UNFINISHED: Final = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)

STUCK_AFTER: Final = timedelta(minutes=30)
"""A refresh that is older and has not ended does not hold up the next: its process may be long dead."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `number` of `of` parts of the strategies, counted from one.

    A strategy is always in the same part, whatever other strategies there are: by its name's sha256, so that runs which
    start at different times miss none and share none.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= MOST_SHARDS:
            raise InputError(f"the shard is {self}; write i/n with 1 <= i <= n <= {MOST_SHARDS}, like 2/4")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def __contains__(self, strategy_id: object) -> bool:
        name = hashlib.sha256(str(strategy_id).encode()).digest()
        return int.from_bytes(name[:8], "big") % self.of == self.number - 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "i/n".

        Raises
        ------
        InputError
            If it is written otherwise, or there is no such part.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip())
        if found is None:
            raise InputError(f"the shard is {text!r}; write i/n with 1 <= i <= n <= {MOST_SHARDS}, like 2/4")
        return cls(number=int(found[1]), of=int(found[2]))


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The strategies that a refresh is about: those that are named, of those the ones in the shard."""

    names: tuple[str, ...] | None = None
    shard: Shard | None = None

    def __contains__(self, strategy_id: object) -> bool:
        named = self.names is None or strategy_id in self.names
        return named and (self.shard is None or strategy_id in self.shard)


def scope_tag(strategies: "Sequence[str]") -> dict[str, str]:
    """Return the tag that limits a run to some strategies."""
    return {STRATEGIES: json.dumps(sorted(strategies), ensure_ascii=False)}


def shard_tags(shard: Shard) -> dict[str, str]:
    """Return the tags that limit a run to one part of the strategies, and let it run beside the other parts."""
    return {REFRESH: f"shard {shard}", SHARD: str(shard)}


def scope_of(run: DagsterRun) -> Scope | None:
    """Return the strategies a run is about, None for all.

    Raises
    ------
    InputError
        If a tag was written by hand, and is no JSON list of texts, or no shard.
    """
    strategies, shard = run.tags.get(STRATEGIES), run.tags.get(SHARD)
    if strategies is None and shard is None:
        return None
    return Scope(
        names=None if strategies is None else _names(strategies), shard=None if shard is None else Shard.parse(shard)
    )


def _names(tag: str) -> tuple[str, ...]:
    try:
        names = json.loads(tag)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'the tag {STRATEGIES} is {tag!r}; write a JSON list of strategy ids, like ["A", "B"]')
    return tuple(sorted(set(names)))


def refresh_in_flight(instance: dg.DagsterInstance, *, now: datetime) -> str | None:
    """Return words for the refresh that is queued or running, None if there is none."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(UNFINISHED)), limit=100):
        run = record.dagster_run
        refreshes = run.job_name == NIGHTLY or FIRST_ASSET in (run.asset_selection or ())
        if refreshes and now - record.create_timestamp < STUCK_AFTER:
            return f"run {run.run_id[:8]}, which is {run.status.value.lower().replace('_', ' ')}"
    return None

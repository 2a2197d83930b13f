"""Where the evidence of each strategy stands: what the data versions of the assets are made of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dagster import DagsterRun

from meta_pipeline.canonical import digest

if TYPE_CHECKING:
    from sqlalchemy import Connection

DEFAULT_LOCATION: Final = "meta_pipeline.definitions"
"""What Dagster calls the code location of workspace.yaml: after its module."""


@dataclass(frozen=True, kw_only=True)
class EvidenceState:
    """The newest evidence of every strategy that has any.

    Parameters
    ----------
    evidence
        Strategy -> digest of the evidence that was aggregated last.
    live_versions
        Strategy -> version of its live configuration; strategies that were never declared are not in it.
    """

    evidence: dict[str, str]
    live_versions: dict[str, int]

    @property
    def strategies(self) -> list[str]:
        """Strategies with evidence, by id."""
        return sorted(self.evidence)

    @property
    def declared(self) -> frozenset[str]:
        """Strategies with evidence and a live configuration."""
        return frozenset(self.evidence) & frozenset(self.live_versions)

    @property
    def evidence_digest(self) -> str:
        """Names the evidence alone, whatever is live."""
        return digest(self.evidence)

    @property
    def digest(self) -> str:
        """Names exactly this state: the evidence, and the live versions it is judged against."""
        return digest({name: [self.evidence[name], self.live_versions.get(name)] for name in self.strategies})


def evidence_state(connection: "Connection") -> EvidenceState:
    """Read where the evidence stands."""
    from meta_pipeline.store.queries import query

    rows = connection.execute(query("newest_evidence")).all()
    return EvidenceState(
        evidence={row.strategy_id: row.evidence_digest for row in rows},
        live_versions={row.strategy_id: row.live_version for row in rows if row.live_version is not None},
    )


def location_of(run: DagsterRun) -> str:
    """Return the name of the code location a run came from; a run in this process has none, and gets the default."""
    origin = run.remote_job_origin
    return DEFAULT_LOCATION if origin is None else origin.location_name

"""Who writes the report of a proposal that is about to be saved: handed in, as what is stored knows no pages."""

from collections.abc import Sequence
from typing import Protocol

from meta_pipeline.proposals.diff import TouchedKey
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.situation import Check


class ReportWriter(Protocol):
    """Keeps what an approver will read, before the proposal that names it is written."""

    def __call__(self, record: ProposalRecord, *, checks: Sequence[Check], touched: Sequence[TouchedKey]) -> str:
        """Write the report of a proposal.

        Parameters
        ----------
        record
            As it will be stored, but for the report's sha256 and the digest that covers it.
        checks, touched
            As found now: each check with its result, and the keys that would change.

        Returns
        -------
        str
            sha256 of the report, 64 hexadecimal digits. The same input gives the same.
        """
        ...

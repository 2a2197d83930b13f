"""Who may do what about a proposal now: each act open to a person, with every check that it would be put through.

Records only. The checks are those of the acts themselves, read by the service that decides (store.standing), so that
what is shown beforehand is what will be asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.proposals.checks import Check, first_failure

Act: TypeAlias = Literal["approve", "reject", "apply"]


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What would come of one act of one person, were it tried now.

    Parameters
    ----------
    later
        Whether the act only follows once the proposal is approved; then its checks are those that approving
        leaves open.
    checks
        Every check of the act, with what it finds now.
    """

    act: Act
    checks: tuple[Check, ...]
    later: bool = False

    @property
    def possible(self) -> bool:
        """Whether every check passes now."""
        return first_failure(self.checks) is None

    def sentence(self, who: str) -> str:
        """Say in one sentence whether that person could do it now, and if not, why."""
        when = " once it is approved" if self.later else " now"
        failed = [check for check in self.checks if not check.passed]
        if not failed:
            return f"{who} could {self.act} it{when}: all {counted(len(self.checks), 'check passes', 'checks pass')}."
        others = len(failed) - 1
        more = "" if not others else f" ({counted(others, 'more check fails', 'more checks fail')})"
        return f"{who} could not {self.act} it{when}: {failed[0].text}{more}."

    def to_json(self) -> dict[str, JsonValue]:
        """Return the prospect as a JSON object."""
        return {
            "act": self.act,
            "possible": self.possible,
            "once_approved": self.later,
            "checks": [check.to_json() for check in self.checks],
        }


@dataclass(frozen=True, kw_only=True)
class Decider:
    """Somebody on the list of approvers. `objection`: why this proposal is not for them; None: it is."""

    name: str
    objection: str | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Who may decide on a proposal, and what would be checked of one viewer's acts.

    Parameters
    ----------
    viewer
        Whose acts were looked at; None: nobody's.
    deciders
        Everybody on the list of approvers; empty once the proposal is decided and done with.
    prospects
        The viewer's acts that the proposal's status leaves open.
    """

    proposal_id: str
    status: str
    viewer: str | None
    deciders: tuple[Decider, ...] = ()
    prospects: tuple[Prospect, ...] = ()

    def barred(self, objections: Mapping[Act, Check]) -> "Standing":
        """Return the standing with one more check for some acts: what the way in does not let this viewer do."""
        return replace(
            self,
            prospects=tuple(
                replace(one, checks=(objections[one.act], *one.checks)) if one.act in objections else one
                for one in self.prospects
            ),
        )

    def sentences(self) -> tuple[str, ...]:
        """Say who may decide, and what this viewer could do."""
        if not self.prospects:
            return ()
        return tuple(prospect.sentence(self.viewer or "Nobody") for prospect in self.prospects)

    def who_may(self) -> str:
        """Say who of the list may decide; nobody, where nobody may."""
        return ", ".join(one.name for one in self.deciders if one.objection is None) or "nobody on the list"

    def who_may_not(self) -> str:
        """Say who of the list may not decide, each with why; empty if everybody may."""
        return "; ".join(f"{one.name} ({one.objection})" for one in self.deciders if one.objection is not None)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the standing as a JSON object."""
        return {
            "viewer": self.viewer,
            "may_decide": [one.name for one in self.deciders if one.objection is None],
            "may_not_decide": [
                {"name": one.name, "objection": one.objection} for one in self.deciders if one.objection is not None
            ],
            "acts": [prospect.to_json() for prospect in self.prospects],
        }

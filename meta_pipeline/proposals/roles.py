"""Who may do what: four roles, and what each of them is for.

An approver is on the list of approvers, always. Each other role is open until it is first given to somebody: one
person on a fresh machine needs no ceremony. From then on only those who hold it may, also when nobody holds it any
more. An auditor reads, and does nothing else, whatever is open.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person, or a machine, is there for."""

    RESEARCHER = "researcher"
    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"


class Power(StrEnum):
    """Something that changes what is recorded. Reading takes no power."""

    AUTHOR = "propose"
    WITHDRAW = "withdraw a proposal"
    DECIDE = "decide"
    APPLY = "apply"
    REVERT = "revert"
    FREEZE = "freeze"
    LIFT = "lift a freeze"
    MANAGE = "manage people, keys, limits and declarations"
    SEAL = "seal the audit log"


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """`closes`: the role that, once given to anybody, closes the power to all who hold none of `roles`."""

    roles: frozenset[Role]
    closes: Role | None


def _rule(*roles: Role, closes: Role | None) -> _Rule:
    return _Rule(roles=frozenset(roles), closes=closes)


_RULES: Final[Mapping[Power, _Rule]] = {
    Power.AUTHOR: _rule(Role.RESEARCHER, closes=Role.RESEARCHER),
    # Whether it is theirs to take back is asked of the proposal; an auditor has none.
    Power.WITHDRAW: _rule(closes=None),
    # Whether the person is on the list is a check of the proposal, so that it stands on the checklist.
    Power.DECIDE: _rule(Role.APPROVER, closes=None),
    Power.APPLY: _rule(Role.OPERATOR, Role.APPROVER, closes=Role.OPERATOR),
    Power.REVERT: _rule(Role.OPERATOR, Role.APPROVER, closes=Role.OPERATOR),
    Power.FREEZE: _rule(Role.OPERATOR, Role.APPROVER, closes=Role.OPERATOR),
    Power.LIFT: _rule(Role.OPERATOR, closes=Role.OPERATOR),
    Power.MANAGE: _rule(Role.OPERATOR, closes=Role.OPERATOR),
    Power.SEAL: _rule(Role.OPERATOR, closes=Role.OPERATOR),
}


def objection(who: str, power: Power, *, held: Set[Role], ever_given: Set[Role]) -> str | None:
    """Say why somebody may not do something, or None if they may.

    Parameters
    ----------
    who
        The name, for the sentence.
    held
        The roles that they hold now.
    ever_given
        The roles that anybody ever held.
    """
    rule = _RULES[power]
    if Role.AUDITOR in held:
        return f"{who!r} is an auditor, and an auditor reads only; somebody else has to {power}"
    if held & rule.roles or rule.closes is None or rule.closes not in ever_given:
        return None
    needed = " or ".join(sorted(rule.roles))
    return (
        f"{who!r} may not {power}: it takes the role {needed}; an operator gives it with: "
        f"meta-pipeline people grant NAME {rule.closes}"
    )


def objection_to_grant(role: Role, *, held: Set[Role]) -> str | None:
    """Say why somebody may not get a role beside those they hold, or None if they may."""
    others = sorted(held - {role})
    if not others or (role is not Role.AUDITOR and Role.AUDITOR not in held):
        return None
    return (
        f"an auditor holds no other role, and this person would be {', '.join([*others, role])}; "
        f"revoke {', '.join(others)} first"
    )

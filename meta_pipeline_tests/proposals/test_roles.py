"""Roles: open until first given, closed from then on, and an auditor only ever reads."""

import pytest

from meta_pipeline.proposals.roles import Power, Role, objection, objection_to_grant

EVERY = frozenset(Role)


def may(power: Power, *held: Role, ever_given: frozenset[Role] = EVERY) -> bool:
    return objection("zoe", power, held=frozenset(held), ever_given=ever_given) is None


@pytest.mark.parametrize(
    ("role", "powers"),
    [
        (Role.RESEARCHER, {Power.AUTHOR, Power.WITHDRAW, Power.DECIDE}),
        (Role.APPROVER, {Power.WITHDRAW, Power.DECIDE, Power.APPLY, Power.REVERT, Power.FREEZE}),
        (Role.OPERATOR, set(Power) - {Power.AUTHOR}),
        (Role.AUDITOR, set()),
    ],
)
def test_each_role_is_for_what_it_is_for_where_all_are_given(role: Role, powers: set[Power]) -> None:
    # Deciding is guarded by the list of approvers, as a check of its own on the checklist.
    assert {power for power in Power if may(power, role)} == powers


def test_a_role_that_nobody_ever_had_closes_nothing_but_an_auditor_still_only_reads() -> None:
    for power in Power:
        assert may(power, ever_given=frozenset())
        assert may(power, ever_given=frozenset({Role.APPROVER}))
        assert not may(power, Role.AUDITOR, ever_given=frozenset())
        assert not may(power, Role.AUDITOR, Role.OPERATOR, Role.RESEARCHER, Role.APPROVER)


def test_a_refusal_names_the_role_and_the_way_to_it() -> None:
    said = objection("zoe", Power.APPLY, held=frozenset({Role.RESEARCHER}), ever_given=EVERY)
    assert said is not None
    assert "'zoe' may not apply: it takes the role approver or operator" in said
    assert "people grant NAME operator" in said


def test_an_auditor_holds_no_other_role() -> None:
    assert objection_to_grant(Role.AUDITOR, held=frozenset({Role.OPERATOR})) is not None
    assert objection_to_grant(Role.OPERATOR, held=frozenset({Role.AUDITOR})) is not None
    assert objection_to_grant(Role.OPERATOR, held=frozenset({Role.APPROVER})) is None
    assert objection_to_grant(Role.AUDITOR, held=frozenset()) is None

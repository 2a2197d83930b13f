"""What to type after an error: the command that shows or mends what the message is about."""

from typing import Final

from meta_pipeline.errors import MetaPipelineError

NEXT: Final = {
    "not_permitted": "meta-pipeline people list",
    "four_eyes": "meta-pipeline approvers list",
    "not_an_approver": "meta-pipeline approvers list",
    "not_signed": "meta-pipeline approvers keygen --help",
    "conflict": "meta-pipeline proposals list",
    "illegal_transition": "meta-pipeline proposals list",
    "stale_base": "meta-pipeline nightly",
    "digest_mismatch": "meta-pipeline proposals list",
    "lapsed": "meta-pipeline nightly",
    "blocked": "meta-pipeline doctor",
    "frozen": "meta-pipeline freeze list",
    "over_budget": "meta-pipeline changes list",
    "unhealthy": "meta-pipeline doctor",
    "database_unavailable": "meta-pipeline db status",
    "schema_mismatch": "meta-pipeline db migrate",
    "audit_broken": "meta-pipeline audit verify",
    "audit_forked": "meta-pipeline audit verify",
    "artifact_broken": "meta-pipeline model --help",
    "content_tampered": "meta-pipeline audit verify",
    "insufficient_data": "meta-pipeline runs list",
}
"""Code of an error -> command. Codes that are missing have no usual way out but what the message says."""


def next_command(error: MetaPipelineError) -> str | None:
    """Return the command to type next; None where the message names one itself, or there is none."""
    return None if "meta-pipeline " in str(error) else NEXT.get(error.code)

"""The exceptions of meta_pipeline, as a tree.

::

    MetaPipelineError               exit code of the command line
    ├── InputError                  1   a value that cannot be used; the message names it and the way out
    │   └── NotFound
    ├── NothingToDo                 3
    ├── NotPermitted                4   who may not do what, and who may
    │   ├── FourEyes
    │   ├── NotAnApprover
    │   └── NotSigned
    ├── Conflict                    5   stale, changed since, or in the wrong state
    │   ├── IllegalTransition
    │   ├── StaleBase
    │   ├── DigestMismatch
    │   └── Lapsed
    ├── Blocked                     6   a rule of the gate stops it
    │   ├── Frozen
    │   └── OverBudget
    ├── Unhealthy                   7   database unreachable, schema wrong, audit chain broken
    │   ├── DatabaseUnavailable
    │   ├── SchemaMismatch
    │   ├── AuditBroken
    │   │   └── AuditForked
    │   ├── ArtifactBroken
    │   └── ContentTampered
    └── InsufficientData            8

Every error has a stable `code` (for JSON and the API) and an `exit_code` (for the shell).
"""


class MetaPipelineError(Exception):
    """Base of all errors raised on purpose."""

    code = "error"
    exit_code = 1


class InputError(MetaPipelineError, ValueError):
    """A value that cannot be used."""

    code = "invalid_input"


class NotFound(InputError):  # noqa: N818
    """Nothing has the given id."""

    code = "not_found"


class NothingToDo(MetaPipelineError):  # noqa: N818 -- a result that callers branch on, not a failure
    """There is nothing to act on."""

    code = "nothing_to_do"
    exit_code = 3


class NotPermitted(MetaPipelineError):  # noqa: N818
    """The actor may not do this."""

    code = "not_permitted"
    exit_code = 4


class FourEyes(NotPermitted):
    """The one who decides had a hand in what is decided."""

    code = "four_eyes"


class NotAnApprover(NotPermitted):
    """The one who decides is not on the list of approvers."""

    code = "not_an_approver"


class NotSigned(NotPermitted):
    """A decision has no signature where one is required, or one that does not verify."""

    code = "not_signed"


class Conflict(MetaPipelineError):  # noqa: N818
    """The world is not as the caller believed."""

    code = "conflict"
    exit_code = 5


class IllegalTransition(Conflict):
    """The present status does not allow the transition."""

    code = "illegal_transition"


class StaleBase(Conflict):
    """The live configuration moved since the proposal was made."""

    code = "stale_base"


class DigestMismatch(Conflict):
    """The decision names another content than the one stored."""

    code = "digest_mismatch"


class Lapsed(Conflict):
    """A proposal or an approval ran out of time."""

    code = "lapsed"


class Blocked(MetaPipelineError):  # noqa: N818
    """A rule of the gate stops the change."""

    code = "blocked"
    exit_code = 6


class Frozen(Blocked):
    """Applies are frozen: by a window, by a person, or by the kill file."""

    code = "frozen"


class OverBudget(Blocked):
    """The strategy has had as many changes as it may in so short a time."""

    code = "over_budget"


class Unhealthy(MetaPipelineError):  # noqa: N818
    """The system cannot be trusted in its present state."""

    code = "unhealthy"
    exit_code = 7


class DatabaseUnavailable(Unhealthy):
    """The database cannot be reached."""

    code = "database_unavailable"


class SchemaMismatch(Unhealthy):
    """The database's schema is older, newer, or half migrated."""

    code = "schema_mismatch"


class AuditBroken(Unhealthy):
    """The audit chain does not verify."""

    code = "audit_broken"


class AuditForked(AuditBroken):
    """The chain holds together, and is not the one that was anchored outside the database."""

    code = "audit_forked"


class ArtifactBroken(Unhealthy):
    """A stored model or report is not what its address says, or cannot be used as what it is."""

    code = "artifact_broken"


class ContentTampered(Unhealthy):
    """A stored row is not what was hashed."""

    code = "content_tampered"


class InsufficientData(MetaPipelineError):  # noqa: N818
    """There is too little data for an answer."""

    code = "insufficient_data"
    exit_code = 8

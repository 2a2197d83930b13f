"""The last look of an apply, before its transaction is committed: whether anything has stopped it meanwhile.

An apply reads the freezes when it is checked, and a freeze may be recorded between then and the COMMIT. Whoever froze
has to be able to rely on it: when a freeze returns, no apply that it stops is committed any more. Both append to the
audit log, and the lock of the log is held until a transaction ends. So an apply looks again once it holds that lock:
a freeze that was committed before is seen now, and one that comes later waits until the apply is committed or undone.
No apply that hangs before that point can hold a freeze up. The kill file knows no locks; it is looked for here too.
Who applies is asked for again in the same way, and at the same point: `people.require_still`.
"""

from sqlalchemy import Connection

from meta_pipeline.proposals.situation import Situation
from meta_pipeline.store import freezing
from meta_pipeline.store.rules import Rules
from meta_pipeline.store.transactions import RunAgainError


def look_again(connection: Connection, seen: Situation, rules: Rules) -> None:
    """See that no freeze has come since an apply was checked. Its audit entry is written: it holds the log's lock.

    Raises
    ------
    RunAgainError
        If one has. Run again, the apply is refused by its check of freezes, or noted as exempt.
    """
    killed = rules.killed_now()
    there = freezing.in_force(connection, seen.record.draft.strategy_id, seen.now)
    if {*there, *([] if killed is None else [killed])} - set(seen.freezes):
        raise RunAgainError("applies were frozen while this one was under way")

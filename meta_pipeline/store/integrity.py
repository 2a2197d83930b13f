"""Is the database what it should be? Every check looks, and says what it found.

Belongs here: checks of the stored rows against each other and of the schema against its
migrations. Does not belong here: the audit chain, which `audit verify` walks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, Table, and_, exists, func, not_, select, text
from sqlalchemy.exc import ProgrammingError

from meta_pipeline.canonical import digest
from meta_pipeline.store import migrations, schema
from meta_pipeline.store.database import Database
from meta_pipeline.store.migrations import SchemaState, SchemaStatus
from meta_pipeline.store.queries import query

FAULT_QUERIES: Final = {
    "return series belong to their runs": "broken_series",
    "aggregations reconcile with absorbed runs": "broken_aggregations",
    "live configurations cite applied changes": "broken_live_configs",
    "proposals rest on evidence": "proposals_without_evidence",
    "proposals hold finite figures": "proposals_not_finite",
    "aggregates hold finite figures": "aggregates_not_finite",
}
"""What is checked -> the query that lists the faults."""

_SHOWN: Final = 3
# A restored dump has the same conditions with these casts in other places.
_TEXT_CAST: Final = re.compile(r"::(?:character varying|text)(?:\[\])?")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. `faults` counts the offending rows or objects; `detail` names the first of them."""

    check: str
    faults: int
    detail: str

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.faults == 0


def check_database(database: Database) -> list[Finding]:
    """Run every check, all in one read-only snapshot but for the schema's, and return what each found.

    The checks of rows are left out when tables or columns are missing: the first finding then says so.
    """
    findings = [_schema_finding(database)]
    with database.engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    ) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        if not _can_be_read(migrations.status(connection)):
            return findings
        findings.append(_finding("rows cite rows that are there", list(_orphans(connection))))
        findings.append(_finding("configurations are what was hashed", list(_other_digests(connection))))
        for name, statement in FAULT_QUERIES.items():
            findings.append(_finding(name, [" ".join(map(str, row)) for row in connection.execute(query(statement))]))
    return findings


def _can_be_read(found: SchemaStatus) -> bool:
    """Say whether tables and columns are all there; a missing index or constraint does not keep us from reading."""
    if found.state is SchemaState.INCOMPLETE:
        return not any(part.startswith(("table ", "column ", "the revision ")) for part in found.missing)
    return found.state is SchemaState.CURRENT


def schema_differences(connection: Connection) -> list[str]:
    """Compare the database's objects with those that the migrations make on the same server, in words.

    The migrations run in a scratch schema of the caller's transaction, which the caller rolls back.
    """
    found = _catalog(connection)
    connection.execute(text("CREATE SCHEMA meta_pipeline_scratch"))
    connection.execute(text("SET LOCAL search_path TO meta_pipeline_scratch"))
    migrations.upgrade(connection)
    wanted = _catalog(connection)
    ours = {name for kind, _, name in wanted if kind in {"table", "view"}}
    return [
        *(_in_words(*key, "is missing") for key in sorted(wanted.keys() - found.keys())),
        *(_in_words(*key, "is different") for key in sorted(wanted) if key in found and found[key] != wanted[key]),
        *(
            _in_words(*key, "is not ours")
            for key in sorted(found.keys() - wanted.keys())
            if key[1] in ours and key[0] in {"check", "trigger", "unique", "foreign key"}
        ),
    ]


def _catalog(connection: Connection) -> dict[tuple[str, str, str], str]:
    rows = connection.execute(query("schema_catalog"), {"definitions": True})
    return {(row.kind, row.relation, row.name): _TEXT_CAST.sub("", row.definition) for row in rows}


def _schema_finding(database: Database) -> Finding:
    name = f"schema is revision {migrations.revisions()[-1]}, in every part"
    with database.connect() as connection:
        status = migrations.status(connection)
    if status.state not in {SchemaState.CURRENT, SchemaState.INCOMPLETE}:
        return _finding(name, [str(migrations.mismatch(status))])
    with database.engine.connect() as connection, connection.begin() as transaction:
        try:
            return _finding(name, schema_differences(connection))
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != "42501":
                raise
            # No right to make a scratch schema: names and counts were compared, definitions were not.
            return _finding(name, list(status.missing), ok="by name; no right to compare definitions")
        finally:
            transaction.rollback()


def _orphans(connection: Connection) -> Iterator[str]:
    """Say which foreign keys point nowhere; rows get there only when somebody turned the triggers off."""
    for table in schema.metadata.tables.values():
        for key in table.foreign_key_constraints:
            target = key.referred_table.alias("target")
            pairs = [(element.parent, target.c[element.column.name]) for element in key.elements]
            cited = and_(*(column.is_not(None) for column, _ in pairs))
            lost = and_(cited, not_(exists().where(and_(*(column == other for column, other in pairs)))))
            n = connection.execute(select(func.count()).select_from(table).where(lost)).scalar_one()
            if n:
                columns = ", ".join(column.name for column, _ in pairs)
                yield f"{n} rows of {table.name} cite {key.referred_table.name} by ({columns}), where nothing is"


def _other_digests(connection: Connection) -> Iterator[str]:
    versions = schema.config_versions
    for row in connection.execute(select(versions).order_by(versions.c.strategy_id, versions.c.version)):
        if digest(row.config_json) != row.config_digest:
            yield f"version {row.version} of {row.strategy_id} has another digest than is recorded"
    proposals: Table = schema.meta_config_proposals
    for row in connection.execute(select(proposals.c.proposal_id, proposals.c.body, proposals.c.body_digest)):
        if sha256(row.body.encode("utf-8")).hexdigest() != row.body_digest:
            yield f"proposal {row.proposal_id} has another digest than is recorded"


def _finding(check: str, faults: list[str], *, ok: str = "ok") -> Finding:
    shown = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
    return Finding(check=check, faults=len(faults), detail=shown or ok)


def _in_words(kind: str, relation: str, name: str, what: str) -> str:
    of = f" of {relation}" if relation and relation != name else ""
    return f"{kind} {name}{of} {what}"

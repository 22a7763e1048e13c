"""The roles of a database: who owns the tables, who serves from them, who watches the server.

`pulsebase_owner` owns everything and is who migrations are for. `pulsebase_api` changes and reads rows; of what takes
an owner it may call the functions of migration 4. `pulsebase_exporter` sees what the server says of itself, and no
table. Stores say what they have besides (`StoreRights`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import errors, sql

from pulsebase.model.errors import StopError
from pulsebase.stores.postgres.database import Connection, first_line
from pulsebase.stores.postgres.summaries import SUMMARIES

OWNER, API, EXPORTER = "pulsebase_owner", "pulsebase_api", "pulsebase_exporter"

#: What is ours and belongs to somebody else: what it is, and its name.
_OTHERS = """
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END,
       format('%%I.%%I', n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE (n.nspname = 'pulsebase' AND c.relkind IN ('r', 'S')
       OR n.nspname || '.' || c.relname = ANY(%(ours)s))
  AND c.relowner <> %(owner)s::regrole
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
UNION ALL SELECT 'FUNCTION', p.oid::regprocedure::text FROM pg_proc AS p
WHERE p.pronamespace = 'pulsebase'::regnamespace AND p.proowner <> %(owner)s::regrole
UNION ALL SELECT 'SCHEMA', nspname::text FROM pg_namespace
WHERE nspname = 'pulsebase' AND nspowner <> %(owner)s::regrole
"""
_FOR_THE_OWNER = "GRANT USAGE, CREATE ON SCHEMA public TO pulsebase_owner"
_FOR_THE_API = (
    "GRANT USAGE ON SCHEMA public, pulsebase TO pulsebase_api",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pulsebase TO pulsebase_api",
    "REVOKE INSERT, UPDATE, DELETE ON pulsebase.migrations FROM pulsebase_api",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pulsebase TO pulsebase_api",
)
_WRITE_ANEW = "pulsebase.write_anew(regclass)"
#: Less than pg_monitor, which may also read through whole tables.
_FOR_THE_EXPORTER = ("pg_read_all_settings", "pg_read_all_stats")
#: Of the database itself; mostly everybody has them.
_ON_THE_DATABASE = {OWNER: ("CONNECT", "TEMPORARY"), API: ("CONNECT", "TEMPORARY"), EXPORTER: ("CONNECT",)}


@dataclass(frozen=True, slots=True)
class StoreRights:
    """What a store has in the database besides what every server store has. Names are with their schemas.

    Attributes:
        tables: those in the schema `public`, which whoever serves reads and changes. In the schema `pulsebase` it may
            do so with every table.
        views: those in the schema `public`, which whoever serves reads.
        functions: those of the owner that whoever serves may call, with the types of their arguments.
        vacuumed: tables that whoever serves vacuums, where there is such a right: before PostgreSQL 17 it takes the
            table's owner and is left to the server.
        hand_over: makes whoever serves the owner of what only an owner can use.
    """

    tables: Sequence[str] = ()
    views: Sequence[str] = ()
    functions: Sequence[str] = ()
    vacuumed: Sequence[str] = ()
    hand_over: Callable[[Connection], None] | None = None


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """The passwords of the roles that log in; a role without one is not made, or keeps what it has."""

    api: str | None = field(default=None, repr=False)
    exporter: str | None = field(default=None, repr=False)

    def by_role(self) -> Mapping[str, str]:
        """Those that are given."""
        given = {API: self.api, EXPORTER: self.exporter}
        return {role: password for role, password in given.items() if password}


def apply_roles(connection: Connection, passwords: RolePasswords, rights: StoreRights) -> list[str]:
    """Make the roles that have passwords, and give every role what it needs and what is new since; the roles there are
    now. A database that has no roles of ours is left alone unless there are passwords.

    Passwords go to the server as SCRAM verifiers, so that no log of its statements has one.

    Raises:
        StopError: whoever is connected may not do that, or a role may do far more; nothing was changed.
    """
    given = passwords.by_role()
    if not given and not _owns(connection):
        return []
    try:
        with connection.transaction():
            for role in (OWNER, *given):
                _make(connection, role)
            for role, password in given.items():
                _set_password(connection, role, password)
            found = [role for role in (API, EXPORTER) if _exists(connection, role)]
            _grant(connection, found, rights)
    except errors.InsufficientPrivilege as error:
        raise StopError(
            f"the database user may not make the roles, which takes a superuser: {first_line(error)}"
        ) from error
    return [OWNER, *found]


def excess_rights(connection: Connection) -> str | None:
    """What whoever is connected may do beyond what serving takes; None where that is nothing."""
    row = connection.execute(
        "SELECT rolsuper, rolcreaterole OR rolcreatedb, EXISTS ("
        "SELECT FROM pg_class WHERE oid = to_regclass('pulsebase.users') AND pg_has_role(relowner, 'USAGE')) "
        "FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    is_superuser, makes_roles, is_owner = row or (False, False, False)
    if is_superuser:
        return "it is a superuser"
    if makes_roles:
        return "it may make roles or databases"
    return "it owns the tables" if is_owner else None


def _owns(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT pg_get_userbyid(nspowner) = %s FROM pg_namespace WHERE nspname = 'pulsebase'", [OWNER]
    ).fetchone()
    return bool(row and row[0])


def _exists(connection: Connection, role: str) -> bool:
    return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None


def _make(connection: Connection, role: str) -> None:
    """Make a role that may log in and nothing else. The owner has no password, so nobody does as it until it gets one;
    it may log in because the server's jobs run as the owners of their tables.
    """
    if not _exists(connection, role):
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    mighty = connection.execute(
        "SELECT FROM pg_roles WHERE rolname = %s AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)", [role]
    ).fetchone()
    if mighty is not None:
        raise StopError(
            f"the role {role} exists and may do far more than it needs; take that from it, or drop it, first"
        )


def _set_password(connection: Connection, role: str, password: str) -> None:
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def _grant(connection: Connection, roles: list[str], rights: StoreRights) -> None:
    for role in (OWNER, *roles):
        _let_in(connection, role)
    connection.execute(_FOR_THE_OWNER)
    tables = [*rights.tables, SUMMARIES]
    ours = {"owner": OWNER, "ours": [*tables, *rights.views]}
    for kind, name in connection.execute(_OTHERS, ours).fetchall():
        connection.execute(f"ALTER {kind} {name} OWNER TO {OWNER}")
    if API in roles:
        for statement in _FOR_THE_API:
            connection.execute(statement)
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(tables)} TO {API}")
        if rights.views:
            connection.execute(f"GRANT SELECT ON {', '.join(rights.views)} TO {API}")
        connection.execute(f"GRANT EXECUTE ON FUNCTION {', '.join([_WRITE_ANEW, *rights.functions])} TO {API}")
        if rights.vacuumed and connection.info.server_version >= 170_000:
            connection.execute(f"GRANT MAINTAIN ON {', '.join(rights.vacuumed)} TO {API}")
        _join(connection, OWNER, [API])
        if rights.hand_over is not None:
            rights.hand_over(connection)
    if EXPORTER in roles:
        _join(connection, EXPORTER, _FOR_THE_EXPORTER)
        _let_see_log_sizes(connection)


def _let_see_log_sizes(connection: Connection) -> None:
    """Names and sizes of the server's log files are the one thing of pg_monitor that exporters ask for besides."""
    ((may, is_superuser),) = connection.execute(
        "SELECT has_function_privilege(%s, 'pg_ls_waldir()', 'EXECUTE'), rolsuper FROM pg_roles "
        "WHERE rolname = current_user",
        [EXPORTER],
    ).fetchall()
    if is_superuser and not may:
        connection.execute(f"GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO {EXPORTER}")


def _join(connection: Connection, role: str, others: Sequence[str]) -> None:
    """Give a role the rights of others, unless it has them: the owner, who may do all else here, could not."""
    for other in others:
        if connection.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", [role, other]).fetchone() != (True,):
            connection.execute(f"GRANT {other} TO {role}")


def _let_in(connection: Connection, role: str) -> None:
    for right in _ON_THE_DATABASE[role]:
        ((has_it, database),) = connection.execute(
            "SELECT has_database_privilege(%s, current_database(), %s), current_database()", [role, right]
        ).fetchall()
        if not has_it:
            grant = f"GRANT {right} ON DATABASE {{}} TO {role}"
            connection.execute(sql.SQL(grant).format(sql.Identifier(database)))

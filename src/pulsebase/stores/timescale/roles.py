"""What the roles of a database (`stores.postgres.roles`) get of the tables of readings.

Whoever serves owns the aggregates for people's own SQL, which nobody else may refresh.
"""

from __future__ import annotations

from pulsebase.stores.postgres import roles
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.roles import API, RolePasswords, StoreRights
from pulsebase.stores.timescale.aggregates import AGGREGATES
from pulsebase.stores.timescale.raw_tables import HEART_RATES

#: Of every metric, for people's own SQL.
VIEWS = ("public.vital_signs", "public.vital_signs_1h", "public.vital_signs_1d")


def apply_roles(connection: Connection, passwords: RolePasswords) -> list[str]:
    """Do what `roles.apply_roles` does, for this store."""
    return roles.apply_roles(connection, passwords, _RIGHTS)


def _hand_over_aggregates(connection: Connection) -> None:
    # The server wants a new owner to be one who may make such a view there.
    connection.execute(f"GRANT CREATE ON SCHEMA public TO {API}")
    for name in AGGREGATES:
        row = connection.execute(
            "SELECT pg_get_userbyid(relowner) <> %s FROM pg_class WHERE oid = to_regclass(%s)", [API, f"public.{name}"]
        ).fetchone()
        if row is not None and row[0]:
            connection.execute(f"ALTER MATERIALIZED VIEW public.{name} OWNER TO {API}")
    connection.execute(f"REVOKE CREATE ON SCHEMA public FROM {API}")


_RIGHTS = StoreRights(
    tables=(HEART_RATES.full_name,),
    views=VIEWS,
    functions=("pulsebase.drop_expired_chunks()",),
    vacuumed=("pulsebase.stage",),
    hand_over=_hand_over_aggregates,
)

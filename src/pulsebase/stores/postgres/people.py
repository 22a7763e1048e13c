"""People and their devices. Functions take part in the transaction of their caller."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from pulsebase.model.users import User, folded
from pulsebase.stores.postgres.annotations import ANNOTATIONS
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.origins import forget_person
from pulsebase.stores.postgres.series_keys import keys_of
from pulsebase.stores.postgres.summaries import SUMMARIES

_USER = "user_id, name, gender, birth_date, time_zone"
#: What is kept of a person here, by the plain id.
_TABLES_BY_PERSON = (
    *("pulsebase.users", "pulsebase.devices", "pulsebase.priorities", "pulsebase.series"),
    *(SUMMARIES, ANNOTATIONS),
)


def make_known(connection: Connection, user_ids: Iterable[str], devices: Iterable[tuple[str, str]] = ()) -> None:
    """Create the missing rows of people, and of devices given as (person, device).

    The ids are sent as one text separated by spaces, which no id contains: sending lists of texts costs a client more
    than the rest of a write. Known people are not inserted again, since each attempt uses up a sequence number.
    """
    connection.execute(
        "INSERT INTO pulsebase.users (user_id) SELECT user_id FROM string_to_table(%s, ' ') AS new (user_id) "
        "WHERE NOT EXISTS (SELECT FROM pulsebase.users AS old WHERE old.user_id = new.user_id) ON CONFLICT DO NOTHING",
        [" ".join(sorted(set(user_ids)))],
    )
    pairs = sorted(set(devices))
    if pairs:
        connection.execute(
            "INSERT INTO pulsebase.devices "
            "SELECT * FROM unnest(string_to_array(%s, ' '), string_to_array(%s, ' ')) AS new (user_id, device_id) "
            "WHERE NOT EXISTS (SELECT FROM pulsebase.devices AS old "
            "WHERE old.user_id = new.user_id AND old.device_id = new.device_id) ON CONFLICT DO NOTHING",
            [" ".join(user_id for user_id, _ in pairs), " ".join(device_id for _, device_id in pairs)],
        )


def put_users(connection: Connection, users: Sequence[User]) -> None:
    """Insert or replace people. Of several with the same id the last one is stored."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"""
            INSERT INTO pulsebase.users ({_USER}, name_folded) VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (user_id) DO UPDATE
            SET (name, gender, birth_date, time_zone, name_folded)
              = (excluded.name, excluded.gender, excluded.birth_date, excluded.time_zone, excluded.name_folded)
            """,
            [
                [
                    user.user_id,
                    user.name,
                    user.gender,
                    user.birth_date,
                    user.time_zone,
                    None if user.name is None else folded(user.name),
                ]
                for user in users
            ],
        )


def fold_names(connection: Connection) -> None:
    """Fill `name_folded` of everybody with a name."""
    rows = connection.execute("SELECT user_no, name FROM pulsebase.users WHERE name IS NOT NULL").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE pulsebase.users SET name_folded = %s WHERE user_no = %s",
            [(folded(name), user_no) for user_no, name in rows],
        )


def knows(connection: Connection, user_id: str) -> bool:
    """Whether somebody has this id."""
    found = connection.execute("SELECT FROM pulsebase.users WHERE user_id = %s", [user_id], binary=True)
    return found.fetchone() is not None


def unknown_users(connection: Connection, user_ids: Collection[str]) -> set[str]:
    """Return those of the ids that nobody has."""
    rows = connection.execute(
        "SELECT user_id FROM pulsebase.users WHERE user_id = ANY(%s)", [list(user_ids)], binary=True
    ).fetchall()
    return set(user_ids) - {user_id for (user_id,) in rows}


def known_numbers(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return those of the numbers whose people have not been removed."""
    rows = connection.execute(
        "SELECT user_no FROM pulsebase.users WHERE user_no = ANY(%s)", [list(numbers)], binary=True
    ).fetchall()
    return {int(number) for (number,) in rows}


def get_user(connection: Connection, user_id: str) -> User | None:
    """The person, if known."""
    row = connection.execute(
        f"SELECT {_USER} FROM pulsebase.users WHERE user_id = %s", [user_id], binary=True
    ).fetchone()
    return User(*row) if row else None


def find_users(connection: Connection, text: str, limit: int, after: str | None) -> list[User]:
    """People by id (bytes) whose id or name holds the text. The engine takes no text with a zero byte: nobody's id or
    name has one, and every id that comes after such a text comes after what is before its zero.
    """
    if "\0" in text:
        return []
    rows = connection.execute(
        f"""
        SELECT {_USER} FROM pulsebase.users
        WHERE user_id COLLATE "C" > %(after)s AND (
            strpos(lower(user_id COLLATE "C"), %(text)s) > 0 OR strpos(name_folded, %(text)s) > 0
        )
        ORDER BY user_id COLLATE "C" LIMIT %(limit)s
        """,
        {"after": (after or "").partition("\0")[0], "text": folded(text), "limit": limit},
        binary=True,
    ).fetchall()
    return [User(*row) for row in rows]


def remove_person(
    connection: Connection, user_id: str, remove_readings: Callable[[Connection, Sequence[str]], int]
) -> int:
    """Remove a person and everything that is stored of them; return how many readings there were.

    `remove_readings` removes the readings and whatever else the store keeps of these series, by key, and returns how
    many readings there were. It is called before anything else goes, and not at all if nobody has the id.
    """
    person = get_user(connection, user_id)
    if person is None:
        return 0
    gone = remove_readings(connection, keys_of(connection, [user_id]))
    for table in _TABLES_BY_PERSON:
        connection.execute(f"DELETE FROM {table} WHERE user_id = %s", [user_id])
    forget_person(connection, person)
    return gone

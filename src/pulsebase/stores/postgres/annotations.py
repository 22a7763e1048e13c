"""What people note about times. Functions take part in the transaction of their caller."""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.model.annotations import Annotation
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At

#: The table, with its schema.
ANNOTATIONS = "pulsebase.annotations"


def put_annotations(connection: Connection, annotations: Sequence[Annotation]) -> None:
    """Insert or replace annotations."""
    for each in annotations:
        connection.execute(
            f"INSERT INTO {ANNOTATIONS} (user_id, annotation_id, start_at, end_at, text) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (user_id, annotation_id) DO UPDATE "
            "SET (start_at, end_at, text) = (excluded.start_at, excluded.end_at, excluded.text)",
            [
                each.user_id,
                each.annotation_id,
                At(each.start_us),
                None if each.end_us is None else At(each.end_us),
                each.text,
            ],
        )


def remove_annotation(connection: Connection, user_id: str, annotation_id: str) -> bool:
    """Delete an annotation; False if there is none."""
    deleted = f"DELETE FROM {ANNOTATIONS} WHERE user_id = %s AND annotation_id = %s"
    return connection.execute(deleted, [user_id, annotation_id]).rowcount == 1


def get_annotations(connection: Connection, user_id: str, interval: TimeRange | None) -> list[Annotation]:
    """A person's annotations that touch the interval, or all of them, by start, then id (bytes)."""
    inside, times = "", []
    if interval is not None:
        inside = "AND start_at < %s AND coalesce(end_at > %s, start_at >= %s)"
        times = [At(interval.end_us), At(interval.start_us), At(interval.start_us)]
    rows = connection.execute(
        f"SELECT annotation_id, start_at, end_at, text FROM {ANNOTATIONS} WHERE user_id = %s {inside} "
        'ORDER BY start_at, annotation_id COLLATE "C"',
        [user_id, *times],
        binary=True,
    ).fetchall()
    return [Annotation(user_id, *row) for row in rows]

"""The end of data: readings expire, people are removed, and files are rewritten so that nothing of them is left."""

from __future__ import annotations

from pulsebase.model.errors import after
from pulsebase.model.timerange import HOUR_US
from pulsebase.model.users import User
from pulsebase.stores.contract import Expiry, ScrubReport
from pulsebase.stores.duckdb.engine.transactions import read_state
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.merge.origin_registry import OriginRegistry
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people import expiry, removal
from pulsebase.stores.duckdb.people.registry import PeopleRegistry
from pulsebase.stores.duckdb.read.snapshots import Snapshots


class DataLifecycle:
    """Expires readings, removes people, and scrubs the files."""

    def __init__(
        self,
        parts: StoreParts,
        snapshots: Snapshots,
        maintenance: Maintenance,
        registry: PeopleRegistry,
        origins: OriginRegistry,
    ) -> None:
        self._parts, self._snapshots, self._maintenance = parts, snapshots, maintenance
        self._registry, self._origins = registry, origins

    def expire(self, before_us: int, *, dry_run: bool) -> Expiry:
        """See `contract.Store.expire`. Once the horizon moves, nothing older is accepted any more."""
        horizon = self._parts.horizon
        if before_us <= horizon.expired_us:
            return Expiry(horizon.start_us, 0)
        with self._parts.write_lock:
            self._maintenance.merge()
            if not dry_run:
                with self._parts.cached.commit_lock:  # no commit meanwhile; what came during that merge is little
                    self._maintenance.merge()
                    horizon.start_us = max(before_us, horizon.start_us)
            with self._parts.database.reading() as connection:
                first_hour, end_hour = read_state(connection).horizon_hour, before_us // HOUR_US
                readings = expiry.count_before(connection, first_hour, end_hour)
            if not dry_run:
                with after("some of the readings may have expired; the rest goes when it is asked for again"):
                    self._maintenance.expire(end_hour)
                horizon.expired_us = before_us
            return Expiry(before_us, readings)

    def remove_user(self, user_id: str) -> int:
        """See `contract.Registry.remove_user`."""
        stage, maintenance = self._parts.stage, self._maintenance
        with self._parts.write_lock:
            user_no = self._parts.cached.users.find(user_id)
            if user_no is None:
                return 0
            maintenance.merge_up_to(stage.next_seq)
            with self._parts.cached.commit_lock:  # no commit meanwhile; what came during that merge is little
                maintenance.merge_up_to(stage.next_seq)
                readings = self._remove_merged(user_id)
            maintenance.checkpoint_after()  # lets go of the journal too
            self._parts.notes.forget(user_no)
            return readings

    def scrub(self) -> ScrubReport:
        """See `contract.Store.scrub`. Copies made before a migration hold what was stored then: they are removed."""
        before_bytes = self._parts.size_bytes()
        self._maintenance.scrub()
        path = self._parts.database.path
        for copy in path.parent.glob(f"{path.name}.before-schema-*"):
            copy.unlink()
        return ScrubReport(before_bytes, self._parts.size_bytes())

    def _remove_merged(self, user_id: str) -> int:
        """Remove a person while everything is merged and nothing can be committed."""
        cached, stage = self._parts.cached, self._parts.stage
        user_no = cached.users.find(user_id)
        if user_no is None:
            return 0
        with self._snapshots.overviews() as snapshot:
            series = cached.metrics.series_of(user_no)
            readings = sum(extent.readings for extent in snapshot.extents(series).values())
            readings -= snapshot.expired(series)
        person = self._registry.user(user_id) or User(user_id)
        # Journal files before this one have the person's readings and go with the checkpoint; the one in use would not.
        self._parts.journal.rotate(stage.next_seq)
        with self._parts.database.writing() as connection:
            hours = removal.rows_by_hour(connection, series)
            late_rows = removal.remove_rows(connection, user_no, series)
            devices = removal.forget_devices(connection)
            removal.rename_origins(connection, person)
        cached.users.forget(user_no)
        for device_no in devices:
            cached.devices.forget(device_no)
        self._origins.forget_names()
        self._parts.wanted_quarters.difference_update(series)
        cached.late_rows = late_rows
        self._parts.hour_sizes.take(hours)
        return readings

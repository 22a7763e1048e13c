"""From settings to what brings readings from wearable clouds."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import platformdirs

from pulsebase.etl.connections import Cloud, Connections
from pulsebase.etl.load import Loader
from pulsebase.etl.mqtt_subscriber import BrokerOptions
from pulsebase.etl.pipeline import Pipeline
from pulsebase.etl.registry import chosen_data_sets, extractors, loaders, transformers
from pulsebase.etl.schedule import CronSchedule
from pulsebase.etl.state import Connection, SqliteSyncState, SyncState
from pulsebase.etl.sync import Synchronizer, SyncOptions
from pulsebase.files.locks import FolderLocks, file_name
from pulsebase.files.private import make_private, tell_of_private
from pulsebase.files.sealed import Seal, SealedFolder, key_in, read_key
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.errors import SettingsError, StopError
from pulsebase.model.timerange import SECOND_US, zone_or_utc
from pulsebase.settings import Settings
from pulsebase.settings_loading import mqtt_password
from pulsebase.sources.fitbit import FitbitCloud
from pulsebase.sources.google_health import GoogleHealthCloud
from pulsebase.sources.oura import OuraCloud
from pulsebase.sources.polar import PolarCloud
from pulsebase.sources.synthetic import SyntheticPerson
from pulsebase.sources.tokens import Tokens
from pulsebase.sources.withings import WithingsCloud
from pulsebase.stores.contract import Reader, Store
from pulsebase.stores.open import StoreAddress, parse_store_url

#: The sources that people connect to.
CLOUDS = ("fitbit", "google", "oura", "polar", "withings")
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


def broker_options(settings: Settings, url: str) -> BrokerOptions:
    """Where the MQTT broker is that the settings name.

    Raises:
        SettingsError: the address is none, or a file with the password or certificates cannot be read.
    """
    wrong = SettingsError(
        "PULSEBASE_MQTT_URL: must be mqtt://host:port or mqtts://host:port; a password with / ? # @ or : belongs into "
        "PULSEBASE_MQTT_PASSWORD"
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may quote a part of the password
        raise wrong from None
    if parts.scheme not in _MQTT_PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise wrong
    tls = _broker_tls(settings) if parts.scheme == "mqtts" else None
    if tls is None and (settings.mqtt_cert_file or settings.mqtt_key_file or settings.mqtt_ca_file):
        raise SettingsError("PULSEBASE_MQTT_URL: certificates take an address that begins with mqtts://")
    stated = None if parts.password is None else unquote(parts.password)
    return BrokerOptions(
        parts.hostname,
        port or _MQTT_PORTS[parts.scheme],
        tls,
        None if parts.username is None else unquote(parts.username),
        stated or mqtt_password(settings),
        settings.mqtt_client_id,
        settings.mqtt_status_topic,
    )


def _broker_tls(settings: Settings) -> ssl.SSLContext:
    """Return who may vouch for the broker, and who we are.

    Raises:
        SettingsError: a file cannot be read; names the setting.
    """
    trusted, certificate, key = settings.mqtt_ca_file, settings.mqtt_cert_file, settings.mqtt_key_file
    try:
        tls = ssl.create_default_context(cafile=trusted)
    except FileNotFoundError:
        raise SettingsError("PULSEBASE_MQTT_CA_FILE: there is no such file") from None
    except OSError as error:  # which errors of certificates are too
        raise SettingsError(f"PULSEBASE_MQTT_CA_FILE: cannot be read: {error.strerror or error}") from None
    if key is not None and certificate is None:
        raise SettingsError("PULSEBASE_MQTT_KEY_FILE: takes PULSEBASE_MQTT_CERT_FILE")
    if certificate is not None:
        try:
            # With an empty password a key that is encrypted is refused, rather than asked for at a terminal.
            tls.load_cert_chain(certificate, key, password="")
        except FileNotFoundError:
            name = "KEY" if certificate.is_file() else "CERT"
            raise SettingsError(f"PULSEBASE_MQTT_{name}_FILE: there is no such file") from None
        except OSError:
            reason = "are no certificate and its key in PEM, or the key is encrypted"
            raise SettingsError(f"PULSEBASE_MQTT_CERT_FILE and PULSEBASE_MQTT_KEY_FILE: {reason}") from None
    return tls


@dataclass(frozen=True, slots=True)
class Syncing:
    """What brings readings, and who is connected."""

    sync: Synchronizer
    connections: Connections


def state_folder(settings: Settings, closing: contextlib.ExitStack) -> Path:
    """The folder for what is kept beside the store; a temporary one beside a store that has none.

    Raises:
        StopError: it cannot be used.
    """
    folder = settings.state_folder or _beside(parse_store_url(settings.store_url))
    if folder is None:
        return Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="pulsebase-")))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tell_of_private(make_private(folder))
    except OSError as error:
        raise StopError(f"{folder}: {error.strerror}") from error
    return folder


def build_sources(
    settings: Settings,
    folder: Path,
    closing: contextlib.ExitStack,
    *,
    store: Store,
    ingestor: Ingestor,
    rules: ReadingRules,
    synthetic: Sequence[SyntheticPerson],
    now_us: Callable[[], int],
    told: Callable[[Connection], object],
) -> Syncing:
    """Put the parts together over the folder where they keep what they know.

    Raises:
        StopError: a setting is wrong.
    """
    CronSchedule(settings.ingest_schedule)  # a wrong one is said at the start, not at two in the night
    state = SqliteSyncState(folder / "state.sqlite")
    closing.callback(state.close)
    key = read_key(settings.token_key.get_secret_value()) if settings.token_key else key_in(folder / "key")
    locks = FolderLocks(folder / "locks", key)
    data_sets = _data_sets(settings)
    clouds, missing = _clouds(settings, data_sets, now_us)
    sealed, pending = SealedFolder(folder / "tokens", key), SealedFolder(folder / "pending", key)
    tokens = Tokens(sealed, locks, {name: cloud.oauth for name, cloud in clouds.items()}, now_us)
    connections = Connections(
        clouds,
        missing=missing,
        tokens=tokens,
        pending=pending,
        seal=Seal(key),
        state=state,
        locks=locks,
        people=(store, store),
        now_us=now_us,
        erased_users=rules.erased_users,
    )
    closing.callback(connections.close)
    asked: dict[str, Any] = {name: partial(connections.client_of, name) for name in clouds}
    if synthetic and _offered("synthetic", data_sets):
        asked["synthetic"] = synthetic
    load = loaders(ingestor, store, store, rules, upsert=settings.upsert_mode)
    pipelines = {
        source: _pipeline(settings, source, _offered(source, data_sets), whom, store, load, state)
        for source, whom in asked.items()
    }
    options = SyncOptions(settings.start_date, settings.end_date, settings.lookback_s * SECOND_US, settings.user_id)
    zone_of = partial(_zone_of, store)
    sync = Synchronizer(pipelines, state=state, locks=locks, zone_of=zone_of, now_us=now_us, options=options, told=told)
    return Syncing(sync, connections)


def _pipeline(  # noqa: PLR0917 the parts of one
    settings: Settings,
    source: str,
    data_sets: Sequence[str],
    whom: Any,
    reader: Reader,
    load: Mapping[str, Loader[Any]],
    state: SyncState,
) -> Pipeline:
    """Return what brings these data sets from a source. `whom` is what its extractors ask: clients or people."""
    zone_of = partial(_zone_set, reader)
    return Pipeline(
        source,
        {each: extractors[each][source](whom, zone_of) for each in data_sets},  # type: ignore[call-arg]
        {each: transformers[each][source] for each in data_sets},
        load,
        state,
        batch_rows=settings.batch_size,
        delta=settings.delta_mode,
    )


def _beside(address: StoreAddress) -> Path | None:
    """Where it is kept if no folder is named: beside an embedded store's file. A server store has
    no place of its own on this machine, so it is a folder of the user's, named after the database; None in memory.
    """
    if address.path is not None:
        return address.path.with_name(address.path.name + ".sources")
    if address.conninfo is None:
        return None
    database = urlsplit(address.conninfo)
    where = file_name(database.hostname or "", str(database.port or ""), database.path, database.query)[:8]
    return Path(platformdirs.user_data_dir("pulsebase")) / f"{database.path[1:] or 'database'}-{where}.sources"


def _data_sets(settings: Settings) -> Sequence[str]:
    """The data sets that are brought, from whichever sources have them."""
    try:
        return chosen_data_sets(settings.data_sets)
    except ValueError as error:
        raise SettingsError(f"PULSEBASE_DATA_SETS: {error}") from None


def _offered(source: str, data_sets: Sequence[str]) -> Sequence[str]:
    return [data_set for data_set in data_sets if source in extractors[data_set]]


def _scopes(source: str, data_sets: Sequence[str]) -> Sequence[str]:
    """What a person has to allow, so that the source gives these data sets."""
    kinds = (extractors[data_set][source] for data_set in _offered(source, data_sets))
    return tuple(dict.fromkeys(scope for kind in kinds for scope in kind.scopes))


def _clouds(
    settings: Settings, data_sets: Sequence[str], now_us: Callable[[], int]
) -> tuple[Mapping[str, Cloud], Mapping[str, str]]:
    """The configured sources, and why others are not."""

    def secret(name: str) -> str | None:
        value = getattr(settings, f"{name}_client_secret")
        return None if value is None else str(value.get_secret_value())

    none = "PULSEBASE_DATA_SETS names none of its data sets"
    missing = {source: none for source in CLOUDS if not _offered(source, data_sets)}
    if settings.google_client_id is None:
        missing["google"] = "set PULSEBASE_GOOGLE_CLIENT_ID"
    if settings.oura_client_id is None:
        missing["oura"] = "set PULSEBASE_OURA_CLIENT_ID"
    if settings.polar_client_id is None:
        missing["polar"] = "set PULSEBASE_POLAR_CLIENT_ID"
    if settings.withings_client_id is None or settings.withings_client_secret is None:
        missing["withings"] = "set PULSEBASE_WITHINGS_CLIENT_ID and PULSEBASE_WITHINGS_CLIENT_SECRET"
    clouds: dict[str, Cloud] = {}
    if "fitbit" not in missing:
        clouds["fitbit"] = FitbitCloud(
            settings.fitbit_url,
            settings.fitbit_client_id,
            secret("fitbit"),
            now_us,
            _scopes("fitbit", data_sets),
        )
    if "google" not in missing and settings.google_client_id is not None:
        clouds["google"] = GoogleHealthCloud(
            settings.google_url,
            auth_url=settings.google_auth_url,
            token_url=settings.google_token_url,
            client_id=settings.google_client_id,
            client_secret=secret("google"),
            now_us=now_us,
            scopes=_scopes("google", data_sets),
        )
    if "oura" not in missing and settings.oura_client_id is not None:
        clouds["oura"] = OuraCloud(
            settings.oura_url,
            auth_url=settings.oura_auth_url,
            client_id=settings.oura_client_id,
            client_secret=secret("oura"),
            now_us=now_us,
            scopes=_scopes("oura", data_sets),
        )
    if "polar" not in missing and settings.polar_client_id is not None:
        clouds["polar"] = PolarCloud(
            settings.polar_url,
            auth_url=settings.polar_auth_url,
            token_url=settings.polar_token_url,
            client_id=settings.polar_client_id,
            client_secret=secret("polar"),
            now_us=now_us,
            scopes=_scopes("polar", data_sets),
        )
    withings_secret = secret("withings")
    if "withings" not in missing and settings.withings_client_id is not None and withings_secret is not None:
        clouds["withings"] = WithingsCloud(
            settings.withings_url,
            auth_url=settings.withings_auth_url,
            client_id=settings.withings_client_id,
            client_secret=withings_secret,
            now_us=now_us,
            scopes=_scopes("withings", data_sets),
        )
    return clouds, missing


def _zone_of(reader: Reader, user_id: str) -> ZoneInfo:
    return _zone_set(reader, user_id) or ZoneInfo("UTC")


def _zone_set(reader: Reader, user_id: str) -> ZoneInfo | None:
    """The person's zone, None if none was set."""
    user = reader.user(user_id)
    return None if user is None or user.time_zone is None else zone_or_utc(user.time_zone)

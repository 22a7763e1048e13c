"""The settings in force: what the environment, `.env` and the command line say, checked."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableValueError

from pulsebase.model.errors import SettingsError
from pulsebase.model.identifiers import text_problem
from pulsebase.model.metrics import bounds_in
from pulsebase.settings import Settings

#: Names of other programs for what is a setting here, by the setting they stand for. Ours win over them.
COMMON_NAMES = {
    "pool_size": "POOL_SIZE",
    "max_overflow": "MAX_OVERFLOW",
    "pool_timeout_s": "POOL_TIMEOUT",
    "pool_recycle_s": "POOL_RECYCLE",
}


class _CommonNames(BaseSettings):
    """Variables without our prefix that deployments of a database commonly set."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: str = ""
    db_host: str = ""
    db_port: str = "5432"
    db_name: str = ""
    db_user: str = ""
    db_password: str = ""
    db_password_file: str = ""
    pool_size: str = ""
    max_overflow: str = ""
    pool_timeout: str = ""
    pool_recycle: str = ""

    def found(self) -> dict[str, str]:
        """The settings that these variables stand for, as text. A URL of another kind of database is not meant."""
        named = {name: getattr(self, common.lower()) for name, common in COMMON_NAMES.items()}
        if self.database_url.startswith("postgres"):
            named["store_url"] = self.database_url
        elif self.db_host:
            password = self.db_password or _secret_in(self.db_password_file, "DB_PASSWORD_FILE")
            login = quote(self.db_user, safe="") + (f":{quote(password, safe='')}" if password else "")
            at = f"{login}@" if login else ""
            named["store_url"] = f"postgresql://{at}{self.db_host}:{self.db_port}/{quote(self.db_name, safe='')}"
        return {name: text for name, text in named.items() if text}


def settings_of_common_names() -> set[str]:
    """The settings for which variables of other programs stand, as far as those are set."""
    return set(_CommonNames().found())


def load_settings(**overrides: object) -> Settings:
    """The settings in force; `overrides` (from the command line) win over everything.

    Raises:
        SettingsError: one line a wrong setting, with its name and the reason.
    """
    _check_env_file(Path(".env"))
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = _validated(given)
    common = {name: text for name, text in _CommonNames().found().items() if name not in settings.model_fields_set}
    if common:
        settings = _validated(common | given)
    _check_store_url(settings.store_url, "PULSEBASE_STORE_URL")
    _check_store_url(settings.demo_store_url, "PULSEBASE_DEMO_STORE_URL")
    if settings.clickhouse_url is not None:
        _check_clickhouse_url(settings.clickhouse_url, settings.store_url)
    if settings.clickhouse_sql_url is not None:
        _check_clickhouse_sql_url(settings.clickhouse_sql_url, settings.clickhouse_url)
    _check_proxies(settings.trusted_proxies)
    if settings.min_heart_rate >= settings.max_heart_rate:
        raise SettingsError("PULSEBASE_MIN_HEART_RATE: must be below PULSEBASE_MAX_HEART_RATE")
    try:
        bounds_in(settings.metric_bounds or "")
    except ValueError as error:
        raise SettingsError(f"PULSEBASE_METRIC_BOUNDS: {error}") from None
    if settings.start_date and settings.end_date and settings.end_date < settings.start_date:
        raise SettingsError("PULSEBASE_END_DATE: must not be before PULSEBASE_START_DATE")
    if settings.user_id is not None and (problem := text_problem(settings.user_id)):
        raise SettingsError(f"PULSEBASE_USER_ID: {problem}")
    if settings.data_seed is not None and settings.user_id is None:
        raise SettingsError("PULSEBASE_DATA_SEED: needs PULSEBASE_USER_ID, whose seed it is")
    return settings


def role_passwords(settings: Settings) -> tuple[str, str]:
    """The passwords of the roles for serving and for the exporter; an empty one is not given.

    Raises:
        SettingsError: a file with one cannot be read.
    """
    found = []
    for name in ("api_password", "exporter_password"):
        secret: SecretStr | None = getattr(settings, name)
        path = getattr(settings, f"{name}_file")
        given = secret.get_secret_value() if secret else ""
        found.append(given or _secret_in(path, f"PULSEBASE_{name.upper()}_FILE"))
    return found[0], found[1]


def mqtt_password(settings: Settings) -> str | None:
    """Our password at the MQTT broker; None if there is none.

    Raises:
        SettingsError: the file with it cannot be read.
    """
    if settings.mqtt_password is not None:
        return settings.mqtt_password.get_secret_value()
    return _secret_in(settings.mqtt_password_file, "PULSEBASE_MQTT_PASSWORD_FILE") or None


def _secret_in(path: Path | str | None, setting: str) -> str:
    """What the file holds, without the end of its line."""
    if not path:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    if not text or "\n" in text:
        raise SettingsError(f"{setting}: the file must hold one line")
    return text


def _validated(given: Mapping[str, object]) -> Settings:
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        names = [str(entry["loc"][0]).upper().removeprefix("PULSEBASE_") for entry in error.errors()]
        lines = [f"PULSEBASE_{name}: {entry['msg']}" for name, entry in zip(names, error.errors(), strict=True)]
        raise SettingsError("; ".join(lines)) from None
    except UnreadableValueError as error:  # a value that is no JSON where a list is meant
        name = re.search(r'field "(\w+)"', str(error))
        raise SettingsError(f"PULSEBASE_{name[1].upper() if name else '…'}: must be written as JSON") from None


def _check_proxies(proxies: Sequence[str]) -> None:
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise SettingsError("PULSEBASE_TRUSTED_PROXIES: must be addresses such as 10.0.0.1 or 10.0.0.0/8") from None


def _check_env_file(path: Path) -> None:
    """Raises `SettingsError` for what would else be skipped in silence."""
    if not path.is_file():
        return
    if path.stat().st_uid not in (os.geteuid(), 0):
        raise SettingsError(f"{path} belongs to another user and is not read; start from another folder, or remove it")
    try:
        with path.open(encoding="utf-8") as file:
            wrong = [binding.original.line for binding in parse_stream(file) if binding.error]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    if wrong:
        raise SettingsError(f"{path}: line {wrong[0]} is not NAME=value")


def _check_store_url(url: str, setting: str) -> None:
    from pulsebase.stores.open import parse_store_url

    try:
        parse_store_url(url)
    except (SettingsError, ValueError) as error:
        raise SettingsError(f"{setting}: {error}") from None


def _check_clickhouse_sql_url(url: str, cluster_url: str | None) -> None:
    from pulsebase.stores.open import require_sql_url

    if cluster_url is None:
        raise SettingsError("PULSEBASE_CLICKHOUSE_SQL_URL: needs PULSEBASE_CLICKHOUSE_URL, where the views are made")
    try:
        require_sql_url(url)
    except SettingsError as error:
        raise SettingsError(f"PULSEBASE_CLICKHOUSE_SQL_URL: {error}") from None


def _check_clickhouse_url(url: str, store_url: str) -> None:
    from pulsebase.stores.open import parse_store_url, require_cluster_url

    try:
        require_cluster_url(url)
    except SettingsError as error:
        raise SettingsError(f"PULSEBASE_CLICKHOUSE_URL: {error}") from None
    if not parse_store_url(store_url).is_shared:
        raise SettingsError(
            "PULSEBASE_CLICKHOUSE_URL: needs PULSEBASE_STORE_URL=postgresql://…, where people and commits are kept"
        )

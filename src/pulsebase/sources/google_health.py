"""A client of the Google Health API v4: `GET /v4/users/me/dataTypes/{type}/dataPoints`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta

import httpx2 as httpx

from pulsebase.model.errors import (
    DataSetMissingError,
    RejectedError,
    SourceForbiddenError,
)
from pulsebase.model.timerange import TimeRange, format_us
from pulsebase.sources.cloud import Account, CloudClient, Limits, each_page, http_client
from pulsebase.sources.google_shapes import DataPoint, DataPoints, Identity, UserSettings
from pulsebase.sources.oauth import OAuthClient, Provider, require_safe
from pulsebase.sources.tokens import Tokens

SOURCE = "google"
#: The largest page that the service gives.
PAGE_POINTS = 10_000
#: Requests a minute and person (the service's quota).
REQUESTS_A_MINUTE = 300
_SCOPE = "https://www.googleapis.com/auth/googlehealth."
#: The scopes of readings and what is measured; of the time in zones; of the time zone.
MEASUREMENTS_SCOPE = f"{_SCOPE}health_metrics_and_measurements.readonly"
ACTIVITY_SCOPE = f"{_SCOPE}activity_and_fitness.readonly"
_SETTINGS_SCOPE = f"{_SCOPE}settings.readonly"


class GoogleHealthClient:
    """The data of one person's account."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def heart_rate(self, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        """Return the readings of an interval, page by page."""
        return self._samples("heart-rate", interval)

    def oxygen_saturation(self, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        """Return the readings of an interval, page by page."""
        return self._samples("oxygen-saturation", interval)

    def heart_rate_variability(self, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        """Return the readings of an interval, page by page."""
        return self._samples("heart-rate-variability", interval)

    def respiratory_rates(self, first: date, last: date) -> Sequence[DataPoint]:
        """Return the respiratory rates of the civil days from `first` to `last` that have one."""
        return self._daily("daily-respiratory-rate", first, last)

    def sleep_temperatures(self, first: date, last: date) -> Sequence[DataPoint]:
        """Return the skin temperatures of the civil days from `first` to `last` that have one."""
        return self._daily("daily-sleep-temperature-derivations", first, last)

    def resting_heart_rates(self, first: date, last: date) -> Sequence[DataPoint]:
        """Return the resting heart rates of the civil days from `first` to `last` that have one."""
        return self._daily("daily-resting-heart-rate", first, last)

    def zones(self, first: date, last: date) -> Sequence[DataPoint]:
        """Return the zones in force on each civil day from `first` to `last`."""
        return self._daily("daily-heart-rate-zones", first, last)

    def time_in_zones(self, interval: TimeRange) -> Sequence[DataPoint]:
        """Return the periods in a zone that began in the interval. The service filters them only by instants."""
        start, end = format_us(interval.start_us), format_us(interval.end_us)
        field = "time_in_heart_rate_zone.interval.start_time"
        return [point for page in self._pages("time-in-heart-rate-zone", _between(field, start, end)) for point in page]

    def describe(self) -> Account:
        """Return the account of the tokens, without the parts that the person did not allow to be read."""
        account = time_zone = None
        with suppress(SourceForbiddenError, DataSetMissingError, RejectedError):
            account = self._cloud.get(Identity, "/v4/users/me/identity").legacy_user_id
        with suppress(SourceForbiddenError, DataSetMissingError, RejectedError):
            time_zone = self._cloud.get(UserSettings, "/v4/users/me/settings").time_zone
        return Account(account, time_zone)

    def _samples(self, data_type: str, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        start, end = format_us(interval.start_us), format_us(interval.end_us)
        return self._pages(data_type, _between(f"{_field(data_type)}.sample_time.physical_time", start, end))

    def _daily(self, data_type: str, first: date, last: date) -> Sequence[DataPoint]:
        where = _between(f"{_field(data_type)}.date", str(first), str(last + timedelta(days=1)))
        return [point for page in self._pages(data_type, where) for point in page]

    def _pages(self, data_type: str, where: str) -> Iterator[Sequence[DataPoint]]:
        """Yield all pages. An empty page may still be followed by another one."""
        asked = {"filter": where, "pageSize": str(PAGE_POINTS)}

        def ask(token: str) -> DataPoints:
            more = {"pageToken": token} if token else {}
            return self._cloud.get(DataPoints, f"/v4/users/me/dataTypes/{data_type}/dataPoints", asked | more)

        for page in each_page(ask, lambda page: page.next_page_token, "nextPageToken"):
            if page.data_points:
                yield page.data_points


def _field(data_type: str) -> str:
    """The name of a data type in filters."""
    return data_type.replace("-", "_")


def _between(field: str, start: str, end: str) -> str:
    return f'{field} >= "{start}" AND {field} < "{end}"'


class GoogleHealthCloud:
    """The service at its address, or a simulator at another. People are asked for the `scopes`, and for their settings,
    which have the time zone.
    """

    def __init__(
        self,
        url: str,
        *,
        auth_url: str,
        token_url: str,
        client_id: str,
        client_secret: str | None,
        now_us: Callable[[], int],
        scopes: Sequence[str],
    ) -> None:
        for address, name in ((url, "URL"), (auth_url, "AUTH_URL"), (token_url, "TOKEN_URL")):
            require_safe(address, f"PULSEBASE_GOOGLE_{name}")
        self._url, self._now_us = url, now_us
        self.http: httpx.Client = http_client(url)
        provider = Provider(
            auth_url,
            token_url,
            str(httpx.URL(token_url).join("revoke")),
            client_id,
            client_secret,
            (*scopes, _SETTINGS_SCOPE),
            # Without these two the service issues a refresh token only at the first consent.
            {"access_type": "offline", "prompt": "consent"},
        )
        self.oauth = OAuthClient(provider, self.http, now_us)

    def client(self, user_id: str, tokens: Tokens) -> GoogleHealthClient:
        """Return a client for one person, with its own rate limit."""
        limits = Limits(self._now_us, REQUESTS_A_MINUTE)
        return GoogleHealthClient(
            CloudClient(self.http, self._url, tokens, user_id=user_id, source=SOURCE, limits=limits)
        )

    def describe(self, client: GoogleHealthClient) -> Account:
        """Return the account of the tokens."""
        return client.describe()

    def close(self) -> None:
        """Close the network connections."""
        self.http.close()

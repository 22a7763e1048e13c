"""A client of the Fitbit-shaped Web API: `GET /1/user/-/activities/heart/date/…`, `…/spo2/date/…` and others.

The vendor's own service was switched off on 2 November 2026. The shape lives on in the simulator and wherever somebody
serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, time

import httpx2 as httpx

from pulsebase.model.errors import DataSetMissingError, ReconnectError, RejectedError, SourceForbiddenError
from pulsebase.sources.cloud import Account, CloudClient, Limits, http_client
from pulsebase.sources.fitbit_shapes import (
    BreathingAnswer,
    BreathingNight,
    Day,
    FitbitSummaryAnswer,
    IntradayAnswer,
    NightlyVariabilityAnswer,
    OxygenNight,
    Point,
    ProfileAnswer,
    SkinTemperatureAnswer,
    SkinTemperatureNight,
    VariabilityNight,
)
from pulsebase.sources.oauth import OAuthClient, Provider, require_safe
from pulsebase.sources.tokens import Tokens

SOURCE = "fitbit"
#: The most days in one request.
SUMMARY_DAYS = 365
#: The most days in one request about nights.
NIGHTS = 30
#: The scope of the profile, which has the time zone.
_PROFILE_SCOPE = "profile"
_USER = "/1/user/-"
_PATH = f"{_USER}/activities/heart/date"
#: The service has the units of this locale: degrees Celsius. With `en_US` they would be Fahrenheit.
_METRIC_UNITS = {"Accept-Language": "de_DE"}


class FitbitClient:
    """The data of one person's account."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def intraday(self, day: date, window: tuple[time, time] | None = None) -> Sequence[Point]:
        """Return the readings of a UTC day at the finest resolution, or only those in a window of whole minutes.

        Raises:
            ReconnectError: the connection does not include second-level readings.
        """
        path = f"{_PATH}/{day}/1d/1sec"
        if window is not None:
            path += f"/time/{window[0]:%H:%M}/{window[1]:%H:%M}"
        answer = self._cloud.get(IntradayAnswer, f"{path}.json", {"timezone": "UTC"})
        if answer.intraday is None:
            raise ReconnectError(
                "the source gives no second-level readings to this connection; connect again and allow heart rate, "
                "with an application that may see intraday data"
            )
        return answer.intraday.dataset

    def days(self, first: date, last: date) -> Sequence[Day]:
        """Return the person's civil days from `first` to `last`, both included, at most `SUMMARY_DAYS`."""
        return self._cloud.get(FitbitSummaryAnswer, f"{_PATH}/{first}/{last}.json").days

    def oxygen_saturation(self, first: date, last: date) -> Sequence[OxygenNight]:
        """Return the nights before the civil days from `first` to `last`, both included, at most `NIGHTS`. The same
        holds for the methods below.
        """
        return self._cloud.get(list[OxygenNight], f"{_USER}/spo2/date/{first}/{last}/all.json")

    def heart_rate_variability(self, first: date, last: date) -> Sequence[VariabilityNight]:
        """Return nights in windows of five minutes."""
        return self._cloud.get(NightlyVariabilityAnswer, f"{_USER}/hrv/date/{first}/{last}/all.json").hrv

    def breathing_rates(self, first: date, last: date) -> Sequence[BreathingNight]:
        """Return the mean of each night."""
        return self._cloud.get(BreathingAnswer, f"{_USER}/br/date/{first}/{last}.json").br

    def skin_temperatures(self, first: date, last: date) -> Sequence[SkinTemperatureNight]:
        """Return the deviation of each night in degrees Celsius."""
        return self._cloud.get(SkinTemperatureAnswer, f"{_USER}/temp/skin/date/{first}/{last}.json").temp_skin

    def time_zone(self) -> str | None:
        """Return the IANA zone of the account, None if the person did not allow us to read it."""
        with suppress(SourceForbiddenError, DataSetMissingError, RejectedError):
            return self._cloud.get(ProfileAnswer, f"{_USER}/profile.json").user.timezone
        return None


class FitbitCloud:
    """The Fitbit-shaped service at one address. People are asked for the `scopes`, and for their time zone."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str | None,
        now_us: Callable[[], int],
        scopes: Sequence[str],
    ) -> None:
        require_safe(url, "PULSEBASE_FITBIT_URL")
        self._url, self._now_us = url.rstrip("/"), now_us
        self.http: httpx.Client = http_client(url)
        provider = Provider(
            f"{self._url}/oauth2/authorize",
            f"{self._url}/oauth2/token",
            f"{self._url}/oauth2/revoke",
            client_id,
            client_secret,
            (*scopes, _PROFILE_SCOPE),
        )
        self.oauth = OAuthClient(provider, self.http, now_us)

    def client(self, user_id: str, tokens: Tokens) -> FitbitClient:
        """Return a client for one person, with its own rate limit."""
        limits = Limits(self._now_us)
        return FitbitClient(
            CloudClient(
                self.http, self._url, tokens, user_id=user_id, source=SOURCE, limits=limits, headers=_METRIC_UNITS
            )
        )

    def describe(self, client: FitbitClient) -> Account:
        """Return the time zone. This service states the account together with the tokens."""
        return Account(time_zone=client.time_zone())

    def close(self) -> None:
        """Close the network connections."""
        self.http.close()

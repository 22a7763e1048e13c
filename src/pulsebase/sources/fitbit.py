"""A client of the Fitbit-shaped Web API: `GET /1/user/-/activities/heart/date/…`.

The vendor's own service was switched off on 2 November 2026. The shape lives on in the simulator and wherever somebody
serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, time

import httpx2 as httpx

from pulsebase.model.errors import ReconnectError
from pulsebase.sources.cloud import Account, CloudClient, Limits, http_client
from pulsebase.sources.fitbit_shapes import Day, FitbitSummaryAnswer, IntradayAnswer, Point
from pulsebase.sources.oauth import OAuthClient, Provider, require_safe
from pulsebase.sources.tokens import Tokens

SOURCE = "fitbit"
#: The most days in one request.
SUMMARY_DAYS = 365
_PATH = "/1/user/-/activities/heart/date"


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


class FitbitCloud:
    """The Fitbit-shaped service at one address."""

    def __init__(self, url: str, client_id: str, client_secret: str | None, now_us: Callable[[], int]) -> None:
        require_safe(url, "PULSEBASE_FITBIT_URL")
        self._url, self._now_us = url.rstrip("/"), now_us
        self.http: httpx.Client = http_client(url)
        provider = Provider(
            f"{self._url}/oauth2/authorize",
            f"{self._url}/oauth2/token",
            f"{self._url}/oauth2/revoke",
            client_id,
            client_secret,
            ("heartrate",),
        )
        self.oauth = OAuthClient(provider, self.http, now_us)

    def client(self, user_id: str, tokens: Tokens) -> FitbitClient:
        """Return a client for one person, with its own rate limit."""
        limits = Limits(self._now_us)
        return FitbitClient(CloudClient(self.http, self._url, tokens, user_id=user_id, source=SOURCE, limits=limits))

    def describe(self, client: FitbitClient) -> Account:
        """Return an empty account: this service states the account together with the tokens."""
        del client
        return Account()

    def close(self) -> None:
        """Close the network connections."""
        self.http.close()

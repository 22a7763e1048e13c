"""A client of the Oura API v2: `GET /v2/usercollection/{collection}`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import TypeVar

import httpx2 as httpx

from pulsebase.model.errors import DataSetMissingError, RejectedError, SourceForbiddenError
from pulsebase.model.timerange import TimeRange, format_us
from pulsebase.sources.cloud import Account, CloudClient, Limits, each_page, http_client
from pulsebase.sources.oauth import OAuthClient, Provider, require_safe
from pulsebase.sources.oura_shapes import (
    OuraDailyReadiness,
    OuraDailySpo2,
    OuraHeartRate,
    OuraPage,
    OuraPersonalInfo,
    OuraSleep,
)
from pulsebase.sources.tokens import Tokens

DocumentT = TypeVar("DocumentT")

SOURCE = "oura"
#: The service takes 5,000 requests in five minutes.
REQUESTS_A_MINUTE = 1_000
HEART_RATE_SCOPE, DAILY_SCOPE, SPO2_SCOPE = "heartrate", "daily", "spo2Daily"
_ACCOUNT_SCOPE = "personal"


class OuraClient:
    """The data of one person's account."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def heart_rates(self, interval: TimeRange) -> Iterator[Sequence[OuraHeartRate]]:
        """Return the readings of an interval, page by page; whether its end is among them is the service's choice."""
        asked = {"start_datetime": format_us(interval.start_us), "end_datetime": format_us(interval.end_us)}
        return self._pages(OuraPage[OuraHeartRate], "heartrate", asked)

    def sleeps(self, first: date, last: date) -> Sequence[OuraSleep]:
        """Return the periods of sleep under the days from `first` to `last`, and perhaps some around them."""
        return self._days(OuraPage[OuraSleep], "sleep", first, last)

    def oxygen_saturations(self, first: date, last: date) -> Sequence[OuraDailySpo2]:
        """Return what there is of the days from `first` to `last`."""
        return self._days(OuraPage[OuraDailySpo2], "daily_spo2", first, last)

    def readiness(self, first: date, last: date) -> Sequence[OuraDailyReadiness]:
        """Return what there is of the days from `first` to `last`."""
        return self._days(OuraPage[OuraDailyReadiness], "daily_readiness", first, last)

    def describe(self) -> Account:
        """Return the account of the tokens, if the person allowed that. The service states no time zone."""
        with suppress(SourceForbiddenError, DataSetMissingError, RejectedError):
            return Account(self._cloud.get(OuraPersonalInfo, "/v2/usercollection/personal_info").id)
        return Account()

    def _days(self, kind: type[OuraPage[DocumentT]], collection: str, first: date, last: date) -> Sequence[DocumentT]:
        pages = self._pages(kind, collection, {"start_date": str(first), "end_date": str(last)})
        return [document for page in pages for document in page]

    def _pages(
        self, kind: type[OuraPage[DocumentT]], collection: str, asked: Mapping[str, str]
    ) -> Iterator[Sequence[DocumentT]]:
        def ask(token: str) -> OuraPage[DocumentT]:
            more = {"next_token": token} if token else {}
            return self._cloud.get(kind, f"/v2/usercollection/{collection}", {**asked, **more})

        for page in each_page(ask, lambda page: page.next_token, "next_token"):
            yield page.data


class OuraCloud:
    """The service at its address, or a simulator at another. People are asked for the `scopes`, and for their account's
    id.
    """

    def __init__(
        self,
        url: str,
        *,
        auth_url: str,
        client_id: str,
        client_secret: str | None,
        now_us: Callable[[], int],
        scopes: Sequence[str],
    ) -> None:
        for address, name in ((url, "URL"), (auth_url, "AUTH_URL")):
            require_safe(address, f"PULSEBASE_OURA_{name}")
        self._url, self._now_us = url.rstrip("/"), now_us
        self.http: httpx.Client = http_client(url)
        provider = Provider(
            auth_url,
            f"{self._url}/oauth/token",
            f"{self._url}/oauth/revoke",
            client_id,
            client_secret,
            (*scopes, _ACCOUNT_SCOPE),
            revokes_access_in_query=True,
        )
        self.oauth = OAuthClient(provider, self.http, now_us)

    def client(self, user_id: str, tokens: Tokens) -> OuraClient:
        """Return a client for one person, with its own rate limit."""
        limits = Limits(self._now_us, REQUESTS_A_MINUTE)
        return OuraClient(CloudClient(self.http, self._url, tokens, user_id=user_id, source=SOURCE, limits=limits))

    def describe(self, client: OuraClient) -> Account:
        """Return the account of the tokens."""
        return client.describe()

    def close(self) -> None:
        """Close the network connections."""
        self.http.close()

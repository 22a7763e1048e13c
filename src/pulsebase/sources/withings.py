"""A client of the Withings API: `POST /v2/{service}` with an `action`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta

import httpx2 as httpx

from pulsebase.model.errors import DataSetMissingError, RejectedError, SourceForbiddenError
from pulsebase.model.timerange import SECOND_US, TimeRange, from_us
from pulsebase.sources.cloud import Account, CloudClient, Limits, each_page, http_client
from pulsebase.sources.oauth import OAuthClient, Provider, require_safe
from pulsebase.sources.tokens import Tokens
from pulsebase.sources.withings_shapes import WithingsIntraday, WithingsNight, WithingsNights, WithingsSleep
from pulsebase.sources.withings_status import unwrapped

SOURCE = "withings"
#: The service takes 120 requests a minute of an application, whoever they are about.
REQUESTS_A_MINUTE = 120
ACTIVITY_SCOPE = "user.activity"
#: Nights that are looked at for the time zone.
_RECENT_NIGHTS = 30


class WithingsClient:
    """The data of one person's account."""

    def __init__(self, cloud: CloudClient, now_us: Callable[[], int]) -> None:
        self._cloud, self._now_us = cloud, now_us

    def intraday(self, interval: TimeRange, fields: Sequence[str]) -> WithingsIntraday:
        """Return what a watch measured in an interval of a day at most, by second."""
        asked = self._asked("getintradayactivity", interval, fields)
        return self._cloud.get(WithingsIntraday, "/v2/measure", asked)

    def sleep(self, interval: TimeRange, fields: Sequence[str]) -> WithingsSleep:
        """Return what was measured asleep in an interval of a day at most, by second."""
        return self._cloud.get(WithingsSleep, "/v2/sleep", self._asked("get", interval, fields))

    def nights(self, first: date, last: date) -> Sequence[WithingsNight]:
        """Return the nights that ended from `first` to `last`."""
        asked = {"action": "getsummary", "startdateymd": str(first), "enddateymd": str(last)}
        asked["data_fields"] = "rr_average"

        def ask(token: str) -> WithingsNights:
            return self._cloud.get(WithingsNights, "/v2/sleep", asked | ({"offset": token} if token else {}))

        pages = each_page(ask, lambda page: str(page.offset) if page.more else None, "offset")
        return [night for page in pages for night in page.series]

    def describe(self) -> Account:
        """Return where the person last slept. The account is stated with the tokens."""
        today = from_us(self._now_us()).date()
        with suppress(SourceForbiddenError, DataSetMissingError, RejectedError):
            nights = self.nights(today - timedelta(days=_RECENT_NIGHTS), today + timedelta(days=1))
            zones = [night.timezone for night in sorted(nights, key=lambda night: night.date) if night.timezone]
            return Account(None, zones[-1] if zones else None)
        return Account()

    @staticmethod
    def _asked(action: str, interval: TimeRange, fields: Sequence[str]) -> dict[str, str]:
        """Return the parameters of a question about an interval, whose last second is asked for too."""
        first, last = interval.start_us // SECOND_US, -(-interval.end_us // SECOND_US)
        return {"action": action, "startdate": str(first), "enddate": str(last), "data_fields": ",".join(fields)}


class WithingsCloud:
    """The service at its address, or a simulator at another. People are asked for the `scopes`."""

    def __init__(
        self,
        url: str,
        *,
        auth_url: str,
        client_id: str,
        client_secret: str,
        now_us: Callable[[], int],
        scopes: Sequence[str],
    ) -> None:
        for address, name in ((url, "URL"), (auth_url, "AUTH_URL")):
            require_safe(address, f"PULSEBASE_WITHINGS_{name}")
        self._url, self._now_us = url.rstrip("/"), now_us
        self.http: httpx.Client = http_client(url)
        self._limits = Limits(now_us, REQUESTS_A_MINUTE)
        provider = Provider(
            auth_url,
            f"{self._url}/v2/oauth2",
            f"{self._url}/v2/signature",
            client_id,
            client_secret,
            (",".join(scopes),),
            by_action=True,
            has_pkce=False,
        )
        self.oauth = OAuthClient(provider, self.http, now_us)

    def client(self, user_id: str, tokens: Tokens) -> WithingsClient:
        """Return a client for one person. The rate limit is that of all of them."""
        cloud = CloudClient(
            self.http, self._url, tokens, user_id=user_id, source=SOURCE, limits=self._limits, unwrapped=unwrapped
        )
        return WithingsClient(cloud, self._now_us)

    def describe(self, client: WithingsClient) -> Account:
        """Return what is known of the account of the tokens."""
        return client.describe()

    def close(self) -> None:
        """Close the network connections."""
        self.http.close()

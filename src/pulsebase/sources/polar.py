"""A client of the Polar AccessLink API v3: `GET /v3/users/{resource}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date

import httpx2 as httpx

from pulsebase.model.errors import DataSetMissingError, RejectedError, SourceForbiddenError
from pulsebase.sources.cloud import Account, CloudClient, Limits, http_client
from pulsebase.sources.oauth import OAuthClient, Provider, require_safe
from pulsebase.sources.polar_shapes import PolarDay, PolarDays, PolarRecharge, PolarRecharges
from pulsebase.sources.tokens import Tokens

SOURCE = "polar"
READ_SCOPE = "accesslink.read_all"
#: The service answers so where it has nothing.
_NOTHING = (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND)
#: What it answers to an application that registers a person: they are registered now, or were before.
_REGISTERED = (httpx.codes.OK, httpx.codes.CREATED, httpx.codes.NO_CONTENT, httpx.codes.CONFLICT)


class PolarClient:
    """The data of one person's account."""

    def __init__(self, cloud: CloudClient, user_id: str) -> None:
        self._cloud, self._user_id = cloud, user_id

    def heart_rates(self, first: date, last: date) -> Sequence[PolarDay]:
        """Return the heart rates of the days from `first` to `last`, four weeks at most."""
        asked = {"from": str(first), "to": str(last)}
        days = self._cloud.get(PolarDays, "/v3/users/continuous-heart-rate", asked, nothing=_NOTHING).heart_rates
        return sorted(days, key=lambda day: day.date)

    def recharges(self) -> Sequence[PolarRecharge]:
        """Return the nights of the last four weeks."""
        return self._cloud.get(PolarRecharges, "/v3/users/nightly-recharge", nothing=_NOTHING).recharges

    def describe(self) -> Account:
        """Register the person with the application, without which nothing can be read. The service states no time zone,
        and the account with the tokens.
        """
        with suppress(SourceForbiddenError, DataSetMissingError, RejectedError):
            self._cloud.post("/v3/users", {"member-id": self._user_id}, _REGISTERED)
        return Account()


class PolarCloud:
    """The service at its address, or a simulator at another. People are asked for the `scopes`."""

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
            require_safe(address, f"PULSEBASE_POLAR_{name}")
        self._url = url.rstrip("/")
        self.http: httpx.Client = http_client(url)
        self._limits = Limits(now_us)
        provider = Provider(
            auth_url,
            token_url,
            f"{self._url}/v3/users",
            client_id,
            client_secret,
            tuple(scopes),
            has_pkce=False,
            has_refresh=False,
        )
        self.oauth = OAuthClient(provider, self.http, now_us)

    def client(self, user_id: str, tokens: Tokens) -> PolarClient:
        """Return a client for one person. The rate limit is that of all of them."""
        cloud = CloudClient(self.http, self._url, tokens, user_id=user_id, source=SOURCE, limits=self._limits)
        return PolarClient(cloud, user_id)

    def describe(self, client: PolarClient) -> Account:
        """Register the person."""
        return client.describe()

    def close(self) -> None:
        """Close the network connections."""
        self.http.close()

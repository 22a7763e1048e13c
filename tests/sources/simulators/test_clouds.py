"""The simulated clouds speak the documented shapes, by themselves: asked with plain HTTP."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.model.errors import RejectedError
from pulsebase.sources.simulators.faults import Fault, Faults, parse_fault
from pulsebase.sources.synthetic import DEMO_PEOPLE, day_range
from tests.stores.harness import at
from tests.support.clouds import SimulatedCloud, consent, recorded, simulated

VERIFIER = "a" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "http://127.0.0.1:1/back"
HEART = "/1/user/-/activities/heart/date"
POINTS = "/v4/users/me/dataTypes"
GOOGLE = "https://www.googleapis.com/auth/googlehealth."
SCOPES = {
    "fitbit": "heartrate oxygen_saturation respiratory_rate temperature profile",
    "google": " ".join(
        f"{GOOGLE}{name}.readonly" for name in ("health_metrics_and_measurements", "activity_and_fitness", "settings")
    ),
    "oura": "heartrate daily spo2Daily personal",
}
AUTHORIZE = {"fitbit": "/oauth2/authorize", "google": "/o/oauth2/v2/auth", "oura": "/oauth/authorize"}
TOKEN = {"fitbit": "/oauth2/token", "google": "/token", "oura": "/oauth/token"}
#: What any token may ask for.
PLAIN = {
    "fitbit": f"{HEART}/2025-06-11/1d.json",
    "google": "/v4/users/me/identity",
    "oura": "/v2/usercollection/personal_info",
}
#: Those that know PKCE and renew tokens; the others have test modules of their own.
each_source = pytest.mark.parametrize("source", AUTHORIZE)


class Browser:
    """Somebody with a token, or on the way to one."""

    def __init__(self, cloud: SimulatedCloud) -> None:
        self.cloud = cloud
        self.authorize, self.token_url = cloud.url + AUTHORIZE[cloud.source], cloud.url + TOKEN[cloud.source]
        self.http = httpx.Client(base_url=cloud.url, trust_env=False)

    def code(self, **more: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": "me",
            "redirect_uri": BACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "s",
            "scope": SCOPES[self.cloud.source],
        } | more
        return consent(str(httpx.URL(self.authorize, params=asked)), "user1")["code"]

    def tokens(self, **form: str) -> httpx.Response:
        return self.http.post(self.token_url, data=form)

    def exchange(self, code: str, verifier: str = VERIFIER) -> httpx.Response:
        form = {"code": code, "client_id": "me", "redirect_uri": BACK, "code_verifier": verifier}
        return self.tokens(grant_type="authorization_code", **form)

    def sign_in(self) -> dict[str, Any]:
        pair: dict[str, Any] = self.exchange(self.code()).json()
        self.http.headers["Authorization"] = f"Bearer {pair['access_token']}"
        return pair

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self.http.get(path, params=parameters)


@pytest.fixture
def browser(source: str) -> Iterator[Browser]:
    with simulated(source) as cloud:
        one = Browser(cloud)
        yield one
        one.http.close()


fitbit = pytest.mark.parametrize("source", ["fitbit"])
google = pytest.mark.parametrize("source", ["google"])
oura = pytest.mark.parametrize("source", ["oura"])


@each_source
def test_a_code_is_good_once_for_who_began(browser: Browser) -> None:
    code = browser.code()
    assert browser.exchange(code, "b" * 64).status_code == 400
    assert browser.exchange(code).status_code == 400  # spent on the wrong verifier
    code = browser.code()
    pair = browser.exchange(code).json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 28_800)
    assert browser.exchange(code).status_code == 400
    late = browser.code()
    browser.cloud.clock.advance(601_000_000)
    assert browser.exchange(late).status_code == 400


@each_source
def test_a_request_without_a_challenge_is_refused(browser: Browser) -> None:
    asked = {"response_type": "code", "client_id": "me", "redirect_uri": BACK, "person": "user1"}
    answer = browser.http.get(browser.authorize, params=asked)
    assert (answer.status_code, "code_challenge is missing" in answer.text) == (400, True)
    plain = asked | {"code_challenge": VERIFIER, "code_challenge_method": "plain"}
    assert browser.http.get(browser.authorize, params=plain).status_code == 400
    page = browser.http.get(browser.authorize, params=plain | {"code_challenge_method": "S256", "person": "?"})
    assert (page.status_code, page.text.count("allow</a>")) == (200, 2)


@fitbit
def test_refresh_tokens_are_single_use(browser: Browser) -> None:
    pair = browser.sign_in()
    assert pair["user_id"] == "user1"
    fresh = browser.tokens(grant_type="refresh_token", refresh_token=pair["refresh_token"]).json()
    assert fresh["refresh_token"] != pair["refresh_token"]
    assert browser.tokens(grant_type="refresh_token", refresh_token=pair["refresh_token"]).status_code == 400
    assert browser.tokens(grant_type="refresh_token", refresh_token=fresh["refresh_token"]).status_code == 200


@google
def test_refresh_tokens_are_good_for_a_week(browser: Browser) -> None:
    pair = browser.sign_in()
    for _ in range(2):
        fresh = browser.tokens(grant_type="refresh_token", refresh_token=pair["refresh_token"])
        assert (fresh.status_code, "refresh_token" in fresh.json()) == (200, False)
        browser.cloud.clock.advance(3 * 86_400 * 1_000_000)
    browser.cloud.clock.advance(86_400 * 1_000_000)
    assert browser.tokens(grant_type="refresh_token", refresh_token=pair["refresh_token"]).status_code == 400


@each_source
def test_revoking_ends_every_token_of_the_consent(browser: Browser) -> None:
    path = PLAIN[browser.cloud.source]
    pair = browser.sign_in()
    assert browser.get(path).status_code == 200
    revoke = TOKEN[browser.cloud.source].replace("token", "revoke")
    if browser.cloud.source == "oura":  # which takes the access token, in the address
        assert browser.http.post(revoke, params={"access_token": pair["access_token"]}).status_code == 200
    else:
        assert browser.http.post(revoke, data={"token": pair["refresh_token"]}).status_code == 200
    assert browser.get(path).status_code == 401
    assert browser.tokens(grant_type="refresh_token", refresh_token=pair["refresh_token"]).status_code == 400


@fitbit
def test_a_summary_has_the_documented_shape(browser: Browser) -> None:
    browser.sign_in()
    (day,) = browser.get(f"{HEART}/2025-06-11/1d.json").json()["activities-heart"]
    assert day["dateTime"] == "2025-06-11"
    assert day["value"]["customHeartRateZones"] == []
    assert [zone["name"] for zone in day["value"]["heartRateZones"]] == ["Out of Range", "Fat Burn", "Cardio", "Peak"]
    assert all(
        {"caloriesOut", "max", "min", "minutes", "name"} == zone.keys() for zone in day["value"]["heartRateZones"]
    )
    assert 40 < day["value"]["restingHeartRate"] < 80
    for period, count in (("7d", 7), ("1w", 7), ("30d", 30), ("1m", 30), ("2025-06-12", 2)):
        days = browser.get(f"{HEART}/2025-06-11/{period}.json").json()["activities-heart"]
        assert len(days) == count
    assert "restingHeartRate" not in days[-1]["value"]  # the day runs
    assert browser.get(f"{HEART}/2024-06-10/2025-06-12.json").status_code == 400


@fitbit
def test_intraday_has_the_documented_shape(browser: Browser) -> None:
    browser.sign_in()
    path = f"{HEART}/2025-06-11/1d"
    answer = browser.get(f"{path}/1sec.json", timezone="UTC").json()
    intraday = answer["activities-heart-intraday"]
    assert (intraday["datasetInterval"], intraday["datasetType"]) == (1, "second")
    span = day_range(replace(DEMO_PEOPLE[0], time_zone="UTC"), date(2025, 6, 11))
    expected = [(at_us - span.start_us) // 1_000_000 for at_us, _ in recorded(DEMO_PEOPLE[0], span)]
    assert [clock(point["time"]) for point in intraday["dataset"]] == expected
    part = browser.get(f"{path}/1sec/time/10:00/10:05.json", timezone="UTC").json()["activities-heart-intraday"]
    assert part["dataset"] == [p for p in intraday["dataset"] if "10:00:00" <= p["time"] <= "10:05:00"]
    minutes = browser.get(f"{path}/15min.json", timezone="UTC").json()["activities-heart-intraday"]
    assert (minutes["datasetInterval"], minutes["datasetType"]) == (15, "minute")
    assert {point["time"][3:] for point in minutes["dataset"]} <= {"00:00", "15:00", "30:00", "45:00"}
    for wrong in (f"{path}/2sec.json", f"{HEART}/june/1d/1sec.json", f"{path}/1sec/time/10/25:00.json"):
        assert browser.get(wrong).status_code == 400
    assert browser.get(path.replace("/-/", "/user2/") + "/1sec.json").status_code == 400


@fitbit
def test_local_times_step_back_when_clocks_do(browser: Browser) -> None:
    browser.cloud.clock.set(at("2025-10-28T00:00:00"))
    browser.sign_in()
    answer = browser.get(f"{HEART}/2025-10-26/1d/1sec.json").json()["activities-heart-intraday"]["dataset"]
    seconds = [clock(point["time"]) for point in answer]
    back = [place for place in range(1, len(seconds)) if seconds[place] < seconds[place - 1]]
    assert len(back) == 1
    assert 2 * 3600 <= seconds[back[0]] < 3 * 3600
    assert len(answer) == len(recorded(DEMO_PEOPLE[0], day_range(DEMO_PEOPLE[0], date(2025, 10, 26))))


def clock(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def test_the_hourly_limit_is_a_persons_and_said_in_headers() -> None:
    with simulated("fitbit", limit=2) as cloud:
        browser = Browser(cloud)
        browser.sign_in()
        answers = [browser.get(f"{HEART}/2025-06-11/1d.json") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        left = [answer.headers["fitbit-rate-limit-remaining"] for answer in answers]
        assert (left, answers[0].headers["fitbit-rate-limit-limit"]) == (["1", "0", "0"], "2")
        assert answers[2].headers["retry-after"] == answers[2].headers["fitbit-rate-limit-reset"] == "2400"
        cloud.clock.advance(2_400_000_000)
        assert browser.get(f"{HEART}/2025-06-11/1d.json").status_code == 200
        browser.http.close()


@google
def test_data_points_come_in_pages_to_the_end(browser: Browser) -> None:
    browser.sign_in()
    field = "heart_rate.sample_time.physical_time"
    where = f'{field} >= "2025-06-11T00:00:00Z" AND {field} < "2025-06-12T00:00:00Z"'
    points: list[Any] = []
    sizes: list[int] = []
    token: dict[str, str] = {}
    while True:
        page = browser.get(f"{POINTS}/heart-rate/dataPoints", filter=where, pageSize="4000", **token).json()
        points += page["dataPoints"]
        sizes.append(len(page["dataPoints"]))
        if "nextPageToken" not in page:
            break
        token = {"pageToken": page["nextPageToken"]}
    assert sizes[:2] == [4000, 4000]
    assert len(sizes) == 3
    span = day_range(replace(DEMO_PEOPLE[0], time_zone="UTC"), date(2025, 6, 11))
    assert [float(point["heartRate"]["beatsPerMinute"]) * 100 for point in points] == [
        value for _, value in recorded(DEMO_PEOPLE[0], span)
    ]
    first = points[0]["heartRate"]
    assert isinstance(first["beatsPerMinute"], str)
    assert first["sampleTime"]["utcOffset"] == "7200s"
    assert first["sampleTime"]["physicalTime"].endswith("Z")
    assert points[0]["dataSource"]["platform"] == "FITBIT"
    other = where.replace("11T", "10T")
    assert browser.get(f"{POINTS}/heart-rate/dataPoints", filter=other, **token).status_code == 400
    assert browser.get(f"{POINTS}/heart-rate/dataPoints", filter="steps > 1").status_code == 400
    assert browser.get(f"{POINTS}/steps/dataPoints", filter=where).status_code == 400


@google
def test_daily_points_identity_and_settings(browser: Browser) -> None:
    browser.sign_in()
    assert browser.get("/v4/users/me/identity").json()["legacyUserId"] == "user1"
    assert browser.get("/v4/users/me/settings").json()["timeZone"] == "Europe/Berlin"
    for name in (
        *("daily-resting-heart-rate", "daily-heart-rate-zones"),
        *("daily-respiratory-rate", "daily-sleep-temperature-derivations"),
    ):
        first, *rest = name.split("-")
        field = first + "".join(word.title() for word in rest)
        snake = name.replace("-", "_")
        where = f'{snake}.date >= "2025-06-10" AND {snake}.date < "2025-06-12"'
        points = browser.get(f"{POINTS}/{name}/dataPoints", filter=where).json()["dataPoints"]
        assert [point[field]["date"]["day"] for point in points] == [10, 11]
    field = "time_in_heart_rate_zone.interval.start_time"
    where = f'{field} >= "2025-06-10T22:00:00Z" AND {field} < "2025-06-11T22:00:00Z"'
    points = browser.get(f"{POINTS}/time-in-heart-rate-zone/dataPoints", filter=where).json()["dataPoints"]
    kinds = {point["timeInHeartRateZone"]["heartRateZoneType"] for point in points}
    assert kinds <= {"LIGHT", "MODERATE", "VIGOROUS", "PEAK"}


SPO2 = "/1/user/-/spo2/date/2025-06-11/2025-06-12/all.json"


@fitbit
def test_nights_have_the_documented_shapes(browser: Browser) -> None:
    browser.sign_in()
    first, _ = browser.get(SPO2).json()
    assert first["dateTime"] == "2025-06-11"
    assert all(point.keys() == {"value", "minute"} and 85 < point["value"] <= 100 for point in first["minutes"])
    minutes = [point["minute"] for point in first["minutes"]]
    assert minutes == sorted(minutes)
    assert "2025-06-10T21" < minutes[0] < minutes[-1] < "2025-06-11T10"  # on the clock in Berlin
    path = "/1/user/-/{}/date/2025-06-11/2025-06-12{}.json"
    window = browser.get(path.format("hrv", "/all")).json()["hrv"][0]["minutes"][0]
    assert window["minute"].endswith("0:00.000") or window["minute"].endswith("5:00.000")
    assert window["value"].keys() == {"rmssd", "coverage", "hf", "lf"}
    assert [each["dateTime"] for each in browser.get(path.format("br", "")).json()["br"]] == [
        "2025-06-11",
        "2025-06-12",
    ]
    for wrong in ("2025-06-12/2025-06-11", "2025-05-01/2025-06-11", "june/july"):
        assert browser.get(f"/1/user/-/br/date/{wrong}.json").status_code == 400
    assert browser.get("/1/user/-/profile.json").json()["user"]["timezone"] == "Europe/Berlin"


@fitbit
def test_the_locale_decides_the_unit_of_temperatures(browser: Browser) -> None:
    browser.sign_in()
    asked = "/1/user/-/temp/skin/date/2025-05-20/2025-06-12.json"
    said = []
    for headers in ({}, {"Accept-Language": "de_DE"}, {"Accept-Language": "en_US"}):
        nights = browser.http.get(asked, headers=headers).json()["tempSkin"]
        said.append([night["value"]["nightlyRelative"] for night in nights])
    metric, german, american = said
    assert metric == german
    assert len(metric) == 24
    assert [abs(f - 1.8 * c) < 0.15 for f, c in zip(american, metric, strict=True)] == [True] * 24
    assert max(map(abs, american)) > max(map(abs, metric))


@fitbit
def test_a_night_is_seen_as_far_as_it_has_synced(browser: Browser) -> None:
    browser.cloud.clock.set(at("2025-06-12T01:00:00"))
    browser.sign_in()
    _, running = browser.get(SPO2).json()
    assert running["minutes"][-1]["minute"] == "2025-06-12T02:59:01"
    breathing = browser.get("/1/user/-/br/date/2025-06-11/2025-06-12.json").json()["br"]
    assert [night["dateTime"] for night in breathing] == ["2025-06-11"]
    browser.cloud.clock.set(at("2025-06-12T08:00:00"))
    browser.cloud.fault("late_sync", 1.0)
    assert browser.get(SPO2).json()[0]["dateTime"] == "2025-06-11"
    assert len(browser.get(SPO2).json()[-1]["minutes"]) < len(running["minutes"])


@each_source
def test_a_token_is_good_for_the_scopes_that_were_granted(browser: Browser) -> None:
    granted = {"fitbit": "heartrate", "google": f"{GOOGLE}settings.readonly", "oura": "personal"}[browser.cloud.source]
    code = browser.code(granted=granted)
    pair = browser.exchange(code).json()
    assert pair["scope"] == granted
    browser.http.headers["Authorization"] = f"Bearer {pair['access_token']}"
    if browser.cloud.source == "fitbit":
        assert browser.get(f"{HEART}/2025-06-11/1d.json").status_code == 200
        answer = browser.get(SPO2)
        assert answer.json()["errors"][0]["errorType"] == "insufficient_scope"
    elif browser.cloud.source == "oura":
        assert browser.get(PLAIN["oura"]).json()["id"] == "user1"
        answer = browser.get("/v2/usercollection/sleep", start_date="2025-06-11", end_date="2025-06-12")
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    else:
        assert browser.get("/v4/users/me/settings").status_code == 200
        answer = browser.get(f"{POINTS}/heart-rate/dataPoints", filter="…")
        assert answer.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert answer.status_code == 403


@google
def test_samples_of_the_night_come_in_pages(browser: Browser) -> None:
    browser.sign_in()
    for name, fields in (
        ("oxygen-saturation", {"percentage"}),
        (
            "heart-rate-variability",
            {"rootMeanSquareOfSuccessiveDifferencesMilliseconds", "standardDeviationMilliseconds"},
        ),
    ):
        field = f"{name.replace('-', '_')}.sample_time.physical_time"
        where = f'{field} >= "2025-06-10T12:00:00Z" AND {field} < "2025-06-11T12:00:00Z"'
        page = browser.get(f"{POINTS}/{name}/dataPoints", filter=where, pageSize="50").json()
        assert len(page["dataPoints"]) == 50
        assert page["nextPageToken"]
        (point,) = page["dataPoints"][0].values()
        assert point.keys() == {"sampleTime", *fields}
        assert point["sampleTime"]["utcOffset"] == "7200s"


@oura
def test_nights_of_a_ring_are_told_whole_with_their_offset(browser: Browser) -> None:
    browser.sign_in()
    asked = {"start_date": "2025-06-10", "end_date": "2025-06-12"}
    answer = browser.get("/v2/usercollection/sleep", **asked).json()
    assert [night["day"] for night in answer["data"]] == ["2025-06-10", "2025-06-11"]  # the last one is left out
    assert answer["next_token"] is None
    night = answer["data"][1]
    assert (night["type"], night["hrv"]["interval"]) == ("long_sleep", 300)
    assert night["hrv"]["timestamp"].endswith("+02:00")
    assert all(5 <= value <= 220 for value in night["hrv"]["items"])
    for collection, field in (("daily_spo2", "spo2_percentage"), ("daily_readiness", "temperature_deviation")):
        days = browser.get(f"/v2/usercollection/{collection}", **asked).json()["data"]
        assert [day["day"] for day in days] == ["2025-06-10", "2025-06-11", "2025-06-12"]
        assert all(field in day for day in days)


@oura
def test_heart_rates_of_a_ring_come_in_pages(browser: Browser) -> None:
    browser.sign_in()
    path, asked = "/v2/usercollection/heartrate", {"end_datetime": "2025-06-11T14:00:00Z"}
    first = browser.get(path, start_datetime="2025-06-11T00:00:00Z", **asked).json()
    assert (len(first["data"]), first["data"][0].keys()) == (5_000, {"bpm", "source", "timestamp"})
    token = first["next_token"]
    second = browser.get(path, start_datetime="2025-06-11T00:00:00Z", next_token=token, **asked).json()
    rows = [(row["timestamp"], row["bpm"]) for row in first["data"] + second["data"]]
    assert rows == sorted(set(rows))
    assert all(text.endswith("+00:00") for text, _ in rows)
    assert browser.get(path, start_datetime="2025-05-01T00:00:00Z", **asked).status_code == 400
    assert browser.get(path, start_datetime="2025-06-11T00:00:00Z", next_token="?", **asked).status_code == 400


@each_source
def test_the_control_api_moves_the_clock_and_turns_faults_on(browser: Browser) -> None:
    http = browser.http
    assert http.put("/control/clock", json={"now": "2025-06-13T00:00:00Z"}).json() == {"now": "2025-06-13T00:00:00Z"}
    assert http.put("/control/clock", json={"advance_s": 60}).json() == {"now": "2025-06-13T00:01:00Z"}
    assert http.put("/control/clock", json={"later": 1}).status_code == 400
    put = {"forbidden": {"next": 1}, "late_sync": {"share": 0.5, "until": "2025-06-13T00:00:00Z"}}
    assert http.put("/control/faults", json=put).json().keys() == put.keys()
    browser.sign_in()
    path = PLAIN[browser.cloud.source]
    assert [browser.get(path).status_code for _ in range(2)] == [403, 200]
    assert http.put("/control/faults", json={"late_sync": None}).json() == {}
    assert http.get("/control/requests").json() == {"403": 1, "200": 1}
    assert http.put("/control/faults", json={"earthquake": {}}).status_code == 400
    assert http.put("/control/faults", json={"forbidden": {"share": 2}}).status_code == 400


def test_faults_are_the_same_for_the_same_seed_and_have_their_time() -> None:
    one, same, other = Faults(1), Faults(1), Faults(2)
    for faults in (one, same, other):
        faults.set("late_sync", Fault(0.5, from_us=10, until_us=20))
    hits = [[faults.hits("late_sync", 15, hour) for hour in range(200)] for faults in (one, same, other)]
    assert hits[0] == hits[1] != hits[2]
    assert 60 < sum(hits[0]) < 140
    assert not any(one.hits("late_sync", now, hour) for now in (9, 20) for hour in range(200))


def test_options_spell_faults() -> None:
    assert parse_fault("late_sync") == ("late_sync", Fault(1.0))
    assert parse_fault("late_sync=0.25@2025-06-01T00:00:00Z/") == (
        "late_sync",
        Fault(0.25, from_us=at("2025-06-01T00:00:00")),
    )
    with pytest.raises(RejectedError, match="NAME=SHARE"):
        parse_fault("late_sync=often")

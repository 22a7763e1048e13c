"""Messages of a real MQTT broker are stored, each acknowledged after that."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.client import MQTTMessage

from pulsebase import telemetry
from pulsebase.access.access_file import AuditFilter
from pulsebase.access.caller import Caller
from pulsebase.access.keys import BROKER
from pulsebase.access.newcomers import NewcomerLimits, NewcomerShares
from pulsebase.etl import mqtt_subscriber
from pulsebase.etl.mqtt_subscriber import BrokerOptions, MqttSubscriber
from pulsebase.etl.transform.mqtt_messages import topic_rules
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.ingest.newcomers import Allowance
from pulsebase.model.errors import ErasedUserError, QueueFullError, SettingsError
from pulsebase.settings import Settings
from pulsebase.stores.memory import MemoryStore
from pulsebase.wiring import build, scheduled
from pulsebase.wiring_sources import broker_options
from tests.support.mqtt import Broker, Publisher, broker
from tests.support.process import wait_until

START_S = 1_705_312_800  # 2024-01-15T10:00:00Z
TOPICS = "pulse/{user}/{device}/{metric}, bed/{user}"
STATUS = "pulsebase/status"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("mqtt") / "broker.log") as started:
        yield started


class FullIngestor(Ingestor):
    """A write path that has no room as long as it is `full`, and then is told to try again at once."""

    full = False
    refused = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        #: What happens once when readings of these people come.
        self.failing: dict[str, Exception] = {}
        #: People whose readings fail always; None: everybody's do.
        self.poisoned: set[str] | None = set()

    def offer(self, *arguments: Any, **named: Any) -> Any:
        people = set(arguments[0].user_ids)
        for person in people & self.failing.keys():
            raise self.failing.pop(person)
        if self.poisoned is None or people & self.poisoned:
            self.refused += 1
            raise ArithmeticError("nobody knows why")
        if self.full:
            self.refused += 1
            time.sleep(0.01)
            raise QueueFullError("no room", 0)
        return super().offer(*arguments, **named)


class Place:
    """A store, and subscribers that write to it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.ingestor = FullIngestor(self.store, unknown=self.store.unknown_users)
        self.newcomers = NewcomerShares(NewcomerLimits())
        self.noted: list[tuple[tuple[str, ...], int]] = []

    @contextlib.contextmanager
    def subscribed(self, at: Broker, name: str, **options: Any) -> Iterator[MqttSubscriber]:
        chosen = BrokerOptions("127.0.0.1", at.port, client_id=name, status_topic=STATUS, most_pause_s=1)
        chosen = replace(chosen, **options)
        parts = topic_rules(TOPICS), self.ingestor, ReadingRules(), self._allowance
        with MqttSubscriber(chosen, *parts, note=self._note) as subscriber:
            yield subscriber

    def _note(self, people: Sequence[str], status: int) -> None:
        self.noted.append((tuple(people), status))

    def _allowance(self) -> Allowance | None:
        return self.newcomers.of(Caller(BROKER))

    def stored(self, user_id: str) -> list[tuple[Any, ...]]:
        rows = self.store.stored().to_pylist()
        return sorted(
            (row["device_id"], row["metric"], row["time_us"] // 1_000_000 - START_S, row["value"] / 100)
            for row in rows
            if row["user_id"] == user_id
        )


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.ingestor.close()


@pytest.fixture
def publisher(shared: Broker) -> Iterator[Publisher]:
    made = Publisher(shared.port, STATUS)
    yield made
    made.close()


def sent(second: int, value: float) -> str:
    return f'{{"value": {value}, "timestamp": {START_S + second}}}'


def until_heard(place: Place, publisher: Publisher) -> None:
    """Wait until the broker knows of the subscription."""

    def heard() -> bool:
        publisher.publish("pulse/probe/watch/heart_rate", sent(0, 60))
        return bool(place.stored("probe"))

    wait_until(heard, "the subscription")


def until_stored(place: Place, user_id: str, count: int) -> list[tuple[Any, ...]]:
    wait_until(lambda: len(place.stored(user_id)) >= count, f"{count} readings of {user_id}")
    return place.stored(user_id)


def refusals(field: str) -> float:
    labels = {"source": "mqtt", "field": field}
    return telemetry.REGISTRY.get_sample_value("pulsebase_ingest_readings_rejected_total", labels) or 0


def test_messages_are_stored_and_others_counted(place: Place, shared: Broker, publisher: Publisher) -> None:
    before = refusals("other"), refusals("value")
    with place.subscribed(shared, "stored"):
        until_heard(place, publisher)
        wait_until(lambda: publisher.seen.get(STATUS) == b"online", "the greeting")
        publisher.publish("pulse/ann/watch/heart_rate", sent(1, 61))
        publisher.publish("pulse/ann/Charge 6/spo2", sent(2, 97.5))
        publisher.publish("pulse/ann/watch/battery", "80")
        publisher.publish("pulse/ann/watch/heart_rate", "off")
        publisher.publish("pulse/ann/watch/heart_rate", sent(3, 500))
        publisher.publish("bed/ann", f'{{"bpm": 58, "respiratory_rate": 14, "time": {START_S + 4}}}')
        began_s = time.time()
        publisher.publish("pulse/bob/watch/heart_rate", "64")
        (now,) = until_stored(place, "bob", 1)
    assert began_s - 1 <= now[2] + START_S <= time.time()
    assert place.stored("ann") == [
        ("Charge-6", "oxygen_saturation", 2, 97.5),
        ("mqtt", "heart_rate", 4, 58.0),
        ("mqtt", "respiratory_rate", 4, 14.0),
        ("watch", "heart_rate", 1, 61.0),
    ]
    assert (refusals("other"), refusals("value")) == (before[0] + 1, before[1] + 1)
    wait_until(lambda: publisher.seen[STATUS] == b"offline", "the goodbye")


def test_a_message_that_was_retained_counts_only_with_a_time_of_its_own(
    place: Place, shared: Broker, publisher: Publisher
) -> None:
    publisher.publish("pulse/cleo/watch/heart_rate", "60", retain=True)
    publisher.publish("pulse/cleo/ring/heart_rate", sent(5, 62), retain=True)
    with place.subscribed(shared, "retained"):
        until_heard(place, publisher)
        until_stored(place, "cleo", 1)
        publisher.publish("pulse/cleo/watch/spo2", sent(6, 96))
        assert until_stored(place, "cleo", 2) == [
            ("ring", "heart_rate", 5, 62.0),
            ("watch", "oxygen_saturation", 6, 96.0),
        ]
    for device in ("watch", "ring"):
        publisher.publish(f"pulse/cleo/{device}/heart_rate", b"", retain=True)


def test_what_comes_while_nobody_listens_is_kept_by_the_broker(
    place: Place, shared: Broker, publisher: Publisher
) -> None:
    with place.subscribed(shared, "away"):
        until_heard(place, publisher)
    publisher.publish("pulse/dan/watch/heart_rate", sent(1, 61))
    with place.subscribed(shared, "away"):
        assert until_stored(place, "dan", 1) == [("watch", "heart_rate", 1, 61.0)]


def test_new_people_beyond_the_limit_are_refused_and_others_stored(
    place: Place, shared: Broker, publisher: Publisher
) -> None:
    before = refusals("user_id")
    place.newcomers = NewcomerShares(NewcomerLimits(per_day=2, share=1))  # the probe is one of them
    with place.subscribed(shared, "people"):
        until_heard(place, publisher)
        place.ingestor.full = True  # so that all of these are stored together
        for user_id in ("gus", "hal", "ida", "probe"):
            publisher.publish(f"pulse/{user_id}/watch/heart_rate", sent(7, 70))
        place.ingestor.full = False
        until_stored(place, "probe", 2)
    assert sum(bool(place.stored(user_id)) for user_id in ("gus", "hal", "ida")) == 1
    assert refusals("user_id") == before + 2


def test_a_message_is_acknowledged_after_it_is_stored(place: Place, shared: Broker, publisher: Publisher) -> None:
    with place.subscribed(shared, "acknowledged"):
        until_heard(place, publisher)
        place.ingestor.full = True
        publisher.publish("pulse/eva/watch/heart_rate", sent(1, 61))
        wait_until(lambda: place.ingestor.refused > 1, "a message that finds no room")
    assert place.stored("eva") == [], "it went away without having stored it"
    place.ingestor.full = False
    with place.subscribed(shared, "acknowledged"):
        until_stored(place, "eva", 1)
        place.ingestor.full = True
        before = place.ingestor.refused
        publisher.publish("pulse/eva/watch/heart_rate", sent(2, 62))
        wait_until(lambda: place.ingestor.refused > before, "another one")
        place.ingestor.full = False
        assert [row[3] for row in until_stored(place, "eva", 2)] == [61.0, 62.0], "it need not go away for that"


@pytest.mark.parametrize("error", [ErasedUserError(), RuntimeError("nobody knows why")])
def test_what_fails_once_is_tried_again_while_connected(
    place: Place, shared: Broker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The broker sends what is not acknowledged only after a reconnection, and fewer and fewer others meanwhile."""
    monkeypatch.setattr(mqtt_subscriber, "_PAUSE_S", 0.0)
    with place.subscribed(shared, f"tried-again-{type(error).__name__}"):
        until_heard(place, publisher)
        person = f"may-{type(error).__name__}"
        place.ingestor.failing[person] = error
        publisher.publish(f"pulse/{person}/watch/heart_rate", sent(1, 61))
        assert until_stored(place, person, 1) == [("watch", "heart_rate", 1, 61.0)]
        assert place.ingestor.failing == {}


def given_up() -> float:
    return telemetry.REGISTRY.get_sample_value("pulsebase_mqtt_readings_given_up_total") or 0


def test_a_reading_that_always_fails_is_given_up_once_others_can_be_stored(
    place: Place, shared: Broker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_subscriber, "_PAUSE_S", 0.0)
    before = given_up()
    place.ingestor.poisoned = {"jo"}
    with place.subscribed(shared, "poisoned"):
        until_heard(place, publisher)
        place.ingestor.full = True  # so that these come together
        for second, user_id in enumerate(("kim", "jo", "lea")):
            publisher.publish(f"pulse/{user_id}/watch/heart_rate", sent(second, 61))
        place.ingestor.full = False
        until_stored(place, "kim", 1)
        until_stored(place, "lea", 1)
        publisher.publish("pulse/kim/watch/heart_rate", sent(9, 62))
        until_stored(place, "kim", 2)
        wait_until(lambda: given_up() == before + 1, "the reading to be given up")
    assert place.stored("jo") == []
    assert {(("jo",), 500), (("kim",), 202), (("lea",), 202)} <= set(place.noted)
    assert (("jo",), 202) not in place.noted
    place.ingestor.poisoned = set()
    with place.subscribed(shared, "poisoned"):
        until_heard(place, publisher)
    assert place.stored("jo") == [], "it was acknowledged"


def test_nothing_is_given_up_while_nothing_can_be_stored(
    place: Place, shared: Broker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_subscriber, "_PAUSE_S", 0.01)
    monkeypatch.setattr(mqtt_subscriber, "_MOST_HELD", 2)
    before = given_up()
    with place.subscribed(shared, "broken"):
        until_heard(place, publisher)
        place.ingestor.poisoned, failed = None, place.ingestor.refused
        for second in range(4):
            publisher.publish("pulse/max/watch/heart_rate", sent(second, 61))
        wait_until(lambda: place.ingestor.refused > failed + 12, "some tries")
        assert place.stored("max") == []
        place.ingestor.poisoned = set()
        assert [row[2] for row in until_stored(place, "max", 4)] == [0, 1, 2, 3]
    assert given_up() == before


def test_a_topic_that_is_no_text_is_refused_and_others_are_stored(place: Place) -> None:
    rules = topic_rules(TOPICS)
    nowhere = BrokerOptions("127.0.0.1", 1)
    subscriber = MqttSubscriber(nowhere, rules, place.ingestor, ReadingRules(), lambda: None, note=lambda *_: None)
    before = refusals("other")
    for topic in (b"pulse/\xff/watch/heart_rate", b"pulse/odd \t#/watch/heart_rate"):
        message = MQTTMessage(1, topic)
        message.payload = sent(1, 61).encode()
        subscriber._on_message(subscriber._client, None, message)
    subscriber._store(subscriber._next())
    assert refusals("other") == before + 1
    assert place.stored("odd \t#") == []


def test_the_broker_tells_of_a_subscriber_that_is_gone(place: Place, shared: Broker, publisher: Publisher) -> None:
    with place.subscribed(shared, "gone") as subscriber:
        wait_until(lambda: publisher.seen.get(STATUS) == b"online", "the greeting")
        publisher.heard.clear()
        connection: Any = subscriber._client.socket()
        connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: publisher.heard[:2] == [b"offline", b"online"], "the last will, and the next greeting")


def test_a_broker_that_is_killed_and_started_again_is_found_again(place: Place, tmp_path: Path) -> None:
    with broker(tmp_path / "broker.log") as mine, place.subscribed(mine, "found"):
        publisher = Publisher(mine.port)
        until_heard(place, publisher)
        publisher.close()
        mine.kill()
        wait_until(lambda: not _connected(), "the loss to be noticed")
        mine.start()
        wait_until(_connected, "the subscriber")
        publisher = Publisher(mine.port)

        def heard_again() -> bool:
            publisher.publish("pulse/fay/watch/heart_rate", sent(1, 61))
            return bool(place.stored("fay"))

        wait_until(heard_again, "the subscription")
        publisher.close()


def _connected() -> bool:
    return telemetry.REGISTRY.get_sample_value("pulsebase_mqtt_connected") == 1


# --- TLS ------------------------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "broker.pem", folder / "broker.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return paths


# The client library leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_is_trusted_by_its_certificate_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pem, key = certificate(tmp_path)
    with broker(tmp_path / "broker.log", pem, key) as mine:
        settings: dict[str, Any] = {"store_url": "memory://", "mqtt_url": f"mqtts://127.0.0.1:{mine.port}"}
        with build(Settings(_env_file=None, **settings)) as parts, scheduled(parts):
            wait_until(lambda: "the MQTT broker cannot be reached" in caplog.text, "the refusal")
            assert not _connected()
        gc.collect()
        with build(Settings(_env_file=None, mqtt_ca_file=pem, **settings)) as parts, scheduled(parts):
            wait_until(_connected, "the connection")
        assert not _connected()


def test_messages_are_in_the_audit_as_the_brokers(tmp_path: Path, shared: Broker, publisher: Publisher) -> None:
    settings = Settings(
        _env_file=None,
        store_url="memory://",
        mqtt_url=f"mqtt://127.0.0.1:{shared.port}",
        mqtt_client_id="audited",
        mqtt_topics="audited/{user}",
        access="on",
        access_dir=tmp_path,
    )
    with build(settings) as parts, scheduled(parts):

        def noted() -> set[tuple[str, str, str, int, str | None]]:
            publisher.publish("audited/ann", '{"bpm": 61}')
            publisher.publish("audited/ann", "off")
            return {
                (each.key, each.method, each.route, each.status, each.user_id)
                for each in parts.services.access.audit.entries(AuditFilter(limit=9))
            }

        wait_until(lambda: len(noted()) > 1, "two outcomes")
        assert noted() == {
            ("mqtt-broker", "PUBLISH", "mqtt", 202, "ann"),
            ("mqtt-broker", "PUBLISH", "mqtt", 400, None),
        }


def test_we_show_a_broker_our_certificate(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    settings: dict[str, Any] = {"store_url": "memory://", "mqtt_url": "mqtts://broker", "mqtt_ca_file": pem}
    chosen = Settings(_env_file=None, mqtt_cert_file=pem, mqtt_key_file=key, **settings)
    tls = broker_options(chosen, "mqtts://broker").tls
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(pem, key)
    assert tls is not None
    ours, theirs = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    us = tls.wrap_bio(*ours, server_hostname="127.0.0.1")
    broker_ = server.wrap_bio(*theirs, server_side=True)
    for _ in range(4):
        for side in (us, broker_):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        theirs[0].write(ours[1].read())
        ours[0].write(theirs[1].read())
    assert broker_.getpeercert()["subject"] == ((("commonName", "broker"),),)  # type: ignore[index]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mqtt_url": "http://broker"}, "PULSEBASE_MQTT_URL: must be mqtt://host:port or mqtts://host:port"),
        ({"mqtt_url": "mqtt://"}, "PULSEBASE_MQTT_URL: must be mqtt://host:port or mqtts://host:port"),
        ({"mqtt_url": "mqtt://broker:x"}, "PULSEBASE_MQTT_URL: "),
        ({"mqtt_url": "mqtt://me:secret/1@broker"}, "PULSEBASE_MQTT_URL: "),
        ({"mqtt_url": "mqtt://me:se@cret#1@broker"}, "PULSEBASE_MQTT_URL: "),
        ({"mqtt_url": "mqtts://broker", "mqtt_ca_file": "none.pem"}, "PULSEBASE_MQTT_CA_FILE: there is no such file"),
        (
            {"mqtt_url": "mqtts://broker", "mqtt_cert_file": "none.pem"},
            "PULSEBASE_MQTT_CERT_FILE: there is no such file",
        ),
        (
            {"mqtt_url": "mqtts://broker", "mqtt_key_file": "a.key"},
            "PULSEBASE_MQTT_KEY_FILE: takes PULSEBASE_MQTT_CERT_FILE",
        ),
        (
            {"mqtt_url": "mqtts://broker", "mqtt_cert_file": __file__},
            "PULSEBASE_MQTT_CERT_FILE and PULSEBASE_MQTT_KEY_FILE: ",
        ),
        ({"mqtt_url": "mqtt://broker", "mqtt_cert_file": "a.pem"}, "PULSEBASE_MQTT_URL: certificates take an address"),
        ({"mqtt_url": "mqtt://broker", "mqtt_password_file": "none"}, "PULSEBASE_MQTT_PASSWORD_FILE: "),
        ({"mqtt_url": "mqtt://broker", "mqtt_topics": "pulse"}, "PULSEBASE_MQTT_TOPICS: pulse: needs the level"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    chosen = Settings(_env_file=None, store_url="memory://", **settings)
    with build(chosen) as parts, pytest.raises(SettingsError) as caught, scheduled(parts):
        pass
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)

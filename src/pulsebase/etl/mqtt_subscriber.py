"""Subscribe to an MQTT broker, and store what its messages say.

A message is acknowledged after its readings are durable, so a broker sends what was under way again: to this process
after a failure, or to the next one, since the session outlasts the connection.
"""

from __future__ import annotations

import logging
import queue
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from pulsebase import telemetry
from pulsebase.etl.transform.mqtt_messages import MessageError, MessageReading, TopicRule
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.items import Parsed, columns_of_parsed
from pulsebase.ingest.newcomers import Allowance
from pulsebase.model.errors import (
    ErasedUserError,
    NewPeopleError,
    PulsebaseError,
    RetryLaterError,
    StopError,
    TooManyNewPeopleError,
)
from pulsebase.model.metrics import METRICS

logger = logging.getLogger(__name__)

SOURCE = "mqtt"
_QOS = 1
#: Messages that may wait here; then the broker has to.
_MOST_WAITING = 10_000
#: Messages that are stored together at most.
_AT_ONCE = 5_000
_LOOK_S = 0.2
_KEEPALIVE_S = 60
_LONGEST_PAUSE_S = 60
#: How long what could not be stored for an unknown reason waits for the next try.
_PAUSE_S = 5.0
#: How often that is tried before the readings are tried by halves, to find those that fail, and how many of these wait
#: for others to succeed.
_TRIES = 3
_MOST_HELD = 1_000
#: What becomes of a message, as the audit has it.
_ACCEPTED, _REFUSED, _FAILED = 202, 400, 500
#: How long saying goodbye may take.
_GOODBYE_S = 2.0
#: Kinds of unreadable messages that are logged, each once.
_MOST_LOGGED = 100


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is, and who we are to it.

    Attributes:
        tls: who may vouch for the broker, and our own certificate, if we have one; None: not encrypted.
        client_id: the name of the session that the broker keeps for us.
        status_topic: where `online` stands while we are connected, and else `offline`; empty: nowhere.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: str | None = None
    client_id: str = "pulsebase"
    status_topic: str = ""
    most_pause_s: int = _LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A message, when it came, and over which of the connections, since its number is of that one alone."""

    message: MQTTMessage
    time_us: int
    connection: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A reading that could not be stored for an unknown reason, and how many writes had succeeded by then."""

    metric: str
    parsed: Parsed
    arrived: _Arrived
    writes: int


class MqttSubscriber:
    """One thread of the client library for the network, and one that stores what came."""

    def __init__(
        self,
        options: BrokerOptions,
        topics: Sequence[TopicRule],
        ingestor: Ingestor,
        rules: ReadingRules,
        allowance: Callable[[], Allowance | None],
        *,
        note: Callable[[Sequence[str], int], None],
    ) -> None:
        """`allowance` says how many new people what is stored next may bring. `note` is told of each message: whose
        readings it has, a person for each (none if it cannot be read), and what became of it, as a status of HTTP.
        """
        self._options, self._topics = options, topics
        self._ingestor, self._rules, self._allowance, self._note = ingestor, rules, allowance, note
        self._origin = ingestor.register_origin("push", SOURCE)
        self._waiting: queue.Queue[_Arrived] = queue.Queue(_MOST_WAITING)
        self._stop = threading.Event()
        self._connection = 0
        self._logged: set[tuple[str, str, str]] = set()
        self._writes = 0
        self._held: list[_Held] = []
        self._client = self._made_client()
        self._thread = threading.Thread(target=self._run, name="pulsebase-mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect, and go on trying until that succeeds."""
        self._client.connect_async(self._options.host, self._options.port, _KEEPALIVE_S)
        self._client.loop_start()
        self._thread.start()

    def close(self) -> None:
        """Finish what is being stored, and say goodbye. The broker keeps what comes meanwhile. Calling it again does
        nothing.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._client.is_connected():
            self._tell("offline", wait_s=_GOODBYE_S)
        self._client.disconnect()
        self._client.loop_stop()
        telemetry.MQTT_CONNECTED.set(0)

    def __enter__(self) -> MqttSubscriber:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _made_client(self) -> Client:
        options = self._options
        client = Client(CallbackAPIVersion.VERSION2, options.client_id, clean_session=False, manual_ack=True)
        if options.user is not None:
            client.username_pw_set(options.user, options.password)
        if options.tls is not None:
            client.tls_set_context(options.tls)
        if options.status_topic:
            client.will_set(options.status_topic, "offline", _QOS, retain=True)
        client.reconnect_delay_set(1, options.most_pause_s)
        client.on_connect, client.on_connect_fail = self._on_connect, self._on_connect_fail
        client.on_disconnect, client.on_message = self._on_disconnect, self._on_message
        client.on_subscribe = self._on_subscribe
        return client

    # --- on the thread of the network

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connection += 1
        if reason.is_failure:
            logger.warning("the MQTT broker refuses the connection: %s", reason)
            return
        telemetry.MQTT_CONNECTED.set(1)
        client.subscribe([(topic, _QOS) for topic in dict.fromkeys(rule.filter for rule in self._topics)])
        self._tell("online")
        logger.info("connected to the MQTT broker")

    def _on_connect_fail(self, _client: Client, _userdata: Any) -> None:
        logger.warning("the MQTT broker cannot be reached")

    def _on_disconnect(self, _client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connection += 1
        telemetry.MQTT_CONNECTED.set(0)
        if not self._stop.is_set():
            logger.warning("the connection to the MQTT broker ended: %s", reason)

    def _on_subscribe(self, _client: Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = sum(reason.is_failure for reason in reasons)
        if refused:
            logger.warning("the MQTT broker refuses %d of %d subscriptions: see what it allows", refused, len(reasons))

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        arrived = _Arrived(message, time.time_ns() // 1_000, self._connection)
        while not self._stop.is_set():  # a broker that waits for us keeps its messages
            try:
                self._waiting.put(arrived, timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def _tell(self, status: str, wait_s: float = 0) -> None:
        if not self._options.status_topic:
            return
        sent = self._client.publish(self._options.status_topic, status, _QOS, retain=True)
        if wait_s and sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            sent.wait_for_publish(wait_s)

    # --- on our own thread

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                came = self._next()
                if came:
                    self._store(came)
            except Exception:  # never end this thread; the broker sends what came again after a reconnection
                logger.exception("messages of the MQTT broker were not acknowledged")

    def _next(self) -> list[_Arrived]:
        """Return the messages that wait, once there is one."""
        try:
            came = [self._waiting.get(timeout=_LOOK_S)]
        except queue.Empty:
            return []
        while len(came) < _AT_ONCE:
            try:
                came.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return came

    def _store(self, came: Sequence[_Arrived]) -> None:
        """Store the readings of messages, and acknowledge these; not if it had to be given up."""
        found: dict[str, list[Parsed]] = {}
        people: list[set[str]] = []
        for place, each in enumerate(came):
            people.append(set())
            for reading in self._readings(each):
                time_us = each.time_us if reading.time_us is None else reading.time_us
                parsed = (place, reading.user_id, reading.device_id, time_us, reading.value, reading.confidence)
                found.setdefault(reading.metric, []).append(parsed)
                people[-1].add(reading.user_id)
        failed: list[tuple[str, Parsed]] = []
        if not all(self._stored(metric, parsed, failed) for metric, parsed in found.items()):
            return
        self._held += [_Held(metric, parsed, came[parsed[0]], self._writes) for metric, parsed in failed]
        held = {id(each.arrived) for each in self._held}
        for each, whose in zip(came, people, strict=True):
            if id(each) not in held:
                self._acknowledge(each)
                if whose:
                    self._note(sorted(whose), _ACCEPTED)
        self._try_held_again()

    def _acknowledge(self, arrived: _Arrived) -> None:
        if arrived.connection == self._connection:
            self._client.ack(arrived.message.mid, arrived.message.qos)

    def _try_held_again(self) -> None:
        """Try readings again that could not be stored, once others could: what fails then fails by itself, and would be
        in the way of everything that comes, so it is given up. What came over a connection that ended comes again.
        """
        waiting, self._held = self._held, []
        for place, each in enumerate(waiting):
            if each.arrived.connection != self._connection:
                continue
            if each.writes == self._writes or self._stop.is_set():
                self._held.append(each)
                continue
            failed: list[tuple[str, Parsed]] = []
            if not self._stored(each.metric, [each.parsed], failed):
                self._held.append(each)
                continue
            if failed:
                count_readings(SOURCE, 0, {"other": 1})
                telemetry.MQTT_GIVEN_UP.inc()
                logger.error("a reading of the MQTT broker was given up: it cannot be stored, while others can")
            if all(other.arrived is not each.arrived for other in (*waiting[place + 1 :], *self._held)):
                self._acknowledge(each.arrived)
                self._note([each.parsed[1]], _FAILED if failed else _ACCEPTED)

    def _readings(self, arrived: _Arrived) -> Iterable[MessageReading]:
        """Return the readings of a message. A message that the broker retained for us is of an unknown time, unless it
        says which.
        """
        message = arrived.message
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker should let nobody publish there
            count_readings(SOURCE, 0, {"topic": 1})
            self._log("topic", "topic", "is not UTF-8")
            return ()
        for rule in self._topics:
            try:
                readings = rule.readings(topic, bytes(message.payload))
            except MessageError as error:
                count_readings(SOURCE, 0, Counter([error.field]))
                self._log(rule.template, error.field, str(error))
                self._note((), _REFUSED)
                return ()
            if readings:
                return [each for each in readings if not message.retain or each.time_us is not None]
        telemetry.MQTT_PASSED_OVER.inc()
        return ()

    def _stored(
        self, metric: str, parsed: Sequence[Parsed], failed: list[tuple[str, Parsed]], *, among_others: bool = False
    ) -> bool:
        """Store readings of a metric, as often as it takes. Return False if we have to stop before. Readings that fail
        for an unknown reason are added to `failed`, once the others among them were found and stored. `among_others`
        says that they are a part of a batch that failed.
        """
        rules = self._rules.of_metric(METRICS[metric], "value")
        tries = 1 if among_others else _TRIES
        while not self._stop.is_set():
            try:
                offered = self._ingestor.offer(
                    columns_of_parsed(parsed), rules, self._origin, SOURCE, self._allowance()
                )
                outcome = offered.result()
            except (NewPeopleError, TooManyNewPeopleError) as error:
                return self._stored_by_person(metric, parsed, failed, error)
            except RetryLaterError as error:
                self._stop.wait(error.retry_after_s)
                continue
            except StopError as error:
                logger.error("the store needs a person: %s", error)
                self._stop.wait(_LONGEST_PAUSE_S)
                continue
            except ErasedUserError:  # somebody was erased since the check; the next one refuses only their readings
                self._stop.wait(_LOOK_S)
                continue
            except Exception:  # unacknowledged messages would keep the broker from sending others
                if not among_others:
                    logger.exception("messages of the MQTT broker were not stored; trying again")
                tries -= 1
                if tries > 0 or (len(parsed) == 1 and len(self._held) + len(failed) >= _MOST_HELD):
                    self._stop.wait(_PAUSE_S)
                    continue
                return self._stored_apart(metric, parsed, failed)
            self._writes += 1
            for refused in outcome.errors:
                self._log(metric, refused.field, refused.reason)
            return True
        return False

    def _stored_apart(self, metric: str, parsed: Sequence[Parsed], failed: list[tuple[str, Parsed]]) -> bool:
        """Store each half by itself, to find the readings that fail."""
        if len(parsed) == 1:
            failed.append((metric, parsed[0]))
            return True
        half = len(parsed) // 2
        return all(self._stored(metric, part, failed, among_others=True) for part in (parsed[:half], parsed[half:]))

    def _stored_by_person(
        self, metric: str, parsed: Sequence[Parsed], failed: list[tuple[str, Parsed]], error: PulsebaseError
    ) -> bool:
        """Store what is of people who may be stored, after somebody among them may not be."""
        people = dict.fromkeys(user_id for _, user_id, *_ in parsed)
        if len(people) == 1:
            count_readings(SOURCE, 0, {NewPeopleError.FIELD: len(parsed)})
            self._log(metric, NewPeopleError.FIELD, str(error))
            return True
        return all(self._stored(metric, [each for each in parsed if each[1] == person], failed) for person in people)

    def _log(self, place: str, field: str, reason: str) -> None:
        """Log why messages are refused, once for each reason; no message and no topic is in it."""
        kind = (place, field, reason)
        if kind not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(kind)
            logger.warning("messages of the MQTT broker are refused: %s: %s %s", *kind)

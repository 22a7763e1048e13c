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
from pathlib import Path
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
#: How long saying goodbye may take.
_GOODBYE_S = 2.0
#: Kinds of unreadable messages that are logged, each once.
_MOST_LOGGED = 100


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is, and who we are to it.

    Attributes:
        tls: whether the connection is encrypted and the broker's certificate is checked.
        ca_file: who may vouch for it; None: whom the system trusts.
        client_id: the name of the session that the broker keeps for us.
        status_topic: where `online` stands while we are connected, and else `offline`; empty: nowhere.
    """

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    client_id: str = "pulsebase"
    status_topic: str = ""
    most_pause_s: int = _LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A message, when it came, and over which of the connections, since its number is of that one alone."""

    message: MQTTMessage
    time_us: int
    connection: int


class MqttSubscriber:
    """One thread of the client library for the network, and one that stores what came."""

    def __init__(
        self,
        options: BrokerOptions,
        topics: Sequence[TopicRule],
        ingestor: Ingestor,
        rules: ReadingRules,
        allowance: Callable[[], Allowance | None],
    ) -> None:
        """`allowance` says how many new people what is stored next may bring."""
        self._options, self._topics = options, topics
        self._ingestor, self._rules, self._allowance = ingestor, rules, allowance
        self._origin = ingestor.register_origin("push", SOURCE)
        self._waiting: queue.Queue[_Arrived] = queue.Queue(_MOST_WAITING)
        self._stop = threading.Event()
        self._connection = 0
        self._logged: set[tuple[str, str, str]] = set()
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
        if options.tls:
            client.tls_set_context(ssl.create_default_context(cafile=options.ca_file))
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
        for place, each in enumerate(came):
            for reading in self._readings(each):
                time_us = each.time_us if reading.time_us is None else reading.time_us
                parsed = (place, reading.user_id, reading.device_id, time_us, reading.value, reading.confidence)
                found.setdefault(reading.metric, []).append(parsed)
        if all(self._stored(metric, parsed) for metric, parsed in found.items()):
            for each in came:
                if each.connection == self._connection:
                    self._client.ack(each.message.mid, each.message.qos)

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
                return ()
            if readings:
                return [each for each in readings if not message.retain or each.time_us is not None]
        telemetry.MQTT_PASSED_OVER.inc()
        return ()

    def _stored(self, metric: str, parsed: Sequence[Parsed]) -> bool:
        """Store readings of a metric, as often as it takes. Return False if we have to stop before."""
        rules = self._rules.of_metric(METRICS[metric], "value")
        while not self._stop.is_set():
            try:
                offered = self._ingestor.offer(
                    columns_of_parsed(parsed), rules, self._origin, SOURCE, self._allowance()
                )
                outcome = offered.result()
            except (NewPeopleError, TooManyNewPeopleError) as error:
                return self._stored_by_person(metric, parsed, error)
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
                logger.exception("messages of the MQTT broker were not stored; trying again")
                self._stop.wait(_PAUSE_S)
                continue
            for refused in outcome.errors:
                self._log(metric, refused.field, refused.reason)
            return True
        return False

    def _stored_by_person(self, metric: str, parsed: Sequence[Parsed], error: PulsebaseError) -> bool:
        """Store what is of people who may be stored, after somebody among them may not be."""
        people = dict.fromkeys(user_id for _, user_id, *_ in parsed)
        if len(people) == 1:
            count_readings(SOURCE, 0, {NewPeopleError.FIELD: len(parsed)})
            self._log(metric, NewPeopleError.FIELD, str(error))
            return True
        return all(self._stored(metric, [each for each in parsed if each[1] == person]) for person in people)

    def _log(self, place: str, field: str, reason: str) -> None:
        """Log why messages are refused, once for each reason; no message and no topic is in it."""
        kind = (place, field, reason)
        if kind not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(kind)
            logger.warning("messages of the MQTT broker are refused: %s: %s %s", *kind)

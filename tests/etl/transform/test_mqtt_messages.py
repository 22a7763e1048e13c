"""What topics and payloads of MQTT mean."""

from __future__ import annotations

import re

import pytest

from pulsebase.etl.transform.mqtt_messages import MOST_PAYLOAD_BYTES, MessageError, MessageReading, topic_rules

AT_S = 1_705_312_800  # 2024-01-15T10:00:00Z
AT_US = AT_S * 1_000_000


def read(template: str, topic: str, payload: str | bytes) -> list[MessageReading]:
    (rule,) = topic_rules(template)
    return list(rule.readings(topic, payload if isinstance(payload, bytes) else payload.encode()))


def of(metric: str, value: float, time_us: int | None = None, confidence: int = -1) -> MessageReading:
    return MessageReading(metric, "ann", "watch", time_us, value, confidence)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ("72", of("heart_rate", 72)),
        (" 72.5\n", of("heart_rate", 72.5)),
        ('{"value": 72}', of("heart_rate", 72)),
        ('{"bpm": 72, "battery": 80}', of("heart_rate", 72)),
        ('{"heart_rate": 72, "confidence": 3}', of("heart_rate", 72, None, 3)),
        ('{"value": 72, "confidence": 9}', of("heart_rate", 72, None, 100)),
        ('{"value": 72, "timestamp": "2024-01-15T11:00:00+01:00"}', of("heart_rate", 72, AT_US)),
        (f'{{"value": 72, "time": {AT_S}}}', of("heart_rate", 72, AT_US)),
        (f'{{"value": 72, "time": {AT_S}.25}}', of("heart_rate", 72, AT_US + 250_000)),
        (f'{{"value": 72, "timestamp": {AT_S}500}}', of("heart_rate", 72, AT_US + 500_000)),
    ],
)
def test_a_payload_is_a_number_or_an_object(payload: str, found: MessageReading) -> None:
    assert read("pulse/{user}/{device}/{metric}", "pulse/ann/watch/heart-rate", payload) == [found]
    assert read("{device}/+/{user}=heart_rate", "watch/x/ann", payload) == [found]
    assert read("strap/hr=heart_rate@ann/watch", "strap/hr", payload) == [found]


def test_an_object_may_have_several_metrics() -> None:
    payload = '{"bpm": 61, "spo2": 97, "respiratory_rate": null, "linkquality": 80, "occupancy": true}'
    found = read("bed/{user}/{device}", "bed/ann/watch", payload)
    assert found == [of("heart_rate", 61), of("oxygen_saturation", 97)]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"bpm": 61, "heart_rate": 62}', "is the metric that bpm is too"),
        ('{"spo2": 97, "oxygen_saturation": 97}', "is the metric that spo2 is too"),
    ],
)
def test_two_values_of_one_metric_are_refused(payload: str, said: str) -> None:
    with pytest.raises(MessageError, match=said) as caught:
        read("bed/{user}/{device}", "bed/ann/watch", payload)
    assert caught.value.field in ("heart_rate", "oxygen_saturation")


def test_what_a_topic_does_not_say_is_said_behind_it_or_is_of_this_broker() -> None:
    assert read("hr/{user}=heart_rate", "hr/ann", "60")[0].device_id == "mqtt"
    assert read("{device}=heart_rate@ann@example.org", "Polar H10 7A", "60") == [
        MessageReading("heart_rate", "ann@example.org", "Polar-H10-7A", None, 60)
    ]


@pytest.mark.parametrize(
    ("template", "topic", "payload"),
    [
        ("pulse/{user}/{metric}", "pulse/ann/battery", "80"),
        ("pulse/{user}/{metric}", "pulse/ann/heart_rate/raw", "80"),
        ("pulse/{user}/{metric}", "other/ann/heart_rate", "80"),
        ("pulse/{user}", "pulse/ann", '{"battery": 80}'),
        ("pulse/{user}=spo2", "pulse/ann", '{"value": null}'),
    ],
)
def test_what_is_of_no_metric_has_no_reading(template: str, topic: str, payload: str) -> None:
    assert read(template, topic, payload) == []


@pytest.mark.parametrize(
    ("payload", "field", "said"),
    [
        ("", "payload", "is neither a number nor JSON"),
        ("off", "payload", "is neither a number nor JSON"),
        ("72 bpm", "payload", "is neither a number nor JSON"),
        ("[72]", "payload", "must be a number or a JSON object"),
        (b"\xff", "payload", "is neither a number nor JSON"),
        ("٧٢", "payload", "is neither a number nor JSON"),
        ("[" * 60_000, "payload", "is neither a number nor JSON"),
        ("7" * (MOST_PAYLOAD_BYTES + 1), "payload", "is longer than 65536 bytes"),
        ("{}", "value", "is required"),
        ('{"value": "72"}', "value", "must be a number"),
        ('{"bpm": true}', "bpm", "must be a number"),
        ('{"value": 72, "time": "10:00"}', "time", "must be an ISO 8601 time such as 2024-01-15T10:00:00Z"),
        ('{"value": 72, "time": -1}', "time", "must be an ISO 8601 time, or seconds or milliseconds since 1970"),
        ('{"value": 72, "timestamp": 1e300}', "timestamp", "must be an ISO 8601 time, or seconds or"),
    ],
)
def test_an_unreadable_payload_is_refused_with_the_field_and_the_reason(
    payload: str | bytes, field: str, said: str
) -> None:
    with pytest.raises(MessageError) as caught:
        read("pulse/{user}/{metric}", "pulse/ann/heart_rate", payload)
    assert caught.value.field == field
    assert str(caught.value).startswith(said)


def test_a_number_without_a_metric_is_refused() -> None:
    with pytest.raises(MessageError, match="neither topic nor template says of which metric"):
        read("pulse/{user}", "pulse/ann", "72")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pulse/{device}", "needs the level {user}, or @ and the person's id at the end"),
        ("pulse/{user}/#", "a template has levels between slashes"),
        ("pulse/{user}/a+", "a template has levels between slashes"),
        ("pulse/{who}", "a level may be {user}, {device} or {metric}, each of them once"),
        ("{user}/{user}", "a level may be {user}, {device} or {metric}, each of them once"),
        ("pulse-{user}@ann", "a placeholder is a whole level"),
        ("{user}@ann", "the user is said twice"),
        ("{user}/{device}@/x", "the device is said twice"),
        ("{user}/{metric}=spo2", "the metric is said twice"),
        ("{user}=pulse", "pulse is no metric"),
        ("x@an n", "the user must be 1–128 characters"),
        ("=spo2@ann", "a template has levels between slashes"),
    ],
)
def test_a_wrong_template_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        topic_rules(f"fine/{{user}}, {text}")


def test_topics_are_asked_for_as_brokers_know_them() -> None:
    rules = topic_rules("a/{user}/{metric}, b/+/{user}=spo2, ")
    assert [rule.filter for rule in rules] == ["a/+/+", "b/+/+"]

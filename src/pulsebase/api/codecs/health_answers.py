"""Answers about series as FHIR and Open mHealth, sent as they are made: as text they are far larger."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from pulsebase.api.border.bounded_response import BoundedResponse
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.codecs.answers import FHIR_JSON, FHIR_NDJSON, OPEN_MHEALTH, places_in_headers, said_in_headers
from pulsebase.model.health_codes import schema_problem
from pulsebase.model.metrics import MetricSpec
from pulsebase.model.resolution import Resolution
from pulsebase.query import fhir, open_mhealth
from pulsebase.query.runs import buckets_of, runs_of
from pulsebase.query.series import SeriesAnswer, SummaryAnswer

HEALTH_FORMATS = (FHIR_JSON, FHIR_NDJSON, OPEN_MHEALTH)
_PIECE_BYTES = 1 << 16
_VARY = {"Vary": "Accept"}


def require_writable(metrics: Sequence[MetricSpec], media_type: str) -> None:
    """Refuse metrics whose readings a media type cannot hold.

    Raises:
        ProblemError: Open mHealth is asked for, and has no schema for one of them.
    """
    for metric in metrics:
        if media_type == OPEN_MHEALTH and (problem := schema_problem(metric)) is not None:
            raise ProblemError("not-acceptable", problem)


def respond_in_health_format(answers: Sequence[SeriesAnswer], media_type: str, timeout_s: float) -> BoundedResponse:
    """Return answers about one metric or several in the negotiated media type, which can hold them."""
    headers = said_in_headers(answers[0]) | _VARY
    headers["Pulsebase-Table"] = ",".join(answer.plan.table for answer in answers)
    pieces = _points(answers) if media_type == OPEN_MHEALTH else _encoded(_observations(answers), media_type)
    return BoundedResponse(_gathered(pieces), timeout_s, headers=headers, media_type=media_type)


def respond_with_resting(answer: SummaryAnswer, media_type: str, timeout_s: float) -> BoundedResponse:
    """Return the resting heart rates of days as Observations."""
    days = (day for _, summaries in answer.summaries for day in summaries)
    observations = (each for day in days if (each := fhir.resting_of(day)) is not None)
    pieces = _gathered(_encoded(observations, media_type))
    headers = places_in_headers(answer) | _VARY
    return BoundedResponse(pieces, timeout_s, headers=headers, media_type=media_type)


def _observations(answers: Sequence[SeriesAnswer]) -> Iterator[fhir.Observation]:
    for answer in answers:
        if answer.plan.resolution is Resolution.RAW:
            yield from map(fhir.observation_of, runs_of(answer))
        else:
            yield from map(fhir.statistics_of, buckets_of(answer))


def _points(answers: Sequence[SeriesAnswer]) -> Iterator[bytes]:
    for answer in answers:
        if answer.plan.resolution is Resolution.RAW:
            for run in runs_of(answer):
                yield from open_mhealth.points_of(run)
        else:
            for bucket in buckets_of(answer):
                yield from open_mhealth.statistics_of(bucket)


def _encoded(observations: Iterator[fhir.Observation], media_type: str) -> Iterator[bytes]:
    return fhir.bundle(observations) if media_type == FHIR_JSON else fhir.ndjson(observations)


def _gathered(pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Yield the same bytes in pieces worth sending."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)

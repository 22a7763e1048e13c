"""The single write path: bounded queue → validate → group commit → acknowledge."""

from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.committer import IngestLimits, Ingestor, Outcome
from pulsebase.ingest.feed import ALL_TIME, Changed, Feed, News
from pulsebase.ingest.validate import ReadingRules, Verdict, validate

__all__ = [
    "ALL_TIME",
    "Candidates",
    "Changed",
    "Decoded",
    "Feed",
    "IngestLimits",
    "Ingestor",
    "News",
    "Outcome",
    "ReadingRules",
    "Verdict",
    "validate",
]

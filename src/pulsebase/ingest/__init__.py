"""The single write path: bounded queue → validate → group commit → acknowledge."""

from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.committer import IngestLimits, Ingestor
from pulsebase.ingest.queue_items import Outcome
from pulsebase.ingest.validate import ReadingRules, Verdict, validate

__all__ = [
    "Candidates",
    "Decoded",
    "IngestLimits",
    "Ingestor",
    "Outcome",
    "ReadingRules",
    "Verdict",
    "validate",
]

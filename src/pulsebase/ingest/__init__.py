"""The single write path: validate → bounded queue → group commit → acknowledge."""

from pulsebase.ingest.committer import IngestLimits, Ingestor
from pulsebase.ingest.validate import Candidates, ReadingRules, Verdict, validate

__all__ = ["Candidates", "IngestLimits", "Ingestor", "ReadingRules", "Verdict", "validate"]

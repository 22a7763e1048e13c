"""Blocks of readings on their way from a command to the store."""

from __future__ import annotations

from collections.abc import Sequence
from time import sleep
from typing import Any

import httpx2 as httpx
import pyarrow as pa

from pulsebase.api.encode import stream_bytes
from pulsebase.cli.session import answer_of
from pulsebase.ingest import Candidates
from pulsebase.model.readings import Ids

#: How often a block is sent again to a store that is busy merging what came before. It says how long to wait.
_MOST_RETRIES = 30


def store_block(client: httpx.Client, name: str, rows: Candidates) -> Any:
    """Store candidates in one commit, as brought by the import of that name; the counts and refusals that came back.

    `rows.positions` are the places that refusals name.

    Raises:
        RefusedError: the block was refused, or the store takes nothing for minutes.
    """
    body = _arrow(rows)
    for _ in range(_MOST_RETRIES):
        response = client.post("/v1/admin/readings", params={"kind": "import", "name": name}, content=body)
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        sleep(float(response.headers.get("retry-after", 1)))
    return answer_of(response)


def _arrow(rows: Candidates) -> bytes:
    table = pa.table(
        {
            "user_id": _ids(rows.user_ids),
            "device_id": _ids(rows.device_ids),
            "time_us": rows.times_us,
            "value": rows.values,
            "confidence": rows.confidences,
            "position": rows.positions,
        }
    )
    return stream_bytes(table)


def _ids(ids: Sequence[str]) -> pa.DictionaryArray:
    return ids.as_arrow() if isinstance(ids, Ids) else pa.array(ids, pa.string()).dictionary_encode()

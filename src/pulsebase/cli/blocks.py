"""Send blocks of readings from a command to the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Any

import httpx2 as httpx
import pyarrow as pa

from pulsebase.api.codecs.answers import stream_bytes
from pulsebase.cli.session import answer_of, detail_of
from pulsebase.etl.load import IMPORT_KIND
from pulsebase.ingest import Candidates
from pulsebase.model.readings import Ids

#: How long to retry a block that the store does not accept because it is still merging or its disk is full. On a busy
#: server a merge that runs into its limit, and the smaller ones after it, take minutes.
PATIENCE_S = 600.0
_SECONDS = re.compile(r"[0-9]{1,4}")


def store_block(client: httpx.Client, name: str, rows: Candidates, say: Callable[[str], None]) -> Any:
    """Store candidates, which are of one metric, in one commit, under the import of that name. Return the counts and
    refusals in the answer.

    `rows.positions` are the numbers by which refusals name readings. `say` is called once with the reason for waiting.

    Raises:
        RefusedError: the block was refused, or the store accepted nothing for `PATIENCE_S`.
    """
    body = _arrow(rows)
    what = {"kind": IMPORT_KIND, "name": name, "metric": rows.metric, "twins": str(rows.twins).lower()}
    give_up_at = monotonic() + PATIENCE_S
    told = False
    while True:
        response = client.post("/v1/admin/readings", params=what, content=body)
        stated = response.headers.get("retry-after", "")
        wait_s = float(stated) if _SECONDS.fullmatch(stated) else 1.0
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or monotonic() + wait_s > give_up_at:
            return answer_of(response)
        if not told:
            say(f"Waiting for the store: {detail_of(response)}")
            told = True
        sleep(wait_s)


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

"""What the load generator does when a server refuses something for the moment."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.lane import Lane, LanePlan, LaneResult
from benchmarks.requests import Sent, post, write_requests

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


async def sent_to_a_busy_server(requests: Path, *, closes: bool) -> LaneResult:
    refused: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(3)
            if len(refused) < 3:
                refused.append(head)
                writer.write(BUSY)
                if closes:
                    writer.close()
                    return
            else:
                writer.write(TAKEN)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        lane = Lane(LanePlan("load", str(requests), server.sockets[0].getsockname()[1], 2, 60))
        await lane.connect()
        await asyncio.wait_for(lane.run(), 20)
        return lane.result()


@pytest.mark.parametrize("closes", [False, True])
def test_what_a_busy_server_refused_is_sent_again_over_this_connection_or_another(tmp_path: Path, closes: bool) -> None:
    file = write_requests(tmp_path / "load", (Sent(post("/", b"abc", "text/plain"), 1) for _ in range(5)))
    result = asyncio.run(sent_to_a_busy_server(file.path, closes=closes))
    assert (result.requests, result.retried, result.statuses) == (5, 3, {"202": 5})

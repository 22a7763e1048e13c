"""What the kernel saw: an answer leaves only after the flush of its readings, and the check of that can fail."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import httpx2 as httpx

from tests.support.needs import need_library, need_program
from tests.support.process import BASE_US, Place, Server, reading, serving
from tests.support.trace import STRACE, Acknowledged, answered_too_early, lines_of

AT = 1_704_067_200_000_000
BYTES = r"\x00\x20\x21\x10\xd7\x0d\x06\x00"

WRITE = f'7 write(9</data/s.journal>, "{BYTES}", 8) = 8'
FLUSH = "7 fdatasync(9</data/s.journal>) = 0"
ANSWER = r'8 write(12<socket:[5]>, "HTTP/1.1 202 Accepted\r\nx-request-id: one\r\n\r\n{}", 50) = 50'


def faults_of(*lines: str) -> list[str]:
    return answered_too_early(lines, [Acknowledged("one", [AT])])


def test_the_checker_is_content_with_write_flush_answer() -> None:
    assert faults_of(WRITE, FLUSH, ANSWER) == []


def test_the_checker_reads_calls_of_several_threads_that_overlap() -> None:
    whole = [
        f'7 write(9</data/s.journal>, "{BYTES}", 8 <unfinished ...>',
        "8 fsync(4</data/other>) = 0",
        "7 <... write resumed>) = 8",
        "7 fdatasync(9</data/s.journal> <unfinished ...>",
        '8 write(12<socket:[5]>, "HTTP/1.1 200 OK", 15) = 15',
        "7 <... fdatasync resumed>) = 0",
    ]
    assert faults_of(*whole, ANSWER) == []
    assert faults_of(*whole[:-1], ANSWER, whole[-1]) != []


def test_the_checker_notices_every_kind_of_haste() -> None:
    assert faults_of(WRITE, ANSWER) != []
    assert faults_of(WRITE, ANSWER, FLUSH) != []
    assert faults_of(FLUSH, WRITE, ANSWER) != []
    assert faults_of(FLUSH, ANSWER) != []
    assert faults_of(WRITE, "7 fdatasync(9</data/s.journal>) = -1 EIO (Input/output error)", ANSWER) != []
    assert faults_of(WRITE, "7 fdatasync(9</data/another.journal>) = 0", ANSWER) != []
    assert faults_of(WRITE, FLUSH) != []


def test_the_checker_notices_a_flush_that_began_before_the_write_ended() -> None:
    assert faults_of("6 fdatasync(9</data/s.journal> <unfinished ...>", WRITE, "6 <... fdatasync resumed>) = 0", ANSWER)


def test_every_answer_follows_the_flush_of_its_readings(tmp_path: Path) -> None:
    need_program("strace")
    lines, answers = traced(Place(tmp_path))
    assert len(answers) == 4 * 2 * 15
    assert answered_too_early(lines, answers) == []


def test_without_flushes_the_same_test_fails(tmp_path: Path) -> None:
    need_program("strace")
    need_library("eatmydata")
    lines, answers = traced(Place(tmp_path), preloaded="libeatmydata.so")
    # Written and answered all the same: it is the flush that is missing, of each and every reading.
    faults = answered_too_early(lines, answers)
    assert len(faults) == sum(len(answer.times_us) for answer in answers)
    assert all("was not flushed before the answer" in fault for fault in faults)


def traced(place: Place, preloaded: str = "") -> tuple[list[str], list[Acknowledged]]:
    """A load of singles and batches from several connections, and the trace of the server that answered it.

    What is preloaded is so from the start of the program.
    """
    trace = place.folder / "trace"
    answers: list[Acknowledged] = []
    tracer = [*STRACE, f"--output={trace}"]
    under = [*tracer, f"--env=LD_PRELOAD={preloaded}"] if preloaded else []
    with serving(place, under=under, traced_by=[] if under else tracer) as server:
        threads = [threading.Thread(target=post, args=(server, number, answers)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.stop(signal.SIGKILL)
    return lines_of(trace), answers


def post(server: Server, number: int, answers: list[Acknowledged]) -> None:
    user = f"person-{number}"
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for turn in range(15):
            # No second twice, over all threads: a time is found in the journal once.
            seconds = [(turn * 4 + number) * 10 + step for step in range(10)]
            single = client.post("/v1/metrics/heart-rate", json=reading(user, seconds[0]))
            batch = client.post(
                "/v1/metrics/heart-rate/batch", json={"readings": [reading(user, second) for second in seconds[1:]]}
            )
            for answer, held in ((single, seconds[:1]), (batch, seconds[1:])):
                assert answer.status_code == 202
                times_us = [BASE_US + second * 1_000_000 for second in held]
                answers.append(Acknowledged(answer.headers["x-request-id"], times_us))

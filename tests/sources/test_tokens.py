"""Tokens at rest and their renewal, against a simulated authorization server whose refresh tokens are single-use."""

from __future__ import annotations

import base64
import multiprocessing
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import SealedFolder, key_in, read_key
from pulsebase.model.errors import DiskFullError, ReconnectError, SettingsError, StopError
from pulsebase.model.timerange import HOUR_US, MINUTE_US
from pulsebase.sources.fitbit import FitbitCloud
from pulsebase.sources.oauth import OAuthClient, TokenPair, require_safe
from pulsebase.sources.tokens import Tokens
from tests.support.clouds import SimulatedCloud, consent, simulated

KEY = bytes(range(32))
BACK = "http://127.0.0.1:1/back"


_OPENED: list[FitbitCloud] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()


@pytest.fixture
def cloud() -> Iterator[SimulatedCloud]:
    with simulated("fitbit") as running:
        yield running


def tokens_at(url: str, folder: Path, now_us: int, key: bytes = KEY) -> Tokens:
    """The token store of one process."""
    fitbit = FitbitCloud(url, "me", None, lambda: now_us, ["heartrate"])
    _OPENED.append(fitbit)
    sealed = SealedFolder(folder / "tokens", key)
    return Tokens(sealed, FolderLocks(folder / "locks"), {"fitbit": fitbit.oauth}, lambda: now_us)


def connected(cloud: SimulatedCloud, folder: Path) -> TokenPair:
    """Somebody's pair, which is old by now."""
    fitbit = FitbitCloud(cloud.url, "me", None, cloud.clock.now_us, ["heartrate"])
    _OPENED.append(fitbit)
    oauth = fitbit.oauth
    verifier = oauth.new_verifier()
    came = consent(oauth.authorization_url("s", verifier, BACK), "user1")
    pair = oauth.exchange(came["code"], verifier, BACK)
    tokens_at(cloud.url, folder, cloud.clock.now_us()).keep("ann", "fitbit", pair)
    cloud.clock.advance(9 * HOUR_US)
    return pair


def refreshed_and_killed(url: str, folder: Path, now_us: int) -> None:
    """Dies between the renewal and its first use."""
    tokens_at(url, folder, now_us).access("ann", "fitbit")
    os.kill(os.getpid(), signal.SIGKILL)


def test_who_dies_between_renewal_and_use_loses_nothing(cloud: SimulatedCloud, tmp_path: Path) -> None:
    old = connected(cloud, tmp_path)
    now_us = cloud.clock.now_us()
    process = multiprocessing.get_context("spawn").Process(
        target=refreshed_and_killed, args=(cloud.url, tmp_path, now_us)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    access = tokens_at(cloud.url, tmp_path, now_us).access("ann", "fitbit")
    assert access != old.access
    assert access in vars(cloud.authorization)["_access"]
    assert old.refresh not in vars(cloud.authorization)["_refresh"]  # it was spent before the kill


def ask(url: str, folder: Path, now_us: int, queue: multiprocessing.Queue[str]) -> None:
    queue.put(tokens_at(url, folder, now_us).access("ann", "fitbit"))


def test_of_many_who_renew_at_once_one_does(cloud: SimulatedCloud, tmp_path: Path) -> None:
    connected(cloud, tmp_path)
    now_us, context = cloud.clock.now_us(), multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=ask, args=(cloud.url, tmp_path, now_us, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    here = tokens_at(cloud.url, tmp_path, now_us)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(here.access("ann", "fitbit"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    found += [queue.get(timeout=60) for _ in processes]
    for thread in threads:
        thread.join(60)
    for process in processes:
        process.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_refused_token_is_renewed_though_it_has_not_expired(cloud: SimulatedCloud, tmp_path: Path) -> None:
    connected(cloud, tmp_path)
    tokens = tokens_at(cloud.url, tmp_path, cloud.clock.now_us())
    access = tokens.access("ann", "fitbit")
    assert tokens.access("ann", "fitbit") == access
    fresh = tokens.access("ann", "fitbit", refused=access)
    assert fresh != access
    assert tokens.access("ann", "fitbit", refused=access) == fresh  # who was refused the old one gets the new one


def test_with_the_wrong_key_a_person_is_told_and_nothing_is_lost(cloud: SimulatedCloud, tmp_path: Path) -> None:
    connected(cloud, tmp_path)
    now_us = cloud.clock.now_us()
    with pytest.raises(StopError, match="bring the right key back, or connect again"):
        tokens_at(cloud.url, tmp_path, now_us, key=bytes(32)).access("ann", "fitbit")
    assert tokens_at(cloud.url, tmp_path, now_us).access("ann", "fitbit")
    wrong = tokens_at(cloud.url, tmp_path, now_us, key=bytes(32))
    assert wrong.remove("ann", "fitbit") is None
    with pytest.raises(ReconnectError):
        wrong.access("ann", "fitbit")


def test_files_are_the_owners_sealed_and_bound_to_their_names(tmp_path: Path) -> None:
    folder = SealedFolder(tmp_path / "tokens", KEY)
    folder.replace(b"a secret", "fitbit", "ann")
    folder.replace(b"another", "fitbit", "bob")
    assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o700
    files = sorted((tmp_path / "tokens").iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    assert all(b"secret" not in path.read_bytes() for path in files)
    one, two = files
    swapped = one.read_bytes(), two.read_bytes()
    one.write_bytes(swapped[1])
    two.write_bytes(swapped[0])
    for name in ("ann", "bob"):
        with pytest.raises(StopError, match="cannot be read"):
            folder.read("fitbit", name)
    one.write_bytes(b"")
    two.write_bytes(b"cut")
    for name in ("ann", "bob"):
        with pytest.raises(StopError, match="cannot be read"):
            folder.read("fitbit", name)


def test_what_is_taken_is_taken_once(tmp_path: Path) -> None:
    folder = SealedFolder(tmp_path, KEY)
    folder.replace(b"state", "s")
    taken: list[bytes | None] = []
    threads = [threading.Thread(target=lambda: taken.append(folder.take("s"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (taken.count(b"state"), taken.count(None)) == (1, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SealedFolder(tmp_path, KEY)
    folder.replace(b"old", "s")

    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        folder.replace(b"new", "s")
    monkeypatch.undo()
    assert folder.read("s") == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = key_in(path)
    assert (len(key), key_in(path)) == (32, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("short")
    with pytest.raises(StopError, match="holds no key"):
        key_in(path)
    assert read_key(base64.urlsafe_b64encode(KEY).decode().rstrip("=")) == KEY
    with pytest.raises(SettingsError, match="PULSEBASE_TOKEN_KEY: must be 32 bytes") as error:
        read_key("hunter2")
    assert "hunter2" not in str(error.value)


def test_tokens_do_not_show_in_what_python_prints() -> None:
    pair = TokenPair("an access token", "a refresh token", 5 * MINUTE_US, "ann")
    assert "token" not in repr(pair)
    assert TokenPair.from_bytes(pair.to_bytes()) == pair


@pytest.mark.parametrize("url", ["http://health.example", "ftp://127.0.0.1", "", "http://127.0.0.1.example"])
def test_tokens_leave_this_machine_over_tls_alone(url: str) -> None:
    with pytest.raises(SettingsError, match="PULSEBASE_X: must be an https address"):
        require_safe(url, "PULSEBASE_X")
    for good in ("https://health.example", "http://127.0.0.1:8100", "http://[::1]:1", "http://localhost"):
        require_safe(good, "PULSEBASE_X")


def test_every_verifier_is_new() -> None:
    assert len({OAuthClient.new_verifier() for _ in range(10)}) == 10

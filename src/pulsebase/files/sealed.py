"""Secrets on the disk: each is encrypted in a file of its own, and replaced atomically."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pulsebase.files.disk_errors import translated
from pulsebase.files.locks import file_name
from pulsebase.model.errors import SettingsError, StopError

_WHAT = "the folder of secrets"
KEY_BYTES = 32
_NONCE_BYTES = 12  # what AES-GCM asks for (NIST SP 800-38D)


def read_key(text: str, setting: str = "PULSEBASE_TOKEN_KEY") -> bytes:
    """Return the key that a setting contains: 32 bytes in URL-safe Base64.

    Raises:
        SettingsError: it is not such a key. The message does not repeat the text.
    """
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{setting}: must be 32 bytes in URL-safe Base64")
    return key


def key_in(path: Path) -> bytes:
    """Return the key in a file that only the owner can read. If there is no file, make one with a new key, flushed to
    the disk.

    Raises:
        StopError: the file cannot be read, or holds no key.
    """
    try:
        if not path.exists():
            _make_key(path)
        return read_key(path.read_text(encoding="ascii").strip())
    except SettingsError:
        raise StopError(f"{path} holds no key; bring the right file back, or remove it and connect again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StopError(f"{path}: {getattr(error, 'strerror', None) or 'is no key'}") from error


class Seal:
    """Seals secrets that others keep for us, such as browsers. By AES-256-GCM they can neither read nor change them."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, *about: str) -> str:
        """Return the secret as a text for URLs and cookies, valid for the purpose `about` alone."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, secret, _about(about))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def opened(self, text: str, *about: str) -> bytes | None:
        """Return the secret that was sealed for this purpose; None for anything else."""
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _about(about))
        except (InvalidTag, ValueError):
            return None


class SealedFolder:
    """Files with one secret each, sealed with AES-256-GCM together with their name, so that no file can be swapped for
    another.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._cipher = folder, AESGCM(key)

    def read(self, *names: str) -> bytes | None:
        """Return the secret of that name, or None if there is none.

        Raises:
            StopError: it was sealed with another key, or changed on the disk.
        """
        try:
            with translated(_WHAT):
                return self._opened(self._path(names).read_bytes(), names)
        except FileNotFoundError:
            return None

    def replace(self, secret: bytes, *names: str) -> None:
        """Store the secret under that name. It is on the disk when this returns, and never there in part."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, secret, _about(names))
        path = self._path(names)
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        with translated(_WHAT):
            try:
                _write_new(fresh, sealed)
                fresh.rename(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    fresh.unlink(missing_ok=True)
                raise
        with translated(_WHAT, "unknown"):
            _flush_folder(self._folder)

    def take(self, *names: str) -> bytes | None:
        """Remove the secret and return it. Only one caller gets it; all later ones get None."""
        path = self._path(names)
        mine = path.with_name(f"{path.name}.{secrets.token_hex(8)}.taken")
        with translated(_WHAT):
            try:
                path.rename(mine)  # of two callers, only one succeeds
            except FileNotFoundError:
                return None
            try:
                return self._opened(mine.read_bytes(), names)
            finally:
                mine.unlink()

    def remove(self, *names: str) -> None:
        """Remove the secret of that name, if there is one."""
        with translated(_WHAT):
            self._path(names).unlink(missing_ok=True)
            _flush_folder(self._folder)

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.iterdir())

    def remove_older(self, than_s: float) -> None:
        """Remove the secrets stored before that time (seconds since 1970, by the file system's clock)."""
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < than_s:
                    path.unlink()

    def _path(self, names: tuple[str, ...]) -> Path:
        return self._folder / file_name(*names)

    def _opened(self, sealed: bytes, names: tuple[str, ...]) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _about(names))
        except (InvalidTag, ValueError):
            raise StopError(
                "what is stored of this connection cannot be read with the key in use; bring the right key back, or "
                "connect again"
            ) from None


def _about(names: tuple[str, ...]) -> bytes:
    return "\0".join(names).encode()


def _make_key(path: Path) -> None:
    """Put a new key in place atomically: neither a kill nor a full disk leaves part of a key there."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    try:
        _write_new(fresh, base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)))
        with contextlib.suppress(FileExistsError):  # another process may have been first
            path.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:  # a disk that is nearly full writes only a part
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)

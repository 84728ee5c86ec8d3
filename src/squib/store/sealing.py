"""Secrets at rest: sealed with a key that lies beside the database, so that the database alone yields none.

The key is `<data-dir>/sealing.key`, 32 random bytes, mode 0600, made once and never changed. What it seals
is encrypted and authenticated (AES-256-GCM) and bound to a purpose, so that a value moved to another place
does not open there.
"""

import base64
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from squib.clock import Entropy
from squib.model.errors import PlatformError
from squib.store.data_dir import PRIVATE_FILE_MODE, sync_directory

FILE_NAME: Final = "sealing.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


class SealBroken(PlatformError):
    """Not sealed by this data directory's key for this purpose, or damaged since."""


class Seal:
    """Seals and opens. Stateless but for the key; may be used from any thread."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._cipher = AESGCM(key)
        self._entropy = entropy

    @staticmethod
    def load_or_create(data_dir: Path, entropy: Entropy) -> "Seal":
        """With the data directory's key; a new one is on disk when this returns. Raises PlatformError for a
        file that holds no key: without the right one, nothing that was sealed can be opened again."""
        path = data_dir / FILE_NAME
        if not path.exists():
            _write(path, entropy.token(_KEY_BYTES))
        return Seal.load(data_dir, entropy)

    @staticmethod
    def load(data_dir: Path, entropy: Entropy) -> "Seal":
        """The same where there must be a key already. Raises PlatformError when it is lost, too: with a new
        one in its place nobody would notice, and the old one could not come back."""
        path = data_dir / FILE_NAME
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            raise PlatformError(
                f"{path} is missing, and the database beside it holds what it has sealed: restore the file"
            ) from None
        if len(key) != _KEY_BYTES:
            raise PlatformError(f"{path} holds no key of {_KEY_BYTES} bytes: restore it from a backup")
        return Seal(key, entropy)

    def seal(self, plain: bytes, *, purpose: str) -> bytes:
        """`plain`, readable to nobody without the key. 28 bytes longer."""
        nonce = self._entropy.token(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, *, purpose: str) -> bytes:
        """What was sealed for the same purpose. Raises SealBroken."""
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise SealBroken("too short to have been sealed")
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            raise SealBroken("not sealed with this key for this purpose") from None

    def seal_text(self, plain: str, *, purpose: str) -> str:
        """`seal` for text, as base64 that fits a JSON document."""
        return base64.b64encode(self.seal(plain.encode(), purpose=purpose)).decode()

    def open_text(self, sealed: str, *, purpose: str) -> str:
        """`open` for what `seal_text` made. Raises SealBroken."""
        try:
            packed = base64.b64decode(sealed, validate=True)
        except ValueError:
            raise SealBroken("not base64") from None
        return self.open(packed, purpose=purpose).decode()


def _write(path: Path, key: bytes) -> None:
    """All or nothing, durably."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
    with open(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(descriptor)
    os.replace(fresh, path)
    sync_directory(path.parent)

"""Root credentials of each account, in `<data-dir>/credentials.json`. Refuses to hold temporary credentials.

The file is JSON, mode 0600, replaced as a whole and on disk before anybody uses what it says:
`{"version": 1, "default_account_id": A, "accounts": {A: {"access_key_id": .., "secret_access_key": ..}}}`.
"""

import base64
import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from squib.clock import Entropy
from squib.iam.unique_ids import KEY_NOISE_BYTES, LONG_LIVED, access_key_id
from squib.model.errors import SquibError
from squib.model.identity import AccessKey, root_principal
from squib.model.units import AccountId

FILE_NAME: Final = "credentials.json"
FILE_VERSION: Final = 1


class CredentialsUnreadable(SquibError):
    """The file is there but cannot be used; the message says why and what to do."""


class AccountExists(SquibError):
    """There is an account of this id."""


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key as the file holds it."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"StoredKey({self.access_key_id})"


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    accounts: dict[str, StoredKey]
    default_account_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCredentials:
    """One root access key for each account."""

    keys: Mapping[AccountId, AccessKey]
    default_account_id: AccountId

    @property
    def default_key(self) -> AccessKey:
        """The default account's."""
        return self.keys[self.default_account_id]

    @staticmethod
    def load(data_dir: Path) -> "RootCredentials":
        """What is stored. Raises FileNotFoundError when nothing is yet, CredentialsUnreadable."""
        return _credentials(_read(data_dir / FILE_NAME))

    @staticmethod
    def load_or_create(
        data_dir: Path, account_id: AccountId, given: StoredKey | None, entropy: Entropy
    ) -> "RootCredentials":
        """What is stored, with `account_id` as the default account. Its key is `given` if there is one, else
        the stored one, else a random one; what changed is on disk when this returns. Keys of other accounts
        stay. Raises CredentialsUnreadable."""
        path = data_dir / FILE_NAME
        with _locked(data_dir):
            try:
                stored = _read(path)
            except FileNotFoundError:
                stored = _File(version=FILE_VERSION, accounts={}, default_account_id=account_id)
            key = given or stored.accounts.get(account_id) or random_key(account_id, entropy)
            wanted = _File(
                version=FILE_VERSION,
                accounts={**stored.accounts, account_id: key},
                default_account_id=account_id,
            )
            if wanted != stored or path.stat().st_mode & 0o077:
                _replace(path, msgspec.json.format(msgspec.json.encode(wanted)))
            return _credentials(wanted)

    @staticmethod
    def add(data_dir: Path, account_id: AccountId | None, entropy: Entropy) -> AccessKey:
        """Makes an account: a random root key for `account_id`, or for a random account. A running squib
        takes it in by itself. Raises AccountExists, FileNotFoundError when nothing is stored yet,
        CredentialsUnreadable."""
        path = data_dir / FILE_NAME
        with _locked(data_dir):
            stored = _read(path)
            chosen = account_id or _random_account(stored.accounts, entropy)
            if chosen in stored.accounts:
                raise AccountExists(f"there is an account {chosen} already")
            key = random_key(chosen, entropy)
            wanted = msgspec.structs.replace(stored, accounts={**stored.accounts, chosen: key})
            _replace(path, msgspec.json.format(msgspec.json.encode(wanted)))
            return _credentials(wanted).keys[chosen]


class RootKeys:
    """The root keys of a running squib: those of the file, read again when it is another one."""

    def __init__(self, data_dir: Path, credentials: RootCredentials) -> None:
        self._path = data_dir / FILE_NAME
        self._stamp: tuple[int, int] | None = None
        self.keys = credentials.keys

    def refresh(self) -> bool:
        """Takes in what has been added; says whether there was anything new to read. One system call while
        nothing is. A file that cannot be read changes nothing."""
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self.keys = _credentials(_read(self._path)).keys
        except (OSError, CredentialsUnreadable):
            return False
        return True


def random_key(account_id: AccountId, entropy: Entropy) -> StoredKey:
    """A key shaped as AWS's long-lived ones: AKIA and 16 base32 characters; a secret of 40."""
    return StoredKey(
        access_key_id=access_key_id(LONG_LIVED, account_id, entropy.token(KEY_NOISE_BYTES)),
        secret_access_key=base64.b64encode(entropy.token(30)).decode(),
    )


def _random_account(taken: Mapping[str, StoredKey], entropy: Entropy) -> AccountId:
    """Twelve digits, the first of them no zero."""
    while True:
        number = 10**11 + int.from_bytes(entropy.token(8)) % (9 * 10**11)
        if str(number) not in taken:
            return AccountId(str(number))


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """One writer of the file at a time, whichever process it is in."""
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _credentials(file: _File) -> RootCredentials:
    keys = {
        AccountId(account_id): AccessKey(
            access_key_id=stored.access_key_id,
            secret_access_key=stored.secret_access_key,
            principal=root_principal(AccountId(account_id)),
        )
        for account_id, stored in file.accounts.items()
    }
    return RootCredentials(keys=keys, default_account_id=AccountId(file.default_account_id))


def _read(path: Path) -> _File:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(descriptor, "rb") as stored:
            file = msgspec.json.decode(stored.read(), type=_File)
    except PermissionError:
        raise CredentialsUnreadable(
            f"{path} may not be read by this account: use the account that runs squib, or sudo"
        ) from None
    except msgspec.DecodeError as error:
        raise CredentialsUnreadable(
            f"{path} is damaged ({error}): restore it, or remove it and squib makes a new root key"
        ) from error
    if file.version != FILE_VERSION:
        raise CredentialsUnreadable(f"{path} has version {file.version}; this squib reads {FILE_VERSION}")
    if file.default_account_id not in file.accounts:
        raise CredentialsUnreadable(f"{path} holds no key for its default account {file.default_account_id}")
    return file


def _replace(path: Path, content: bytes) -> None:
    """Puts `content` at `path`, mode 0600, all or nothing, durably. It belongs to whom the directory belongs
    to: root adds an account for a squib that runs as another."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(fresh, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

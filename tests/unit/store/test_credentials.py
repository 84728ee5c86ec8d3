"""The root credentials file."""

import json
import re
from pathlib import Path

import pytest

from squib.clock import SystemEntropy
from squib.iam.unique_ids import account_of
from squib.model.units import AccountId
from squib.store.credentials import (
    AccountExists,
    CredentialsUnreadable,
    RootCredentials,
    RootKeys,
    StoredKey,
)

FIRST, SECOND = AccountId("0" * 12), AccountId("123456789012")
GIVEN = StoredKey(access_key_id="AKIAGIVENGIVENGIVEN1", secret_access_key="s" * 40)


def load_or_create(
    data_dir: Path, account_id: AccountId = FIRST, given: StoredKey | None = None
) -> RootCredentials:
    return RootCredentials.load_or_create(data_dir, account_id, given, SystemEntropy())


def test_first_start_makes_a_random_key_shaped_as_awss(tmp_path: Path) -> None:
    key = load_or_create(tmp_path).default_key
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.access_key_id)
    assert len(key.secret_access_key) == 40
    assert key.principal.arn == "arn:aws:iam::000000000000:root"
    (tmp_path / "other").mkdir()
    assert load_or_create(tmp_path / "other").default_key.secret_access_key != key.secret_access_key


def test_file_has_the_promised_form_and_mode(tmp_path: Path) -> None:
    key = load_or_create(tmp_path).default_key
    path = tmp_path / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {
        "version": 1,
        "default_account_id": FIRST,
        "accounts": {FIRST: {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}},
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["credentials.json"]


def test_second_start_keeps_the_key_and_the_file(tmp_path: Path) -> None:
    first = load_or_create(tmp_path)
    inode = (tmp_path / "credentials.json").stat().st_ino
    assert load_or_create(tmp_path) == first == RootCredentials.load(tmp_path)
    assert (tmp_path / "credentials.json").stat().st_ino == inode


def test_another_account_is_added_and_becomes_the_default(tmp_path: Path) -> None:
    first = load_or_create(tmp_path)
    both = load_or_create(tmp_path, SECOND)
    assert both.default_account_id == SECOND
    assert both.keys[FIRST] == first.keys[FIRST]
    assert load_or_create(tmp_path, FIRST).keys == both.keys


def test_given_key_is_stored_and_replaces_the_old_one(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    assert load_or_create(tmp_path, given=GIVEN).default_key.access_key_id == GIVEN.access_key_id
    assert load_or_create(tmp_path).default_key.secret_access_key == GIVEN.secret_access_key


def test_open_mode_is_closed_again(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    (tmp_path / "credentials.json").chmod(0o644)
    load_or_create(tmp_path)
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_half_written_file_of_a_killed_start_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "credentials.json.new").write_text('{"version"')
    assert load_or_create(tmp_path) == RootCredentials.load(tmp_path)


def test_nothing_stored_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RootCredentials.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ('{"version": 1}', "is damaged"),
        ('{"version": 2, "accounts": {}, "default_account_id": "1"}', "has version 2; this squib reads 1"),
        (
            '{"version": 1, "accounts": {}, "default_account_id": "1"}',
            "holds no key for its default account 1",
        ),
    ],
)
def test_unusable_file_is_refused_and_kept(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(CredentialsUnreadable, match=message):
        load_or_create(tmp_path)
    assert path.read_text() == text


def test_secrets_stay_out_of_repr(tmp_path: Path) -> None:
    assert "ssss" not in repr(load_or_create(tmp_path, given=GIVEN)) + repr(GIVEN)


def test_an_account_is_added_beside_the_others(tmp_path: Path) -> None:
    first = load_or_create(tmp_path)
    key = RootCredentials.add(tmp_path, SECOND, SystemEntropy())
    assert account_of(key.access_key_id) == key.principal.account_id == SECOND
    both = RootCredentials.load(tmp_path)
    assert (both.keys[FIRST], both.keys[SECOND]) == (first.default_key, key)
    assert both.default_account_id == FIRST
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(AccountExists):
        RootCredentials.add(tmp_path, SECOND, SystemEntropy())
    third = RootCredentials.add(tmp_path, None, SystemEntropy()).principal.account_id
    assert re.fullmatch("[1-9][0-9]{11}", third)


def test_accounts_need_a_squib_that_has_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RootCredentials.add(tmp_path, SECOND, SystemEntropy())
    assert list(tmp_path.iterdir()) == []


def test_a_running_squib_sees_what_is_added_and_keeps_what_it_has(tmp_path: Path) -> None:
    keys = RootKeys(tmp_path, load_or_create(tmp_path))
    keys.refresh()
    assert not keys.refresh()
    RootCredentials.add(tmp_path, SECOND, SystemEntropy())
    assert keys.refresh()
    assert set(keys.keys) == {FIRST, SECOND}
    (tmp_path / "credentials.json").write_text("damaged")
    assert not keys.refresh()
    assert set(keys.keys) == {FIRST, SECOND}

"""Migrations, named queries, and rows written by another squib."""

import os
import re
import sqlite3
from pathlib import Path

import msgspec
import pytest

from squib.clock import SystemEntropy
from squib.model.account import ACCOUNTS, Account, account_key
from squib.model.errors import PlatformError
from squib.model.function import FUNCTIONS
from squib.model.units import AccountId, EpochMs
from squib.store import rows
from squib.store.data_dir import DataDirBusy, DataDirLock
from squib.store.documents import Documents
from squib.store.migrate import SchemaTooNew, migrate, schema_version
from squib.store.queries import MIGRATIONS, QUERIES, TRACE_MIGRATIONS, USAGE_MIGRATIONS, Migration, parse
from squib.store.sealing import Seal


@pytest.fixture
def connection() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_an_empty_database_reaches_the_newest_schema_and_stays(connection: sqlite3.Connection) -> None:
    assert migrate(connection) == len(MIGRATIONS)
    assert migrate(connection) == schema_version(connection) == len(MIGRATIONS)


def test_each_released_schema_can_be_brought_forward(connection: sqlite3.Connection) -> None:
    for count in range(1, len(MIGRATIONS) + 1):
        assert migrate(connection, MIGRATIONS[:count]) == count


def test_a_newer_schema_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaTooNew, match="schema version 99"):
        migrate(connection)


def test_a_failing_step_leaves_the_schema_before_it(connection: sqlite3.Connection) -> None:
    bad = Migration(len(MIGRATIONS) + 1, "bad.sql", "CREATE TABLE half (x);\nCREATE TABLE half (x);\n")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [*MIGRATIONS, bad])
    assert schema_version(connection) == len(MIGRATIONS)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


def test_every_query_is_valid_on_the_newest_schema(connection: sqlite3.Connection) -> None:
    usage = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    migrate(usage, USAGE_MIGRATIONS)
    traces = sqlite3.connect(":memory:", isolation_level=None)
    migrate(traces, TRACE_MIGRATIONS)
    checked = 0
    for name, sql in QUERIES.items():
        if sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            by_position = (None,) * sql.count("?")
            database = usage if name.endswith("_usage") else connection
            if "trace" in name or "segment" in name:
                database = traces
            database.execute(f"EXPLAIN {sql}", by_position or dict.fromkeys(_parameter_names(sql)))
            checked += 1
    usage.close()
    traces.close()
    assert checked > 15


def _parameter_names(sql: str) -> list[str]:
    return re.findall(r":(\w+)", sql)


def test_queries_are_parsed_by_their_names() -> None:
    assert parse("-- name: a\nSELECT 1;\n\n-- name: b\nSELECT\n2;\n") == {"a": "SELECT 1;", "b": "SELECT\n2;"}


DOCUMENTS = Documents(Seal(b"k" * 32, SystemEntropy()))
NAMED = ("000000000000", "eu-west-1", "f")

FUNCTION = {
    "declared": {
        "key": {"account_id": "000000000000", "region": "eu-west-1", "name": "f", "shard": 3},
        "created_at_ms": 1,
        "modified_at_ms": 2,
        "revision_id": "r",
        "content_id": "c",
        "runtime": "python3.11",
        "handler": "m.h",
        "role_arn": "arn:aws:iam::000000000000:role/r",
        "code": {"digest": "0" * 64, "size_bytes": 3, "signed_by": "someone"},
        "logging": {"log_group": "/aws/lambda/f"},
        "state": "Active",
        "durable": {"from": "a later squib"},
    },
    "shadow": [1, 2],
}


def test_fields_of_a_later_squib_are_passed_over() -> None:
    record = DOCUMENTS.item(FUNCTIONS, (msgspec.json.encode(FUNCTION).decode(), *NAMED))[1]
    assert record.key.region == "eu-west-1"
    assert record.active is None


@pytest.mark.parametrize("document", ["", "{}", "[]", '{"declared": {}}'])
def test_a_document_that_makes_no_sense_names_its_kind(document: str) -> None:
    with pytest.raises(rows.UnreadableRow, match="holds a function that"):
        DOCUMENTS.item(FUNCTIONS, (document, *NAMED))


def test_the_data_directory_has_one_owner(tmp_path: Path) -> None:
    with DataDirLock(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        with pytest.raises(DataDirBusy, match=rf"{tmp_path}/data is in use by process {os.getpid()}\."):
            DataDirLock(tmp_path / "data")
    DataDirLock(tmp_path / "data").close()


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/nothing"])
def test_a_data_directory_that_cannot_be_is_named_with_what_to_do(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    data_dir = tmp_path / where
    with pytest.raises(PlatformError, match=rf"can't use the data directory {data_dir}: .*--data-dir"):
        DataDirLock(data_dir)
    assert (tmp_path / "file").read_text() == ""


def test_functions_and_accounts_of_the_second_schema_become_items(connection: sqlite3.Connection) -> None:
    migrate(connection, MIGRATIONS[:2])
    document = msgspec.json.encode(FUNCTION).decode()
    connection.execute("INSERT INTO function VALUES ('000000000000', 'eu-west-1', 'f', ?)", (document,))
    connection.execute("INSERT INTO account VALUES ('000000000000', '{\"created_at_ms\": 7}')")
    migrate(connection)
    [function] = connection.execute(QUERIES["load_items"], {"kind": FUNCTIONS.name}).fetchall()
    key, record = DOCUMENTS.item(FUNCTIONS, function)
    assert key == record.key
    [account] = connection.execute(QUERIES["load_items"], {"kind": ACCOUNTS.name}).fetchall()
    assert DOCUMENTS.item(ACCOUNTS, account) == (
        account_key(AccountId("000000000000")),
        Account(created_at_ms=EpochMs(7)),
    )


def test_functions_of_the_third_schema_get_a_content_and_keep_their_tags(
    connection: sqlite3.Connection,
) -> None:
    migrate(connection, MIGRATIONS[:3])
    declared = {**FUNCTION["declared"], "tags": {"a": "b"}, "revision_id": "now"}  # type: ignore[dict-item]
    del declared["content_id"]
    active = {**declared, "revision_id": "before"}
    for name, document in (("f", {"declared": declared, "active": active}), ("g", {"declared": declared})):
        stored = msgspec.json.encode(document).decode()
        connection.execute("INSERT INTO item VALUES ('function', '1', 'r', ?, ?)", (name, stored))
    migrate(connection)
    found = connection.execute(QUERIES["load_items"], {"kind": FUNCTIONS.name}).fetchall()
    first, second = (DOCUMENTS.item(FUNCTIONS, row)[1] for row in found)
    assert first.active is not None
    assert (first.declared.content_id, first.active.content_id) == ("now", "before")
    assert first.tags == second.tags == {"a": "b"}
    assert second.active is None


def test_policies_of_the_sixth_schema_name_whoever_bears_the_names_now(
    connection: sqlite3.Connection,
) -> None:
    migrate(connection, MIGRATIONS[:6])
    own, strange = "arn:aws:iam::111111111111:", "arn:aws:iam::222222222222:user/x"
    there, gone, role = f"{own}user/a/there", f"{own}user/gone", f"{own}role/r"
    session = "arn:aws:sts::111111111111:assumed-role/r/me"

    def policy(principal: object) -> dict[str, object]:
        condition = {"ArnEquals": {"aws:PrincipalArn": there}}
        one = {"Effect": "Allow", "Principal": principal, "Action": "*", "Condition": condition}
        return {"Version": "2012-10-17", "Statement": [one]}

    text = msgspec.json.encode(policy({"AWS": [there, gone, session, strange, "111111111111"]})).decode()
    trusted = {"trust_policy": msgspec.json.encode(policy({"AWS": there})).decode()}
    for kind, name, document in (
        ("account", "", {}),
        ("iam-user", "there", {"name": "there", "path": "/a/", "unique_id": "AIDATHERE"}),
        ("iam-role", "r", {"name": "r", "unique_id": "AROAR", **trusted}),
        ("iam-role", "s", {"name": "s", "unique_id": "AROAS", **trusted, "trusted_ids": {there: "AIDAOLD"}}),
        ("resource_policy", "f", {"document": policy({"AWS": role})}),
        ("resource_policy", "g", {"document": policy("*")}),
        ("queue", "q", {"policy": text}),
        ("queue", "bare", {"policy": ""}),
    ):
        stored = msgspec.json.encode(document).decode()
        connection.execute("INSERT INTO item VALUES (?, '111111111111', '', ?, ?)", (kind, name, stored))
    migrate(connection)

    def stored_of(kind: str, name: str) -> dict[str, object]:
        found = connection.execute("SELECT document FROM item WHERE kind = ? AND name = ?", (kind, name))
        return msgspec.json.decode(found.fetchone()[0], type=dict[str, object])

    assert stored_of("queue", "q") == {
        "policy": text,
        "principal_ids": {there: "AIDATHERE", gone: "AIDA00000000000000000", session: "AROAR:me"},
    }
    assert stored_of("resource_policy", "f")["principal_ids"] == {role: "AROAR"}
    assert stored_of("iam-role", "r")["trusted_ids"] == {there: "AIDATHERE"}
    assert stored_of("iam-role", "s")["trusted_ids"] == {there: "AIDAOLD"}
    assert "principal_ids" not in stored_of("resource_policy", "g") | stored_of("queue", "bare")

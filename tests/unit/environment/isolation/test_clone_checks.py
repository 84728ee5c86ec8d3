"""What a process must be to be taken in as a clone: each thing that it must be, and is not, refuses it."""

from typing import Any

import pytest

from squib.environment.isolation.clone_checks import (
    MAX_NEIGHBOURS,
    NEW_NAMESPACES,
    ProcessFacts,
    neighbours_refusal,
    refusal,
)

UID, HOST, USER = 1_900_000_007, 100, 200
STATUS = {
    "Uid": "\t".join([str(UID)] * 4),
    "Gid": "\t".join([str(UID)] * 4),
    "Groups": "",
    "CapInh": "0" * 16,
    "CapPrm": "0" * 16,
    "CapEff": "0" * 16,
    "CapBnd": "0" * 16,
    "CapAmb": "0" * 16,
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "NSpid": "4711\t301\t1",
    "Threads": "1",
}
FACTS: dict[str, Any] = {
    "pid": 4711,
    "status": STATUS,
    "session": 4711,
    "namespaces": {"user": USER, **{name: 300 + n for n, name in enumerate(NEW_NAMESPACES)}},
    "owners": dict.fromkeys(NEW_NAMESPACES, USER),
    "parent_of_user": HOST,
}


def judged(members: tuple[int, ...] = (1, 301, 4711), **changed: Any) -> str | None:
    facts = ProcessFacts(**{**FACTS, **changed})
    return refusal(facts, uid=UID, depth=1, host_user=HOST, members=members)


def test_clone_is_taken_in() -> None:
    assert judged() is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Uid", f"{UID}\t0\t{UID}\t{UID}", "account"),
        ("Uid", f"{UID}\t{UID}\t{UID}\t0", "account"),
        ("Gid", f"{UID}\t{UID}\t0\t{UID}", "account"),
        ("Uid", "\t".join([str(UID + 1)] * 4), "account"),
        ("Groups", "0", "account"),
        *((name, f"{1 << 21:016x}", "capabilities") for name in STATUS if name.startswith("Cap")),
        ("NoNewPrivs", "0", "filter"),
        ("Seccomp", "0", "filter"),
        ("Seccomp", "1", "filter"),
        ("NSpid", "4711\t301", "first of a pid namespace"),
        ("NSpid", "4711\t301\t2", "first of a pid namespace"),
        ("NSpid", "4711\t301\t5\t1", "first of a pid namespace"),
        ("NSpid", "4711", "first of a pid namespace"),
        ("Threads", "2", "threads"),
    ],
)
def test_wrong_status_is_refused(name: str, value: str, reason: str) -> None:
    assert reason in (judged(status={**STATUS, name: value}) or "")


@pytest.mark.parametrize("name", NEW_NAMESPACES)
@pytest.mark.parametrize("owner", [HOST, 0, 999])
def test_namespace_of_another_is_refused(name: str, owner: int) -> None:
    owners = {**dict.fromkeys(NEW_NAMESPACES, USER), name: owner}
    assert "shares namespaces" in (judged(owners=owners) or "")


@pytest.mark.parametrize(("user", "parent"), [(HOST, HOST), (USER, 999), (USER, 0)])
def test_other_user_namespaces_are_refused(user: int, parent: int) -> None:
    namespaces = {**FACTS["namespaces"], "user": user}
    assert "user namespace" in (judged(namespaces=namespaces, parent_of_user=parent) or "")


def test_process_of_another_group_or_session_is_refused() -> None:
    assert "cgroup" in (judged(members=(1, 301)) or "")
    assert "session" in (judged(session=301) or "")


@pytest.mark.parametrize(
    ("neighbours", "reason"),
    [
        ([], None),
        ([(50, 2), (50, 2), (400, 3)], None),  # init, the template, a clone on its way
        ([(50, 2), (301, 3)], "left processes"),
        ([(50, 2), (777, 4)], "left processes"),
        ([(50, 2)] * MAX_NEIGHBOURS, None),
        ([(50, 2)] * (MAX_NEIGHBOURS + 1), "too many"),
    ],
)
def test_nothing_of_a_clone_stays_with_its_template(
    neighbours: list[tuple[int, int]], reason: str | None
) -> None:
    found = neighbours_refusal(301, neighbours, depth=1)
    assert found is None if reason is None else reason in (found or "")

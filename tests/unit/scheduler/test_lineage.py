"""Lineage: what trace headers say of a chain of invocations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.lineage import MAX_INVOCATIONS, advance, longest

ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"
F, G = (f"arn:aws:lambda:eu-west-1:000000000000:function:{name}" for name in "fg")


def test_the_first_invocation_starts_a_lineage() -> None:
    step = advance(ROOT, F)
    assert step.header.startswith(f"{ROOT};Lineage=")
    assert step.header.endswith(":0")
    assert step.invocations == 1


def test_a_chain_counts_each_function_by_itself() -> None:
    header, steps = ROOT, []
    for function in (F, G, F, G, F):
        step = advance(header, function)
        header = step.header
        steps.append(step.invocations)
    assert steps == [1, 1, 2, 2, 3]
    assert header.count("Lineage=") == 1
    assert header.startswith(ROOT)


def test_the_seventeenth_invocation_of_a_chain_is_one_too_many() -> None:
    header, steps = ROOT, []
    for _ in range(MAX_INVOCATIONS + 2):
        step = advance(header, F)
        header = step.header
        steps.append(step.is_recursive)
    assert steps == [False] * 16 + [True] * 2


@pytest.mark.parametrize(
    "header",
    [
        f"{ROOT};Lineage=",
        f"{ROOT};Lineage=zz:1",
        f"{ROOT};Lineage=00000000:-1",
        f"{ROOT};Lineage=00000000:123456",
        f"Lineage=00000000;{ROOT}",
    ],
)
def test_a_lineage_that_cannot_be_read_counts_as_none(header: str) -> None:
    step = advance(header, F)
    assert step.invocations == 1
    assert step.header.count("Lineage=") == 1


def test_a_long_chain_forgets_how_it_began() -> None:
    header = ROOT
    for number in range(100):
        header = advance(header, f"{F}{number}").header
    assert header.count("|") == 31
    assert len(header) < 500


def test_of_a_batch_the_longest_chain_counts() -> None:
    short, long = advance(ROOT, F).header, advance(advance(ROOT, F).header, F).header
    assert longest([None, short, long, ROOT]) == long
    assert longest([None, ""]) is None
    assert longest([ROOT]) == ROOT


@given(st.text(max_size=200))
def test_any_header_can_be_carried_on(header: str) -> None:
    step = advance(advance(header, F).header, F)
    assert step.invocations >= 2

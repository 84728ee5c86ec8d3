"""The trace header, read and written."""

import pytest

from squib.model.trace import TraceHeader, made_at_s, parse

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"Root={ROOT}", TraceHeader(ROOT)),
        (f"Root={ROOT};Sampled=?", TraceHeader(ROOT)),
        (f"Root={ROOT};Parent={PARENT};Sampled=1", TraceHeader(ROOT, PARENT, True)),
        (f"Self=1-a; Root={ROOT}; Sampled=0", TraceHeader(ROOT, None, False)),
        (f"Sampled=1;Root={ROOT};Lineage=ab:0;k=v", TraceHeader(ROOT, None, True, "Lineage=ab:0;k=v")),
        (f"Root={ROOT};Parent=../etc", TraceHeader(ROOT)),
        ("Root=1-5759e988-bd86;Sampled=1", None),
        (f"Root={ROOT}\u0661", None),
        ("", None),
        (";;=;", None),
    ],
)
def test_header_is_read_member_by_member(given: str, expected: TraceHeader | None) -> None:
    assert parse(given) == expected


def test_header_is_written_with_what_it_does_not_know() -> None:
    text = f"Root={ROOT};Parent={PARENT};Sampled=1;Lineage=ab:0"
    found = parse(text)
    assert found is not None
    assert found.text() == text
    assert TraceHeader(ROOT).text() == f"Root={ROOT}"


def test_trace_id_says_when_the_trace_began() -> None:
    assert made_at_s(ROOT) == 0x5759E988

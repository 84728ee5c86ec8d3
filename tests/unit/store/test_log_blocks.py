"""Blocks of log events: what goes in comes out, in order, and a damaged end is left out."""

from hypothesis import given
from hypothesis import strategies as st

from squib.model.limits import MAX_LOG_EVENT_BYTES
from squib.model.units import EpochMs
from squib.store.log_blocks import MAX_BLOCK_BYTES, MAX_CLOCK_JITTER_MS, blocks, decode, encode, in_order

MESSAGES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
EVENTS = st.lists(st.tuples(st.integers(0, 2**40).map(EpochMs), MESSAGES), min_size=1, max_size=30)
NOW = EpochMs(1_700_000_000_000)


def read_all(content: bytes) -> list[tuple[int, int, str]]:
    """Sequence, timestamp, message of everything in `content`."""
    return [
        (sequence, timestamp_ms, message)
        for block in blocks(content)
        for sequence, (timestamp_ms, message) in enumerate(decode(content, block), block.first_sequence)
    ]


@given(EVENTS, st.integers(0, 2**40))
def test_events_come_back_as_they_were_written(events: list[tuple[EpochMs, str]], first: int) -> None:
    encoded = encode(events, first_sequence=first, ingestion_ms=NOW)
    expected = [(first + i, at, message) for i, (at, message) in enumerate(events)]
    assert read_all(encoded.content) == expected
    assert encoded.event_count == len(events)
    [block] = blocks(encoded.content, checked=True)
    assert (block.first_event_at_ms, block.last_event_at_ms) == (min(events)[0], max(events)[0])
    assert block.ingestion_ms == NOW


@given(st.lists(EVENTS, min_size=1, max_size=4), st.data())
def test_a_cut_end_costs_only_the_block_it_falls_in(
    flushes: list[list[tuple[EpochMs, str]]], data: st.DataObject
) -> None:
    content, ends, sequence = b"", [0], 0
    for events in flushes:
        encoded = encode(events, first_sequence=sequence, ingestion_ms=NOW)
        content += encoded.content
        sequence += encoded.event_count
        ends.append(len(content))
    cut = data.draw(st.integers(0, len(content)))
    whole = max(end for end in ends if end <= cut)
    assert read_all(content[:cut]) == read_all(content[:whole])
    assert [block.end for block in blocks(content[:cut], checked=True)] == ends[1 : ends.index(whole) + 1]


@given(EVENTS, st.data())
def test_a_changed_byte_never_gives_another_event(
    events: list[tuple[EpochMs, str]], data: st.DataObject
) -> None:
    content = bytearray(encode(events, first_sequence=7, ingestion_ms=NOW).content)
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    assert list(blocks(bytes(content), checked=True)) == []


def test_blocks_that_do_not_follow_each_other_end_a_checked_read() -> None:
    first = encode([(NOW, "a")], first_sequence=0, ingestion_ms=NOW).content
    stray = encode([(NOW, "b")], first_sequence=5, ingestion_ms=NOW).content
    assert len(list(blocks(first + stray, checked=True))) == 1


def test_a_long_message_becomes_events_within_the_limit_at_character_borders() -> None:
    message = "a" + "\u00e9\u20ac\U0001f600" * 100_000
    encoded = encode([(NOW, "before"), (NOW, message), (NOW, "after")], first_sequence=0, ingestion_ms=NOW)
    found = read_all(encoded.content)
    pieces = [text for _, _, text in found[1:-1]]
    assert "".join(pieces) == message
    assert max(len(piece.encode()) for piece in pieces) <= MAX_LOG_EVENT_BYTES
    assert len(pieces) == -(-len(message.encode()) // MAX_LOG_EVENT_BYTES)
    assert [sequence for sequence, _, _ in found] == list(range(encoded.event_count))


def test_a_message_of_exactly_the_limit_stays_whole() -> None:
    encoded = encode([(NOW, "x" * MAX_LOG_EVENT_BYTES)], first_sequence=0, ingestion_ms=NOW)
    assert encoded.event_count == 1


def test_a_large_flush_becomes_several_blocks() -> None:
    events = [(EpochMs(NOW + i), "x" * 1000) for i in range(5000)]
    encoded = encode(events, first_sequence=0, ingestion_ms=NOW)
    found = list(blocks(encoded.content, checked=True))
    assert len(found) > 1
    assert max(block.end - block.start for block in found) < MAX_BLOCK_BYTES + 100
    assert [at for _, at, _ in read_all(encoded.content)] == [at for at, _ in events]
    assert (encoded.first_event_at_ms, encoded.last_event_at_ms) == (NOW, NOW + 4999)


def test_text_that_is_no_unicode_is_written_with_marks() -> None:
    encoded = encode([(NOW, "bad \udc80 text")], first_sequence=0, ingestion_ms=NOW)
    assert read_all(encoded.content) == [(0, NOW, "bad ? text")]


def test_a_line_stamped_a_little_early_keeps_its_place() -> None:
    events = [(EpochMs(100), "a"), (EpochMs(99), "b"), (EpochMs(101), "c"), (EpochMs(100), "d")]
    assert [at for at, _ in in_order(events, None)] == [100, 100, 101, 101]
    assert [at for at, _ in in_order(events, EpochMs(105))] == [105, 105, 105, 105]


def test_a_clock_set_back_is_believed() -> None:
    early = EpochMs(NOW - MAX_CLOCK_JITTER_MS - 1)
    assert in_order([(early, "a"), (EpochMs(early + 1), "b")], NOW) == [(early, "a"), (early + 1, "b")]


def test_events_in_order_are_not_copied() -> None:
    events = [(EpochMs(1), "a"), (EpochMs(1), "b"), (EpochMs(2), "c")]
    assert in_order(events, EpochMs(1)) is events

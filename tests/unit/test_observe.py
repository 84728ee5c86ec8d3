"""squib's own log: one message, one line."""

import logging

import pytest

from squib.observe import JsonFormatter, TextFormatter


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_what_a_caller_sends_begins_no_line_of_its_own(formatter: logging.Formatter) -> None:
    said = "x\n2026-01-01T00:00:00.000Z INFO squib.app stopped\r\x1b[2J\u2028\x85"
    record = logging.LogRecord("squib.access", logging.INFO, "", 1, "call_denied resource=%s", (said,), None)
    line = formatter.format(record)
    assert len(line.splitlines()) == 1 and "\x1b" not in line
    assert "call_denied resource=x\\n2026-01-01" in line


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("oh")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("squib", logging.ERROR, "", 1, "failed", (), info)
    assert TextFormatter().format(record).splitlines()[-1] == "ValueError: oh"

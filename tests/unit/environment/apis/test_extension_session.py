"""The Extensions API conversation: what each call means in each phase, and who is waited for."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.apis.extension_session import (
    Answer,
    Call,
    Extension,
    ExtensionSession,
    Phase,
    invoke_event,
    shutdown_event,
)

BOTH = b'{"events": ["INVOKE", "SHUTDOWN"]}'
EXPECTED = """
STARTED    REGISTER   REGISTERED
REGISTERED NEXT       READY
READY      NEXT       READY
RUNNING    NEXT       READY
REGISTERED INIT_ERROR INIT_ERROR
INIT_ERROR INIT_ERROR INIT_ERROR
REGISTERED EXIT_ERROR EXIT_ERROR
READY      EXIT_ERROR EXIT_ERROR
RUNNING    EXIT_ERROR EXIT_ERROR
EXIT_ERROR EXIT_ERROR EXIT_ERROR
"""
ROWS = {
    (Phase[words[0]], Call[words[1]]): Phase[words[2]]
    for words in (line.split() for line in EXPECTED.strip().splitlines())
}


def session_of(*names: str) -> ExtensionSession:
    session = ExtensionSession()
    session.started(names)
    return session


def call(session: ExtensionSession, what: Call) -> Answer:
    if what is Call.REGISTER:
        return session.register("one", BOTH, "id-one")
    if what is Call.NEXT:
        return session.next("id-one")
    return session.error("id-one", what, "Some.Reason")


@pytest.mark.parametrize(("phase", "what"), list(itertools.product(Phase, Call)))
def test_every_call_in_every_phase(phase: Phase, what: Call) -> None:
    session = session_of("one")
    extension = session.extensions[0]
    extension.phase, extension.identifier = phase, "id-one"
    answer = call(session, what)
    expected = ROWS.get((phase, what))
    if expected is not None:
        assert extension.phase is expected
        assert answer.extension is extension
        assert answer.status == {Call.REGISTER: 200, Call.NEXT: 0}.get(what, 202)
    else:
        assert (extension.phase, answer.extension, answer.status) == (phase, None, 403)
        body = json.loads(answer.body)
        assert body["errorType"] == "Extension.InvalidExtensionState"
        assert body["errorMessage"] == (
            f"State transition from {phase} to {what} failed for extension one. "
            "Error: State transition is not allowed"
        )


def refused(answer: Answer) -> Any:
    assert (answer.status, answer.extension) == (403, None)
    return json.loads(answer.body)["errorType"]


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("", BOTH, "Extension.InvalidExtensionName"),
        ("one", b"not json", "InvalidRequestFormat"),
        ("one", b'{"events": "INVOKE"}', "InvalidRequestFormat"),
        ("one", b'{"more": ' + b"[" * 100_000, "InvalidRequestFormat"),
        ("one", b'{"events": ["\xff"]}', "InvalidRequestFormat"),
        ("one", b'{"events": ["DINNER"]}', "Extension.InvalidEventType"),
        ("inner", BOTH, "Extension.InvalidEventType"),
    ],
)
def test_wrong_registrations_are_refused(name: str, body: bytes, error: str) -> None:
    session = session_of("one")
    assert refused(session.register(name, body, "x")) == error
    assert [one.phase for one in session.extensions] == [Phase.STARTED]


def test_internal_extension_registers_until_the_runtime_asks_for_an_invocation() -> None:
    session = session_of()
    assert session.register("inner", b'{"events": ["INVOKE"]}', "id-1").status == 200
    assert (session.internal_count, session.external_count) == (1, 0)
    session.closed()
    assert refused(session.register("late", b"{}", "id-2")) == "Extension.RegistrationClosed"


def test_ten_extensions_and_no_more() -> None:
    session = session_of("a", "b")
    for number in range(8):
        assert session.register(f"inner-{number}", b"{}", f"id-{number}").status == 200
    assert refused(session.register("inner-9", b"{}", "x")) == "Extension.TooManyExtensions"
    assert session.register("a", b"{}", "id-a").status == 200


@pytest.mark.parametrize("identifier", [None, "", "nobody"])
def test_who_does_not_say_who_it_is_gets_nothing(identifier: str | None) -> None:
    session = session_of("one")
    expected = "Extension.UnknownExtensionIdentifier" if identifier else "Extension.MissingHeader"
    assert refused(session.next(identifier)) == expected
    assert refused(session.error(identifier, Call.INIT_ERROR, "x")) == expected


def test_error_call_without_its_header_is_refused() -> None:
    session = session_of("one")
    session.register("one", BOTH, "id-one")
    assert refused(session.error("id-one", Call.INIT_ERROR, None)) == "Extension.MissingHeader"


def test_unregistered_identifier_of_a_started_extension_is_unknown() -> None:
    assert refused(session_of("one").next("id-one")) == "Extension.UnknownExtensionIdentifier"


def ready(session: ExtensionSession, name: str, body: bytes) -> Extension:
    answer = session.register(name, body, f"id-{name}")
    assert answer.extension is not None
    assert session.next(f"id-{name}").status == 0
    return answer.extension


def test_invoke_goes_to_those_who_asked_for_it_and_all_are_waited_for() -> None:
    session = session_of("one", "two")
    one = ready(session, "one", BOTH)
    assert not session.has_registered
    two = ready(session, "two", b'{"events": ["SHUTDOWN"]}')
    assert session.has_registered and session.is_waiting
    assert list(session.invoked(b"event")) == [one]
    assert (one.phase, two.phase) == (Phase.RUNNING, Phase.READY)
    assert not session.is_waiting
    assert session.next("id-one").body == b"event"  # it was not given yet
    assert not session.is_waiting
    assert session.next("id-one").status == 0
    assert session.is_waiting


def test_shutdown_goes_to_living_external_ones_whatever_they_do() -> None:
    session = session_of("busy", "idle", "gone", "deaf")
    busy, idle = ready(session, "busy", BOTH), ready(session, "idle", BOTH)
    ready(session, "gone", BOTH)
    ready(session, "deaf", b'{"events": ["INVOKE"]}')
    busy.phase = Phase.RUNNING
    assert session.ended(2).phase is Phase.EXITED
    assert list(session.shut_down(b"bye")) == [busy, idle]
    assert (session.shutdown_count, session.external_count) == (2, 3)
    session.ended(0)
    session.ended(1)
    assert session.shutdown_count == 0


def test_end_keeps_what_the_extension_said_before() -> None:
    session = session_of("one", "two")
    session.register("one", BOTH, "id-one")
    session.error("id-one", Call.INIT_ERROR, "Own.Reason")
    assert session.ended(0).phase is Phase.INIT_ERROR
    assert session.ended(1, is_launch_error=True).phase is Phase.LAUNCH_ERROR


def test_events_have_lambdas_members() -> None:
    assert json.loads(invoke_event(request_id="r", deadline_ms=5, invoked_arn="arn", trace_id="t")) == {
        "eventType": "INVOKE",
        "deadlineMs": 5,
        "requestId": "r",
        "invokedFunctionArn": "arn",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "t"},
    }
    assert json.loads(shutdown_event(reason="TIMEOUT", deadline_ms=7)) == {
        "eventType": "SHUTDOWN",
        "shutdownReason": "TIMEOUT",
        "deadlineMs": 7,
    }


CALLS = st.sampled_from([*Call, "invoke", "shut", "end"])


@given(st.lists(CALLS, max_size=30))
def test_no_sequence_revives_an_extension_or_breaks_its_counts(calls: list[Any]) -> None:
    session = session_of("one")
    for what in calls:
        if what == "invoke":
            list(session.invoked(b"e"))
        elif what == "shut":
            list(session.shut_down(b"s"))
        elif what == "end":
            session.ended(0)
        else:
            call(session, what)
        extension = session.extensions[0]
        if extension.has_ended:
            assert extension.phase not in (Phase.STARTED, Phase.REGISTERED, Phase.READY, Phase.RUNNING)
        assert session.shutdown_count <= session.external_count <= 1

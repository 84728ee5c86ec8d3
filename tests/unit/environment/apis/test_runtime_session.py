"""The Runtime API conversation: what each call means in each phase."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.apis.runtime_session import Meaning, Phase, RuntimeSession, Verdict
from squib.model.limits import MAX_SYNC_RESPONSE_BYTES

CALLS = ("next", "response", "error", "init_error", "wrong id", "restore_next", "restore_error")


def in_phase(phase: Phase) -> RuntimeSession:
    session = RuntimeSession()
    if phase is Phase.EXITED:
        return session
    session.started()
    if phase is Phase.INIT_ERROR:
        session.init_error()
    if phase in (Phase.RESTORING, Phase.RESTORE_ERROR):
        session.restore_next()
    if phase is Phase.RESTORE_ERROR:
        session.restore_error()
    if phase in (Phase.READY, Phase.RUNNING, Phase.RESPONSE_SENT):
        session.next()
    if phase in (Phase.RUNNING, Phase.RESPONSE_SENT):
        session.handed_out("id-1")
    if phase is Phase.RESPONSE_SENT:
        session.response("id-1", 2, None)
    assert session.phase is phase
    return session


def call(session: RuntimeSession, name: str) -> Verdict:
    if name == "next":
        return session.next()
    if name == "response":
        return session.response("id-1", 2, None)
    if name == "error":
        return session.error("id-1", 2)
    if name == "init_error":
        return session.init_error()
    if name == "restore_next":
        return session.restore_next()
    if name == "restore_error":
        return session.restore_error()
    return session.response("id-2", 2, None)


EXPECTED: dict[Phase, tuple[Meaning | int, ...]] = {
    Phase.STARTED: (Meaning.FIRST_NEXT, 400, 400, Meaning.INIT_ERROR, 400, Meaning.RESTORE, 403),
    Phase.INIT_ERROR: (403, 400, 400, 403, 400, 403, 403),
    Phase.RESTORING: (Meaning.FIRST_NEXT, 400, 400, 403, 400, 403, Meaning.RESTORE_ERROR),
    Phase.RESTORE_ERROR: (403, 400, 400, 403, 400, 403, 403),
    Phase.READY: (Meaning.NEXT, 400, 400, 403, 400, 403, 403),
    Phase.RUNNING: (Meaning.AGAIN, Meaning.RESPONSE, Meaning.ERROR, 403, 400, 403, 403),
    Phase.RESPONSE_SENT: (Meaning.NEXT, 403, 403, 403, 400, 403, 403),
    Phase.EXITED: (403, 400, 400, 403, 400, 403, 403),
}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", CALLS)
def test_every_call_in_every_phase(phase: Phase, name: str) -> None:
    session = in_phase(phase)
    verdict = call(session, name)
    expected = EXPECTED[phase][CALLS.index(name)]
    if isinstance(expected, Meaning):
        assert verdict.meaning is expected
    else:
        assert (verdict.meaning, verdict.status) == (Meaning.NOTHING, expected)
        assert session.phase is phase
        kind = {400: "InvalidRequestID", 403: "InvalidStateTransition"}[expected]
        assert json.loads(verdict.body)["errorType"] == kind


def test_accepted_answers_have_lambdas_body() -> None:
    verdict = in_phase(Phase.RUNNING).response("id-1", 2, None)
    assert (verdict.status, verdict.body) == (202, b'{"status":"OK"}\n')


def test_duplicate_answer_names_both_states() -> None:
    message = json.loads(in_phase(Phase.RESPONSE_SENT).response("id-1", 2, None).body)["errorMessage"]
    assert message == (
        "State transition from ResponseSent to InvocationResponse failed for runtime. "
        "Error: State transition is not allowed"
    )


@pytest.mark.parametrize(("over", "meaning"), [(0, Meaning.RESPONSE), (1, Meaning.TOO_LARGE)])
def test_response_over_the_limit_counts_as_an_answer_and_is_413(over: int, meaning: Meaning) -> None:
    session = in_phase(Phase.RUNNING)
    verdict = session.response("id-1", MAX_SYNC_RESPONSE_BYTES + over, None)
    assert verdict.meaning is meaning
    assert session.phase is Phase.RESPONSE_SENT
    if over:
        assert verdict.status == 413
        assert json.loads(verdict.body) == {
            "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "RequestEntityTooLarge",
        }


def test_streaming_is_a_mode_and_others_are_not() -> None:
    assert in_phase(Phase.RUNNING).response("id-1", 2, "streaming").meaning is Meaning.RESPONSE
    assert in_phase(Phase.RUNNING).response("id-1", 2, "telepathy").meaning is Meaning.BAD_MODE


@given(st.lists(st.sampled_from([*CALLS, "hand out", "start", "exit"]), max_size=50))
def test_no_sequence_of_calls_answers_an_invocation_twice(calls: list[str]) -> None:
    session = RuntimeSession()
    is_open = False
    for name in calls:
        if name == "hand out":
            if session.phase is Phase.READY:
                session.handed_out("id-1")
                is_open = True
        elif name == "start":
            session.started()
            is_open = False
        elif name == "exit":
            session.exited()
            is_open = False
        else:
            verdict = call(session, name)
            if verdict.meaning in (Meaning.RESPONSE, Meaning.ERROR):
                assert is_open
                is_open = False

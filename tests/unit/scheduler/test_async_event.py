"""The life of an asynchronous event: every pair of state and event, verdicts, and how every life ends."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.async_event import Condition, Progress, Target, TargetKind
from squib.model.errors import IllegalTransitionError
from squib.model.event_invoke import EventInvokeConfig
from squib.model.function import FunctionKey
from squib.model.units import AccountId, EpochMs, Region
from squib.scheduler.async_event import (
    RULES,
    Again,
    Came,
    Ended,
    Event,
    State,
    Terms,
    is_too_old,
    judge,
    tell_again_at_ms,
)
from squib.scheduler.machine import step
from squib.scheduler.retry import RetryDelays

KEY = FunctionKey(AccountId("0" * 12), Region("eu-west-1"), "f")
QUEUE, TOPIC, OTHER = "arn:queue", "arn:topic", "arn:other"
EXPECTED = {
    State.WAITING: {Event.BEGIN: State.RUNNING},
    State.RUNNING: {
        Event.LEAVE: State.WAITING,
        Event.RETRY: State.WAITING,
        Event.SETTLE: State.RESTING,
        Event.CLOSE: State.GONE,
    },
    State.RESTING: {Event.BEGIN: State.TELLING},
    State.TELLING: {
        Event.LEAVE: State.RESTING,
        Event.TELL_NEXT: State.RESTING,
        Event.TELL_AGAIN: State.RESTING,
        Event.CLOSE: State.GONE,
    },
    State.GONE: {},
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_of_state_and_event(state: State, event: Event) -> None:
    expected = EXPECTED[state].get(event)
    if expected is None:
        with pytest.raises(IllegalTransitionError):
            step(RULES, state, event)
    else:
        assert step(RULES, state, event)[0] is expected


def verdict(came: Came, progress: Progress, terms: Terms, age_ms: int) -> Again | Ended:
    return judge(
        came,
        progress,
        terms,
        RetryDelays(),
        accepted_at_ms=EpochMs(1_000),
        now_ms=EpochMs(1_000 + age_ms),
        draw=0,
    )


@pytest.mark.parametrize(
    ("came", "progress", "terms", "age_ms", "expected"),
    [
        (Came.SUCCESS, Progress(), Terms(), 0, Ended(Progress(1), Condition.SUCCESS)),
        (Came.SUCCESS, Progress(2, 2), Terms(), 0, Ended(Progress(3, 2), Condition.SUCCESS)),
        (Came.FAILURE, Progress(), Terms(), 5, Again(Progress(1, 1), EpochMs(61_005))),
        (Came.FAILURE, Progress(1, 1), Terms(), 5, Again(Progress(2, 2), EpochMs(121_005))),
        (Came.FAILURE, Progress(2, 2), Terms(), 5, Ended(Progress(3, 3), Condition.RETRIES_EXHAUSTED)),
        (Came.FAILURE, Progress(), Terms(0), 5, Ended(Progress(1, 1), Condition.RETRIES_EXHAUSTED)),
        (Came.FAILURE, Progress(0, 0, 7), Terms(), 5, Again(Progress(1, 1), EpochMs(61_005))),
        (
            Came.FAILURE,
            Progress(),
            Terms(max_age_ms=60_000),
            1,
            Ended(Progress(1, 1), Condition.EVENT_AGE_EXCEEDED),
        ),
        (Came.REFUSAL, Progress(), Terms(), 0, Again(Progress(0, 0, 1), EpochMs(2_000))),
        (Came.REFUSAL, Progress(1, 1, 3), Terms(), 0, Again(Progress(1, 1, 4), EpochMs(9_000))),
        (
            Came.REFUSAL,
            Progress(0, 0, 50),
            Terms(),
            21_400_000,
            Ended(Progress(0, 0, 51), Condition.EVENT_AGE_EXCEEDED),
        ),
        (Came.NO_CONCURRENCY, Progress(), Terms(), 0, Ended(Progress(), Condition.NO_CONCURRENCY)),
        (Came.RECURSION, Progress(), Terms(), 0, Ended(Progress(), Condition.RECURSION)),
    ],
)
def test_verdicts(came: Came, progress: Progress, terms: Terms, age_ms: int, expected: Again | Ended) -> None:
    assert verdict(came, progress, terms, age_ms) == expected


def test_an_event_may_be_as_old_as_it_may_be() -> None:
    terms = Terms(max_age_ms=60_000)
    assert not is_too_old(terms, EpochMs(0), now_ms=EpochMs(60_000))
    assert is_too_old(terms, EpochMs(0), now_ms=EpochMs(60_001))


def test_terms_are_the_configuration_s_with_defaults() -> None:
    assert Terms.of(None, None) == Terms(2, 21_600_000)
    config = EventInvokeConfig(function=KEY, qualifier="$LATEST", modified_at_ms=EpochMs(0))
    assert Terms.of(config, QUEUE) == Terms(2, 21_600_000, None, None, QUEUE)
    config = EventInvokeConfig(
        function=KEY,
        qualifier="$LATEST",
        modified_at_ms=EpochMs(0),
        max_retry_attempts=0,
        max_event_age_s=60,
        on_success=TOPIC,
        on_failure=OTHER,
    )
    assert Terms.of(config, None) == Terms(0, 60_000, TOPIC, OTHER, None)


def test_failures_go_to_the_dead_letter_queue_and_to_the_destination() -> None:
    terms = Terms(on_success=OTHER, on_failure=TOPIC, dead_letter=QUEUE)
    assert terms.targets(Condition.SUCCESS) == (Target(TargetKind.DESTINATION, OTHER),)
    for condition in set(Condition) - {Condition.SUCCESS}:
        assert terms.targets(condition) == (
            Target(TargetKind.DEAD_LETTER, QUEUE),
            Target(TargetKind.DESTINATION, TOPIC),
        )
        assert Terms().targets(condition) == ()


def test_a_delivery_is_given_up_after_six_hours() -> None:
    delays = RetryDelays()
    at_ms = tell_again_at_ms(EpochMs(0), 1, delays, now_ms=EpochMs(5), draw=0)
    assert at_ms == 1_005
    assert tell_again_at_ms(EpochMs(0), 90, delays, now_ms=EpochMs(21_400_000), draw=0) is None


optional_arns = st.sampled_from([None, "arn:some"])


@given(
    st.lists(st.sampled_from(Came), max_size=12),
    st.builds(
        Terms, st.integers(0, 2), st.integers(60_000, 21_600_000), optional_arns, optional_arns, optional_arns
    ),
    st.lists(st.booleans(), max_size=6),
    st.integers(0, 5),
    st.floats(0, 1, exclude_max=True),
)
def test_every_life_ends_once_and_in_one_way(
    outcomes: list[Came], terms: Terms, told: list[bool], leaves: int, draw: float
) -> None:
    """Whatever happens, an event ends delivered, told, as a dead letter or dropped: one of them, and once."""
    delays = RetryDelays()
    now_ms, progress, state, ends = EpochMs(0), Progress(), State.WAITING, Counter[str]()
    pending: tuple[Target, ...] = ()
    ended_at_ms, failures, condition = EpochMs(0), 0, Condition.SUCCESS
    reached: list[TargetKind] = []
    coming = iter(outcomes)
    for _ in range(2_000):
        if state is State.GONE:
            break
        state, _ = step(RULES, state, Event.BEGIN)
        if leaves:
            leaves -= 1
            state, _ = step(RULES, state, Event.LEAVE)
            continue
        if state is State.RUNNING:
            came = next(coming, Came.REFUSAL)
            found = judge(came, progress, terms, delays, accepted_at_ms=EpochMs(0), now_ms=now_ms, draw=draw)
            assert found.progress.attempts >= progress.attempts
            progress = found.progress
            if isinstance(found, Again):
                assert found.due_at_ms > now_ms
                assert found.due_at_ms <= terms.max_age_ms
                now_ms = found.due_at_ms
                state, _ = step(RULES, state, Event.RETRY)
                continue
            condition, pending, ended_at_ms = found.condition, terms.targets(found.condition), now_ms
            state, _ = step(RULES, state, Event.SETTLE if pending else Event.CLOSE)
        else:
            if (told.pop() if told else False) is False:
                failures += 1
                due = tell_again_at_ms(ended_at_ms, failures, delays, now_ms=now_ms, draw=draw)
                if due is not None:
                    now_ms = due
                    state, _ = step(RULES, state, Event.TELL_AGAIN)
                    continue
            else:
                reached.append(pending[0].kind)
            pending, failures = pending[1:], 0
            state, _ = step(RULES, state, Event.TELL_NEXT if pending else Event.CLOSE)
    assert state is State.GONE
    ends["delivered" if condition is Condition.SUCCESS else str(reached[0] if reached else "dropped")] += 1
    assert sum(ends.values()) == 1
    assert progress.failures <= terms.max_retries + 1
    assert not pending

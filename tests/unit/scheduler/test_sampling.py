"""The default rule: one request a second, and a twentieth of the others."""

from random import Random

from squib.scheduler.sampling import sample


def test_first_request_of_each_second_is_traced() -> None:
    first = sample(0, now_s=10, draw=0.99)
    assert first.is_sampled
    assert not sample(first.reserved_s, now_s=10, draw=0.99).is_sampled
    assert sample(first.reserved_s, now_s=11, draw=0.99).is_sampled


def test_a_twentieth_of_the_others_is_traced() -> None:
    assert sample(10, now_s=10, draw=0.049).is_sampled
    assert not sample(10, now_s=10, draw=0.05).is_sampled
    random = Random(1)
    taken = sum(sample(10, now_s=10, draw=random.random()).is_sampled for _ in range(10_000))
    assert 430 < taken < 570

"""The default rule: one request a second, and a twentieth of the others."""

from random import Random

from squib.scheduler.sampling import Reserved, sample


def test_first_request_of_each_second_is_traced() -> None:
    is_sampled, reserved = sample(Reserved(), "a", now_s=10, draw=0.99)
    assert is_sampled
    assert sample(reserved, "b", now_s=10, draw=0.99) == (False, reserved)
    assert sample(reserved, "c", now_s=11, draw=0.99) == (True, Reserved(11, "c"))


def test_request_that_was_first_is_so_when_it_is_asked_about_again() -> None:
    _, reserved = sample(Reserved(), "a", now_s=10, draw=0.99)
    assert sample(reserved, "a", now_s=10, draw=0.99) == (True, reserved)


def test_a_twentieth_of_the_others_is_traced() -> None:
    first = Reserved(10, "a")
    assert sample(first, "b", now_s=10, draw=0.049)[0]
    assert not sample(first, "b", now_s=10, draw=0.05)[0]
    random = Random(1)
    taken = sum(sample(first, "b", now_s=10, draw=random.random())[0] for _ in range(10_000))
    assert 430 < taken < 570

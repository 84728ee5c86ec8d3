"""The commands of the fork server: exact size, bounds, nothing else gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.isolation.python_client import python_paths, with_own_paths
from squib.environment.isolation.sandbox_protocol import ASSIGN_LAYOUT, Assign

ASSIGN = Assign(
    memory_bytes=128 << 20,
    processes=1024,
    cpu_shares=74,
    cpu_quota_us=0,
    tmp_bytes=512 << 20,
    code=bytes(32),
    opt=bytes(range(32)),
)


def test_assignment_survives_the_wire() -> None:
    assert Assign.decode(ASSIGN.encode()) == ASSIGN


@given(st.binary(max_size=ASSIGN_LAYOUT.size + 8))
def test_anything_else_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError):
        Assign.decode(message)


@pytest.mark.parametrize("memory_bytes", [0, (64 << 30) + 1])
def test_memory_out_of_bounds_is_refused(memory_bytes: int) -> None:
    with pytest.raises(ValueError):
        Assign.decode(ASSIGN._replace(memory_bytes=memory_bytes).encode())


def test_function_comes_before_layers_before_the_runtime_before_the_standard_library() -> None:
    assert python_paths((3, 12), ["/var/lang/lib/python3.12"]) == [
        "/var/task",
        "/opt/python/lib/python3.12/site-packages",
        "/opt/python",
        "/var/runtime",
        "/var/lang/lib/python3.12",
    ]


def test_a_functions_own_python_path_comes_before_the_runtime_but_not_twice() -> None:
    paths = python_paths((3, 12), ["/var/lang/lib/python3.12"])
    assert with_own_paths(paths, "/var/runtime:/opt/own::/opt/python") == [
        "/var/task",
        "/opt/python/lib/python3.12/site-packages",
        "/opt/python",
        "/opt/own",
        "/var/runtime",
        "/var/lang/lib/python3.12",
    ]


def test_more_extensions_than_may_register_are_refused() -> None:
    assert Assign.decode(ASSIGN._replace(extensions=10).encode()).extensions == 10
    with pytest.raises(ValueError):
        Assign.decode(ASSIGN._replace(extensions=11).encode())

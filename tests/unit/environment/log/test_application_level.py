"""Which lines of application logs are kept at which level."""

import pytest

from squib.environment.log.application_level import LEVELS, is_kept, least_level
from squib.model.function import LoggingConfig


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ('{"level": "trace", "msg": "m"}', "TRACE"),
        ('{"level": "DEBUG"}\n', "DEBUG"),
        ('{"msg": "m", "level": "Info"}', "INFO"),
        ('{"level": "warn"}', "WARN"),
        ('{"level": "error", "nested": {"level": "debug"}}', "ERROR"),
        ('{"level": "fatal"}', "FATAL"),
        ('{"level": "WARNING"}', "WARN"),
        ('{"level": "CRITICAL"}', "FATAL"),
        ('{"level": "loud"}', "INFO"),
        ('{"level": 3}', "INFO"),
        ('{"level": null}', "INFO"),
        ("{}", "INFO"),
    ],
)
def test_an_object_is_kept_from_its_level_downwards(line: str, level: str) -> None:
    kept = [name for name, number in LEVELS.items() if is_kept(line, number)]
    assert kept == [name for name, number in LEVELS.items() if number <= LEVELS[level]]


@pytest.mark.parametrize(
    "line", ["plain", "", "[1]", '{"level": "debug"', '{"a": ' * 50_000, '"{}"', "\ufffd{}"]
)
def test_a_line_that_is_no_object_is_kept(line: str) -> None:
    assert all(is_kept(line, number) for number in LEVELS.values())


def test_only_functions_that_log_json_have_a_least_level() -> None:
    json = LoggingConfig(
        log_group="g", log_format="JSON", application_log_level="WARN", system_log_level="INFO"
    )
    assert least_level(json) == LEVELS["WARN"]
    assert least_level(LoggingConfig(log_group="g")) == 0

"""Filter patterns: which messages they let through, and which patterns are refused."""

import pytest

from squib.control_plane.logs.filter_pattern import parse_filter_pattern
from squib.model.errors import InvalidParameter

LINES = [
    "[ERROR 400] BAD REQUEST",
    "[ERROR 401] UNAUTHORIZED REQUEST",
    "[WARN 500] disk-full: /var",
    "INFO all is well",
    "ERRORS: 2",
    '{"level": "ERROR", "ms": 12.5, "ok": false, "user": null, "tags": ["a", {"k": "v"}], "n": "12"}',
    "",
]


def matching(pattern: str) -> list[int]:
    matches = parse_filter_pattern(pattern)
    return [n for n, line in enumerate(LINES) if matches is None or matches(line)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5, 6]),
        ("   ", [0, 1, 2, 3, 4, 5, 6]),
        ('""', [0, 1, 2, 3, 4, 5, 6]),
        ("ERROR", [0, 1, 5]),  # ERRORS is another word
        ("error", []),
        ("ERROR REQUEST", [0, 1]),
        ("REQUEST  ERROR", [0, 1]),
        ('"BAD REQUEST"', [0]),
        ('"[ERROR 401]"', [1]),
        ('"disk-full"', [2]),
        ("disk", [2]),
        ("UNAUTH", []),
        ("-ERROR", [2, 3, 4, 6]),
        ("REQUEST -UNAUTHORIZED", [0]),
        ('REQUEST -"BAD REQUEST"', [1]),
        ("?WARN ?INFO", [2, 3]),
        ('?WARN ?"all is"', [2, 3]),
        ("?WARN ?INFO ERROR", [0, 1, 5]),  # beside a required term, optional ones count for nothing
        (r'"\"level\""', [5]),
    ],
)
def test_terms(pattern: str, expected: list[int]) -> None:
    assert matching(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ('{ $.level = "ERROR" }', True),
        ("{ $.level = ERROR }", True),
        ("{$.level=ERR*}", True),
        ("{ $.level = *RR* }", True),
        ("{ $.level = E*O*R }", True),
        ("{ $.level = *X* }", False),
        ("{ $.level = RR }", False),
        ("{ $.level != ERR* }", False),
        ('{ $.level != "WARN" }', True),
        ("{ $.missing != WARN }", False),
        ("{ $.ms = 12.5 }", True),
        ("{ $.ms > 12 }", True),
        ("{ $.ms >= 12.5 }", True),
        ("{ $.ms < 1.25e1 }", False),
        ("{ $.ms <= 12.5 }", True),
        ("{ $.ms != 12 }", True),
        ("{ $.level > 1 }", False),
        ("{ $.ok > -1 }", False),
        ("{ $.n = 12 }", True),
        ("{ $.n > 1 }", False),
        ("{ $.ok IS FALSE }", True),
        ("{ $.ok IS TRUE }", False),
        ("{ $.ok = false }", True),
        ("{ $.user IS NULL }", True),
        ("{ $.ms IS NULL }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.user NOT EXISTS }", False),
        ("{ $.tags[0] = a }", True),
        ("{ $.tags[1].k = v }", True),
        ("{ $.tags[2] = a }", False),
        ("{ $.tags.k = v }", False),
        ('{ $.level = "WARN" || $.ms = 12.5 && $.ok IS FALSE }', True),
        ('{ ($.level = "WARN" || $.ms = 12.5) && $.ok IS TRUE }', False),
        ("{ ($.level = ERROR) && ($.ms = 12.5) }", True),
    ],
)
def test_json(pattern: str, matches: bool) -> None:
    assert matching(pattern) == ([5] if matches else [])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("%AUTHORIZED%", [1]),
        ("%^.ERROR%", [0, 1]),
        (r"%\d{3}\]%", [0, 1, 2]),
        ("%[Ee]rror|well$%", [3]),
        ("{ $.level = %^ERR% }", [5]),
        ("{ $.level != %^ERR% }", []),
        ("{ $.ms = %2[.]5% }", [5]),
        ("{ $.ok = %f% }", []),
        ("{ $.missing != %x% }", []),
    ],
)
def test_regular_expressions(pattern: str, expected: list[int]) -> None:
    assert matching(pattern) == expected


REQUESTS = [
    '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534',
    '127.0.0.2 Prod peter [10/Oct/2000:13:35:11 -0700] "GET /about.html HTTP/1.0" 500 5324',
    '127.0.0.3 Test jane [10/Oct/2000:13:25:15 -0700] "POST /form HTTP/1.0" 200 4355\n',
    "INFO started in 12 ms",
    "",
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ip, stage, user, time, request, status_code, bytes]", [0, 1, 2]),
        ("[ip, stage, user, time, request, status_code = 404, bytes]", [0]),
        ("[ip, stage, user, time, request =*.html*, status_code = 4*, bytes]", [0]),
        ("[ip, stage, user, time, request, status_code = 4* || status_code = 5*, bytes > 2000]", [1]),
        ("[..., request =*.html*, status_code, bytes]", [0, 1]),
        ("[..., request =*.html*, status_code,]", [0, 1]),
        ("[..., status_code != 200 && status_code != 404, bytes]", [1, 3]),
        ("[ip = %127\\.0\\.0\\.[13]%, ...]", [0, 2]),
        ("[ip != 127*, ...]", [3]),
        ("[..., bytes >= 4355]", [1, 2]),
        ("[..., bytes < 2e3]", [0]),
        ('[ip, ..., time = "10/Oct/2000:13:35:11 -0700", request, status, bytes]', [1]),
        ('[w1 = "INFO", w2, ...]', [3]),
        ("[w1=INFO&&w1!=WARN, ...]", [3]),
        ("[w1 = PROD, ...]", []),
        ("[a, b]", []),
        ("[...]", [0, 1, 2, 3, 4]),
        ("[a, ..., b]", [0, 1, 2, 3]),
    ],
)
def test_fields_between_spaces(pattern: str, expected: list[int]) -> None:
    matches = parse_filter_pattern(pattern)
    assert matches is not None
    assert [n for n, line in enumerate(REQUESTS) if matches(line)] == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("disk-full", "Invalid character(s) in term 'disk-full'"),
        ("a:b", "Invalid character(s) in term 'a:b'"),
        ('"open', "Invalid filter pattern"),
        ('a"b"', "Invalid filter pattern"),
        ("%", "Invalid filter pattern"),
        ("%%", "Invalid filter pattern"),
        ("%open", "Invalid filter pattern"),
        ("%something!%", "Invalid filter pattern"),
        ("%one% two", "Invalid filter pattern"),
        ("{ $.a = %x }", "Invalid filter pattern"),
        ("{ $.a > %x% }", "Invalid filter pattern"),
        (
            "{ $.a = %x% || $.a = %y% || $.a = %z% }",
            "A filter pattern can have no more than 2 regular expressions.",
        ),
        ("[ip, user", "Invalid filter pattern"),
        ("[ip, user] more", "Invalid filter pattern"),
        ("[..., a, ...]", "Invalid filter pattern"),
        ("[a b]", "Invalid filter pattern"),
        ("[a = ]", "Invalid filter pattern"),
        ("[a = 1 && b = 2]", "Invalid filter pattern"),
        ("[a = 1 &&]", "Invalid filter pattern"),
        ("[a > b]", "Invalid filter pattern"),
        ("[a*]", "Invalid filter pattern"),
        ('["a"]', "Invalid filter pattern"),
        ("{", "Invalid filter pattern"),
        ("{}", "Invalid filter pattern"),
        ("{ $.a }", "Invalid filter pattern"),
        ("{ $.a = }", "Invalid filter pattern"),
        ("{ a = 1 }", "Invalid filter pattern"),
        ("{ $ = 1 }", "Invalid filter pattern"),
        ("{ $.a[x] = 1 }", "Invalid filter pattern"),
        ("{ $.a > b }", "Invalid filter pattern"),
        ('{ $.a > "1" }', "Invalid filter pattern"),
        ("{ $.a = 1 } b", "Invalid filter pattern"),
        ("{ $.a = 1 && }", "Invalid filter pattern"),
        ("{ ($.a = 1 }", "Invalid filter pattern"),
        ("{ $.a IS MAYBE }", "Invalid filter pattern"),
        ("{ $.a NOT THERE }", "Invalid filter pattern"),
        ("{ " + "(" * 100 + "$.a = 1" + ")" * 100 + " }", "Invalid filter pattern"),
    ],
)
def test_a_bad_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_filter_pattern(pattern)
    assert refused.value.message == message
    assert (refused.value.code, refused.value.status) == ("InvalidParameterException", 400)


def test_messages_that_are_no_json_never_match_a_json_pattern() -> None:
    matches = parse_filter_pattern("{ $.a NOT EXISTS }")
    assert matches is not None
    for message in ("", "text", '{"a": ', '"string"', "1", "[" * 100_000):
        assert not matches(message)
    assert matches(' {"b": 1}\n')


def test_a_hostile_wildcard_is_cheap() -> None:
    matches = parse_filter_pattern("{ $.a = " + "*a" * 400 + "b }")
    assert matches is not None
    assert not matches('{"a": "' + "a" * 200_000 + '"}')

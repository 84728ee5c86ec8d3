"""The repository itself: file sizes, pages that must be current, links, pins, and what the README runs."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from squib.cli import COMMANDS
from squib.config import settings_page

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 500
PYTHON_FILES = sorted(
    path
    for folder in ("src", "tests", "examples", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if "out" not in path.parts
)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REQUIREMENTS = sorted([*(ROOT / "requirements").glob("*.txt"), ROOT / "examples/thumbnail/requirements.txt"])
README = (ROOT / "README.md").read_text()
MAKE_TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SHELL_WORDS = {"export", "eval", "cat", "echo", "PY", "JSON"}
TOOLS = {"aws", "python"}


def test_files_stay_readable() -> None:
    sizes = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in PYTHON_FILES}
    assert len(sizes) > 50
    assert {path: lines for path, lines in sizes.items() if lines > MAX_LINES} == {}


def test_every_module_says_what_it_holds() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in PYTHON_FILES
        if (text := path.read_text()) and not text.startswith(('"""', 'r"""', "#!"))
    ]
    assert silent == []


def test_settings_page_is_current() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_page(), (
        "make it anew: python -m squib.config > docs/settings.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_requirements_are_pinned_with_hashes_and_name_no_index(file: Path) -> None:
    text = file.read_text().replace("\\\n", " ")
    rows = [row for row in text.splitlines() if row.strip() and not row.startswith("#")]
    assert rows
    for row in rows:
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", row), row
        assert "://" not in row


def test_pins_agree_with_each_other() -> None:
    pins: dict[str, set[str]] = {}
    for file in REQUIREMENTS:
        for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", file.read_text(), re.MULTILINE):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


def test_package_and_requirements_name_the_same_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        row for row in (ROOT / "requirements/run.in").read_text().splitlines() if not row.startswith("#")
    ]
    assert sorted(project["dependencies"]) == sorted(wanted)


def readme_commands() -> list[list[str]]:
    """The words of every simple command in the README's shell blocks, here-documents left out."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    text = "\n".join(
        re.sub(r"<<'(\w+)'\n.*?^\1$", "", block, flags=re.MULTILINE | re.DOTALL) for block in blocks
    )
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def test_readme_names_only_what_exists() -> None:
    squib_commands = {tuple(command.name.split()) for command in COMMANDS}
    commands = readme_commands()
    assert len(commands) >= 15
    for first, *rest in commands:
        if first == "make":
            assert set(rest) <= MAKE_TARGETS
        elif first == "squib":
            assert any(tuple(rest[: len(name)]) == name for name in squib_commands), rest
        else:
            assert first in SHELL_WORDS | TOOLS, first


def test_commands_named_in_pages_exist() -> None:
    known = {command.name.split()[0] for command in COMMANDS}
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", page.read_text()):
            words = code.split()
            if words[0] == "squib" and len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
                assert words[1] in known | {"ready"}, (page, code)
            if words[0] == "make" and len(words) > 1:
                assert words[1] in MAKE_TARGETS, (page, code)

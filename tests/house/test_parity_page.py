"""docs/parity.md says what is so."""

from compat.scenarios import page
from harness.squib import ROOT


def test_the_parity_page_is_current() -> None:
    written = (ROOT / "docs" / "parity.md").read_text()
    assert written == page.render(), "what it tells has changed: make parity"


def test_what_has_a_handler_counts_as_built() -> None:
    built = page.built_operations()
    assert {"CreateFunction", "Invoke"} <= built
    assert "CreateCapacityProvider" not in built

"""Prints docs/settings.md: `python -m squib.config > docs/settings.md`."""

import sys

from squib.config.page import settings_page

sys.stdout.write(settings_page())

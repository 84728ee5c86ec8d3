"""Settings: default < settings file (TOML) < SQUIB_* variable < flag.

Read once at the start and passed on as values: there is no global that changes.
"""

from squib.config.kinds import did_you_mean
from squib.config.load import SettingsError, default_file, load
from squib.config.options import BY_NAME, CONFIG_VARIABLE, OPTIONS, Option, Surroundings
from squib.config.page import settings_page
from squib.config.settings import (
    S3,
    Asynchronous,
    Environments,
    Identity,
    Isolation,
    Logging,
    Runtimes,
    Server,
    Settings,
    Storage,
    is_loopback,
)

__all__ = [
    "BY_NAME",
    "CONFIG_VARIABLE",
    "OPTIONS",
    "S3",
    "Asynchronous",
    "Environments",
    "Identity",
    "Isolation",
    "Logging",
    "Option",
    "Runtimes",
    "Server",
    "Settings",
    "SettingsError",
    "Storage",
    "Surroundings",
    "default_file",
    "did_you_mean",
    "is_loopback",
    "load",
    "settings_page",
]

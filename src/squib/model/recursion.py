"""What is set about a function that is found to invoke itself in a loop."""

from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import Kind

TERMINATE: Final = "Terminate"


class RecursionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`Terminate`, the default, drops an event that has gone round too often; `Allow` lets it go on."""

    function: FunctionKey
    recursive_loop: str = TERMINATE


RECURSION_CONFIGS: Final = Kind("recursion_config", FunctionKey, RecursionConfig)

"""What ends with a function: the one list of kinds whose items belong to a function, a version or an alias.

**To add a kind:** name its items `FUNCTION`, or `FUNCTION:QUALIFIER` for those of one version or alias
(`alias.qualified_key`), and put the kind into `BELONGINGS`. DeleteFunction then deletes its items with the
function, in the same transaction; deleting one version or alias deletes the items of that qualifier. No
other code is needed.
"""

from typing import Any, Final

from squib.model.alias import ALIASES
from squib.model.code_signing import FUNCTION_CODE_SIGNING
from squib.model.concurrency import PROVISIONED_CONCURRENCY, RESERVED_CONCURRENCY
from squib.model.event_invoke import EVENT_INVOKE_CONFIGS
from squib.model.function import VERSIONS
from squib.model.function_url import FUNCTION_URLS
from squib.model.item import Kind
from squib.model.recursion import RECURSION_CONFIGS
from squib.model.resource_policy import RESOURCE_POLICIES

BELONGINGS: Final[tuple[Kind[Any, Any], ...]] = (
    VERSIONS,
    ALIASES,
    RESERVED_CONCURRENCY,
    PROVISIONED_CONCURRENCY,
    FUNCTION_CODE_SIGNING,
    RESOURCE_POLICIES,
    EVENT_INVOKE_CONFIGS,
    RECURSION_CONFIGS,
    FUNCTION_URLS,
)

"""The handler table: which function of the control plane answers which operation.

A service is a class whose constructor takes its dependencies and whose `handlers` names what it has built.
An operation that no service names is not in the table; the gateway answers it as not built yet.
"""

from collections.abc import Mapping
from typing import Protocol

from squib.model.operation import Handler, HandlerTable


class Service(Protocol):
    """One AWS service's operations."""

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name -> handler, for each operation that is built."""


def table(services: Mapping[str, Service]) -> HandlerTable:
    """The table of all `services`, given by the name the gateway routes by (`lambda`, `sts`, `logs`)."""
    return {
        (name, operation): handler
        for name, service in services.items()
        for operation, handler in service.handlers().items()
    }

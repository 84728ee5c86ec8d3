"""What is kept from whoever reads the database, a log or a traceback."""

from collections.abc import Mapping


class SecretMap:
    """Names and values of which the values are secret, such as environment variables. The store seals them;
    a `repr` shows the names alone."""

    __slots__ = ("plain",)

    def __init__(self, plain: Mapping[str, str]) -> None:
        self.plain = plain
        """Never changed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretMap) and self.plain == other.plain

    def __hash__(self) -> int:
        return hash(frozenset(self.plain))

    def __repr__(self) -> str:
        return f"SecretMap({', '.join(self.plain)})"

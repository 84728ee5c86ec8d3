"""Items as documents: JSON, in which secrets are sealed for the very item that holds them.

Fields of a document that this squib does not know are passed over, so a database survives a step back to an
older squib of the same schema version.
"""

from typing import Any, TypeVar

import msgspec

from squib.model.item import Key, Kind
from squib.model.secret import SecretMap
from squib.model.units import AccountId, Region
from squib.store.rows import Parameters, Row, UnreadableRow
from squib.store.sealing import FILE_NAME, Seal, SealBroken

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)


def key_parameters(kind: Kind[K, V], key: K) -> Parameters:
    """The columns that name an item."""
    return {"kind": kind.name, "account_id": key.account_id, "region": key.region, "name": key.name}


class Documents:
    """Writes and reads the documents of items. Any thread."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def parameters(self, kind: Kind[K, V], key: K, value: V) -> Parameters:
        """All columns of an item."""

        def encode(secret: Any) -> str:
            if not isinstance(secret, SecretMap):
                raise NotImplementedError(f"no document holds a {type(secret).__name__}")
            plain = msgspec.json.encode(secret.plain).decode()
            return self._seal.seal_text(plain, purpose=_purpose(kind, key))

        document = msgspec.json.encode(value, enc_hook=encode).decode()
        return {**key_parameters(kind, key), "document": document}

    def item(self, kind: Kind[K, V], row: Row) -> tuple[K, V]:
        """From document, account_id, region, name. Raises UnreadableRow."""
        key = kind.key(AccountId(str(row[1])), Region(str(row[2])), str(row[3]))

        def decode(_: type, stored: Any) -> SecretMap:
            if isinstance(stored, dict):  # as it was stored before secrets were sealed
                return SecretMap(stored)
            plain = self._seal.open_text(str(stored), purpose=_purpose(kind, key))
            return SecretMap(msgspec.json.decode(plain, type=dict[str, str]))

        try:
            return key, msgspec.json.decode(str(row[0]), type=kind.value_type, dec_hook=decode)
        except SealBroken as error:
            raise UnreadableRow(
                f"The database holds secrets of the {kind.name} {key.name} that {FILE_NAME} does not "
                "open: restore the file that belongs to this database."
            ) from error
        except msgspec.MsgspecError as error:
            raise UnreadableRow(
                f"The database holds a {kind.name} that this squib cannot read: {error}"
            ) from error


def _purpose(kind: Kind[K, V], key: K) -> str:
    return f"item {kind.name} {key.account_id} {key.region} {key.name}"

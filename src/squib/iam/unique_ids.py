"""IAM's unique ids, in AWS's form: a prefix that says what it names, and base32.

The id of an access key spells its account, as AWS's do since 2019: after one bit that is set come the forty
of the account's number. So a key is found without an index of all accounts' keys, and GetAccessKeyInfo asks
nobody.
"""

import base64
import binascii
from typing import Final

from squib.model.units import AccountId

LONG_LIVED: Final = "AKIA"
TEMPORARY: Final = "ASIA"

NOISE_BYTES: Final = 11
"""How many random bytes the id of an entity takes."""
KEY_NOISE_BYTES: Final = 5
"""How many that of an access key takes."""

_KEY_BITS: Final = 80
_OWN_BITS: Final = 39  # what is left of the eighty beside one that is set and forty of the account


def entity_id(prefix: str, noise: bytes) -> str:
    """A unique id such as `AIDA...`: the prefix and 17 characters."""
    return prefix + base64.b32encode(noise[:NOISE_BYTES]).decode()[:17]


def access_key_id(prefix: str, account_id: AccountId, noise: bytes) -> str:
    """The id of an access key of `account_id`: the prefix and 16 characters."""
    own = int.from_bytes(noise[:KEY_NOISE_BYTES]) & ((1 << _OWN_BITS) - 1)
    number = 1 << (_KEY_BITS - 1) | int(account_id) << _OWN_BITS | own
    return prefix + base64.b32encode(number.to_bytes(_KEY_BITS // 8)).decode()


def account_of(access_key_id: str) -> AccountId | None:
    """The account that an access key id spells; None when it spells none."""
    if len(access_key_id) != 20:
        return None
    try:
        number = int.from_bytes(base64.b32decode(access_key_id[4:]))
    except (binascii.Error, ValueError):
        return None
    account = (number >> _OWN_BITS) & ((1 << 40) - 1)
    return AccountId(f"{account:012}") if number >> (_KEY_BITS - 1) and account < 10**12 else None

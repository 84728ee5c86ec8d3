"""What goes with a function, a version or an alias when it is deleted. Within the caller's transaction."""

from squib.model.alias import ALIASES, qualified_key
from squib.model.belongings import BELONGINGS
from squib.model.errors import ResourceConflict
from squib.model.function import FUNCTIONS, VERSIONS, FunctionKey, version_key
from squib.store.base import Transaction


def delete_function(transaction: Transaction, key: FunctionKey) -> None:
    """Deletes the function and all that belongs to it. The numbers of its versions stay taken."""
    transaction.delete(FUNCTIONS, key)
    for kind in BELONGINGS:
        transaction.delete_under(kind, key.account_id, key.region, key.name)


def delete_version(transaction: Transaction, key: FunctionKey, number: str) -> None:
    """Deletes one published version and what hangs on it; one that is not there is no error (seen on AWS in
    2026). Raises ResourceConflict while an alias points to it."""
    users = [
        alias.name
        for alias in transaction.page(ALIASES, key.account_id, key.region, prefix=f"{key.name}:")
        if number == alias.function_version or number in alias.weights
    ]
    if users:
        raise ResourceConflict(
            f"Unable to delete version because the following aliases reference it: [{', '.join(users)}]"
        )
    transaction.delete(VERSIONS, version_key(key, number))
    delete_qualifier(transaction, key, number)


def delete_qualifier(transaction: Transaction, key: FunctionKey, qualifier: str) -> None:
    """Deletes what belongs to one qualifier, the alias of that name included."""
    for kind in BELONGINGS:
        transaction.delete(kind, qualified_key(key, qualifier))

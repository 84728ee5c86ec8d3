"""What tests of IAM and STS operations share: clients of any principal over a real store and key ring."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from squib.access.callers import CallerBook
from squib.access.denials import Denials
from squib.access.organization import Organization
from squib.clock import SystemClock, SystemEntropy
from squib.control_plane.iam import IamService
from squib.control_plane.sts import Issuer, Sts, StsService
from squib.model.account import ACCOUNTS, Account, account_key
from squib.model.errors import ApiError
from squib.model.identity import AccessKey, Principal, root_principal, user_principal
from squib.model.operation import AuthorizedCall, Handler
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.model.user_key import USER_KEYS
from squib.store.authorization_messages import AuthorizationMessages
from squib.store.base import Store
from squib.store.credentials import RootCredentials, RootKeys
from squib.store.identities import Identities
from squib.store.key_uses import KeyUses
from squib.store.keyring import KeyRing
from squib.store.sealing import Seal
from squib.store.sqlite import StoreOptions, open_store

ACCOUNT = AccountId("000000000000")
OTHER = AccountId("111111111111")
REGION = Region("eu-west-1")
NOW = EpochMs(1_700_000_000_000)
ROOT_KEY = AccessKey(
    access_key_id="AKIAROOTROOTROOTROOT", secret_access_key="r" * 40, principal=root_principal(ACCOUNT)
)


def policy(**statement: Any) -> str:
    """A document of one statement; it allows everything unless told otherwise."""
    whole = {"Effect": "Allow", "Action": "*", "Resource": "*", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


def trust(**principal: Any) -> str:
    """A trust policy."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


LAMBDA_TRUST = trust(Service="lambda.amazonaws.com")


class World:
    """A store, its key ring, and the services over them."""

    def __init__(
        self, store: Store, data_dir: Path, issuer: Issuer | None, organization: Organization | None
    ) -> None:
        self.store = store
        self.now_ms = NOW
        self.identities = Identities(store)
        entropy = SystemEntropy()
        self.seal = Seal.load_or_create(data_dir, entropy)
        self.keyring = KeyRing(
            RootKeys(data_dir, RootCredentials(keys={ACCOUNT: ROOT_KEY}, default_account_id=ACCOUNT)),
            self.identities,
            store.collection(USER_KEYS),
            KeyUses(store),
            self.seal,
            SystemClock(),
            entropy,
        )
        self.callers = CallerBook(self.identities)
        self.denials = Denials()
        self.sts = Sts(
            identities=self.identities,
            callers=self.callers,
            organization=organization or Organization(),
            denials=self.denials,
            keyring=self.keyring,
            messages=AuthorizationMessages(self.seal),
            issuer=issuer,
        )
        self.handlers: dict[str, Handler] = {
            **IamService(store, self.identities, self.keyring, entropy).handlers(),
            **StsService(self.sts).handlers(),
        }

    async def call(
        self, operation: str, principal: Principal | None = None, **parameters: object
    ) -> Mapping[str, Any]:
        """What the handler answers, to the account's root unless a principal is given."""
        caller = principal or root_principal(ACCOUNT)
        call = AuthorizedCall(
            service="iam",
            operation=operation,
            input={name: value for name, value in parameters.items() if value is not None},
            principal=caller,
            access_key_id="AKIA",
            account_id=caller.account_id,
            region=REGION,
            request_id=RequestId("0"),
            received_at_ms=self.now_ms,
            base_url="http://127.0.0.1:1",
        )
        return (await self.handlers[operation](call)).output

    async def principal_of(self, credentials: Mapping[str, Any]) -> Principal:
        """Who signs with temporary credentials."""
        key = self.keyring.find(credentials["AccessKeyId"], credentials["SessionToken"])
        assert key is not None and key.secret_access_key == credentials["SecretAccessKey"]
        return key.principal

    async def user(
        self, name: str, document: str | None = None, account_id: AccountId = ACCOUNT
    ) -> Principal:
        """A new user with one inline policy."""
        await self.call("CreateUser", root_principal(account_id), UserName=name)
        if document is not None:
            await self.call(
                "PutUserPolicy",
                root_principal(account_id),
                UserName=name,
                PolicyName="p",
                PolicyDocument=document,
            )
        user = self.identities.user(account_id, name)
        assert user is not None
        return user_principal(user)

    async def refused(
        self, operation: str, principal: Principal | None = None, **parameters: object
    ) -> tuple[str, str]:
        """Code and text of the refusal."""
        with pytest.raises(ApiError) as caught:
            await self.call(operation, principal, **parameters)
        return caught.value.code.removesuffix("Exception"), caught.value.message


@asynccontextmanager
async def opened(
    data_dir: Path, issuer: Issuer | None = None, organization: Organization | None = None
) -> AsyncIterator[World]:
    """A world on a data directory, with two accounts."""
    async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
        for account_id in (ACCOUNT, OTHER):
            key = account_key(account_id)
            await store.write(lambda tx, key=key: tx.put(ACCOUNTS, key, Account(created_at_ms=NOW)))
        yield World(store, data_dir, issuer, organization)

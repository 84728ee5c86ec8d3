"""Access keys of users and temporary ones: who they stand for, when they end, what is stored of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from harness.iam import ACCOUNT, LAMBDA_TRUST, NOW, ROOT_KEY, World, opened
from squib.clock import SystemEntropy
from squib.iam.unique_ids import account_of
from squib.model.identity import AccessKey, Session, role_session_principal
from squib.model.units import EpochMs
from squib.store.sealing import Seal
from squib.store.session_tokens import SessionTokens


def run(data_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(data_dir) as world:
            await world.call("CreateUser", UserName="bob")
            await story(world)

    asyncio.run(main())


async def new_key(world: World) -> tuple[str, str]:
    made = (await world.call("CreateAccessKey", UserName="bob"))["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


async def session_of(world: World, name: str = "runner") -> AccessKey:
    await world.call("CreateRole", RoleName=name, AssumeRolePolicyDocument=LAMBDA_TRUST)
    role = world.identities.role(ACCOUNT, name)
    assert role is not None
    principal = role_session_principal(
        role_arn=role.arn,
        session_name="s",
        role_id=role.unique_id,
        session=Session(name="s", issued_at_ms=NOW, tags={"team": "a"}),
    )
    return world.keyring.session(principal, lifetime_s=900)


def test_a_key_signs_as_its_user_while_it_is_active(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        key_id, secret = await new_key(world)
        assert account_of(key_id) == ACCOUNT
        found = world.keyring.find(key_id)
        assert found is not None and found.secret_access_key == secret
        assert found.principal.arn == f"arn:aws:iam::{ACCOUNT}:user/bob"
        assert world.keyring.find(key_id) is found
        await world.call("UpdateAccessKey", UserName="bob", AccessKeyId=key_id, Status="Inactive")
        assert world.keyring.find(key_id) is None
        await world.call("UpdateAccessKey", UserName="bob", AccessKeyId=key_id, Status="Active")
        assert world.keyring.find(key_id) is not None
        await world.call("DeleteAccessKey", UserName="bob", AccessKeyId=key_id)
        assert world.keyring.find(key_id) is None

    run(tmp_path, story)


def test_a_user_has_two_keys_at_most(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await new_key(world)
        await new_key(world)
        assert await world.refused("CreateAccessKey", UserName="bob") == (
            "LimitExceeded",
            "Cannot exceed quota for AccessKeysPerUser: 2",
        )

    run(tmp_path, story)


def test_anothers_key_is_not_changed_by_naming_ones_own_user(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        key_id, _ = await new_key(world)
        await world.call("CreateUser", UserName="eve")
        code, text = await world.refused("DeleteAccessKey", UserName="eve", AccessKeyId=key_id)
        assert (code, text) == ("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.")

    run(tmp_path, story)


def test_no_secret_is_in_the_database_and_no_other_key_opens_it(tmp_path: Path) -> None:
    secrets: list[tuple[str, str]] = []

    async def story(world: World) -> None:
        secrets.append(await new_key(world))

    run(tmp_path, story)
    ((key_id, secret),) = secrets
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("squib.db*"))
    assert key_id.encode() in stored
    assert secret.encode() not in stored
    (tmp_path / "sealing.key").write_bytes(b"x" * 32)

    async def without_key(world: World) -> None:
        assert world.keyring.find(key_id) is None

    async def main() -> None:
        async with opened(tmp_path) as world:
            await without_key(world)

    asyncio.run(main())


def test_last_use_is_told_at_once_and_survives(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        key_id, _ = await new_key(world)
        unused = await world.call("GetAccessKeyLastUsed", AccessKeyId=key_id)
        assert unused["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
        found = world.keyring.find(key_id)
        assert found is not None
        world.keyring.used(found, "sqs", "eu-west-1", NOW)
        expected = {"LastUsedDate": NOW // 1000, "ServiceName": "sqs", "Region": "eu-west-1"}
        for _ in range(2):
            used = await world.call("GetAccessKeyLastUsed", AccessKeyId=key_id)
            assert used == {"UserName": "bob", "AccessKeyLastUsed": expected}
            await world.keyring.uses.flush()

    run(tmp_path, story)


def test_a_session_survives_a_restart_and_ends_with_its_role(tmp_path: Path) -> None:
    kept: list[AccessKey] = []

    async def story(world: World) -> None:
        kept.append(await session_of(world))

    run(tmp_path, story)
    (key,) = kept

    async def again() -> None:
        async with opened(tmp_path) as world:
            found = world.keyring.find(key.access_key_id, key.session_token)
            assert found == key
            assert found is not None and found.expires_at_ms == NOW + 900_000
            await world.call("DeleteRole", RoleName="runner")
            assert world.keyring.find(key.access_key_id, key.session_token) is None
            await world.call("CreateRole", RoleName="runner", AssumeRolePolicyDocument=LAMBDA_TRUST)
            assert world.keyring.find(key.access_key_id, key.session_token) is None

    asyncio.run(again())


def test_a_token_is_good_for_its_own_key_alone(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        one, two = await session_of(world, "one"), await session_of(world, "two")
        assert one.session_token is not None and two.session_token is not None
        assert world.keyring.find(one.access_key_id, two.session_token) is None
        assert world.keyring.find(one.access_key_id) is None
        other_letter = "B" if one.session_token[0] == "A" else "A"
        for token in ("", "AAAA", "!", one.session_token[:-8], other_letter + one.session_token[1:]):
            assert world.keyring.find(one.access_key_id, token) is None
        other = SessionTokens(Seal(b"y" * 32, SystemEntropy())).pack(
            msgspec.structs.replace(one, session_token=None, expires_at_ms=EpochMs(2**50))
        )
        assert world.keyring.find(one.access_key_id, other.session_token) is None

    run(tmp_path, story)


def test_a_key_of_a_user_takes_no_token(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        key_id, _ = await new_key(world)
        one = await session_of(world)
        assert world.keyring.find(key_id, one.session_token) is None

    run(tmp_path, story)


def test_roots_key_is_listed_and_stays(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        keys = (await world.call("ListAccessKeys"))["AccessKeyMetadata"]
        assert [key["AccessKeyId"] for key in keys] == [ROOT_KEY.access_key_id]
        code, _ = await world.refused("CreateAccessKey")
        assert code == "Validation"
        world.keyring.revoke(ROOT_KEY.access_key_id)
        assert world.keyring.find(ROOT_KEY.access_key_id) is ROOT_KEY

    run(tmp_path, story)

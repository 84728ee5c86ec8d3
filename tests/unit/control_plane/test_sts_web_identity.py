"""AssumeRoleWithWebIdentity: which tokens are believed, and which roles they open."""

import asyncio
import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness.iam import ACCOUNT, NOW, World, opened
from squib.clock import SystemClock
from squib.control_plane.sts import Issuer, IssuerOptions
from squib.model.identity import ANONYMOUS
from squib.model.identity_errors import IdentityProviderUnreachable, InvalidIdentityToken
from squib.model.units import EpochMs, MonotonicMs

ISSUER = "https://token.example/ci"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.example/ci"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SUBJECT = "repo:crew/app:ref:main"


def jwks() -> str:
    """The issuer's public keys."""
    one = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()))
    two = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key()))
    return json.dumps({"keys": [{**one, "kid": "r", "alg": "RS256"}, {**two, "kid": "e", "alg": "ES256"}]})


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r", **claims: Any) -> str:
    """A token of the issuer, good unless told otherwise. A claim of None is left out."""
    whole = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": "sts.amazonaws.com",
        "iat": NOW // 1000,
        "exp": NOW // 1000 + 600,
        **claims,
    }
    headers = None if kid is None else {"kid": kid}
    given = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers=headers)


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed_with_the_public_key() -> str:
    """HS256, whose secret everybody knows: the issuer's public key."""
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, body, _ = token().split(".")
    head = b64url(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "r"}).encode())
    made = hmac.digest(pem, f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{b64url(made)}"


def run(data_dir: Path, story: Callable[[World], Awaitable[None]], keys: str | None = None) -> None:
    async def main() -> None:
        place = data_dir / "jwks.json"
        place.write_text(jwks() if keys is None else keys)
        options = IssuerOptions(url=ISSUER, jwks=str(place), audience="sts.amazonaws.com")
        async with opened(data_dir, Issuer(options, SystemClock())) as world:
            document = {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Federated": PROVIDER},
                        "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
                        "Condition": {
                            "StringEquals": {"token.example/ci:aud": "sts.amazonaws.com"},
                            "StringLike": {"token.example/ci:sub": "repo:crew/app:*"},
                        },
                    }
                ],
            }
            await world.call("CreateRole", RoleName="deploy", AssumeRolePolicyDocument=json.dumps(document))
            await story(world)

    asyncio.run(main())


def asked(web_identity_token: str) -> dict[str, Any]:
    return {"RoleArn": ROLE, "RoleSessionName": "ci", "WebIdentityToken": web_identity_token}


@pytest.mark.parametrize(
    "given",
    [
        token(),
        token(EC, "ES256", "e"),
        token(**{"https://aws.amazon.com/tags": {"principal_tags": {"a": ["b"]}}}),
    ],
)
def test_a_token_of_the_issuer_opens_the_role_that_trusts_it(tmp_path: Path, given: str) -> None:
    async def story(world: World) -> None:
        answer = await world.call("AssumeRoleWithWebIdentity", ANONYMOUS, **asked(given))
        assert answer["SubjectFromWebIdentityToken"] == SUBJECT
        assert (answer["Provider"], answer["Audience"]) == (PROVIDER, "sts.amazonaws.com")
        session = await world.principal_of(answer["Credentials"])
        assert session.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci"
        assert session.session is not None and session.session.provider == PROVIDER

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (token(STRANGER), "InvalidIdentityToken"),
        (token(kid="other"), "InvalidIdentityToken"),
        (token(kid=None), "InvalidIdentityToken"),
        (token(EC, "ES256", "r"), "InvalidIdentityToken"),
        (token("s" * 32, "HS256"), "InvalidIdentityToken"),
        (token(iss="https://token.example/ci2"), "InvalidIdentityToken"),
        (token(aud="other"), "InvalidIdentityToken"),
        (token(sub=None), "InvalidIdentityToken"),
        (token(exp=None), "InvalidIdentityToken"),
        (token(iat=None), "InvalidIdentityToken"),
        (token(nbf=NOW // 1000 + 3600), "InvalidIdentityToken"),
        (token(exp=NOW // 1000), "ExpiredToken"),
        ("a.b.c", "InvalidIdentityToken"),
        ("not a token", "InvalidIdentityToken"),
        (token()[:-4] + "AAAA", "InvalidIdentityToken"),
        (jwt.encode({"iss": ISSUER}, None, algorithm="none"), "InvalidIdentityToken"),
        (signed_with_the_public_key(), "InvalidIdentityToken"),
        (token(algorithm="RS512"), "InvalidIdentityToken"),
        (token(kid="../../../etc/passwd"), "InvalidIdentityToken"),
        (token(kid=""), "InvalidIdentityToken"),
        (token(aud=["other", "another"]), "InvalidIdentityToken"),
        (token(aud=["sts.amazonaws.com", "other"], azp="other"), "AccessDenied"),
        (token(aud="other", azp="sts.amazonaws.com"), "InvalidIdentityToken"),
        (f"{token().partition('.')[0]}.{b64url(b'[' * 14_000)}.AAAA", "InvalidIdentityToken"),
        (f"{b64url(b'[' * 14_000)}.e30.AAAA", "InvalidIdentityToken"),
        (token(sub="repo:other/app:ref:main"), "AccessDenied"),
        (token(**{"https://aws.amazon.com/tags": {"principal_tags": 1}}), "InvalidIdentityToken"),
        (token(**{"https://aws.amazon.com/source_identity": "bob"}), "AccessDenied"),
    ],
)
def test_another_token_opens_nothing(tmp_path: Path, given: str, code: str) -> None:
    async def story(world: World) -> None:
        found, _ = await world.refused("AssumeRoleWithWebIdentity", ANONYMOUS, **asked(given))
        assert found == code

    run(tmp_path, story)


def test_a_role_that_does_not_trust_the_issuer_stays_shut(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        wanted = {**asked(token()), "RoleArn": f"{ROLE}2"}
        assert await world.refused("AssumeRoleWithWebIdentity", ANONYMOUS, **wanted) == (
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        )

    run(tmp_path, story)


@pytest.mark.parametrize("keys", ["", "{}", '{"keys": []}', "[1]"])
def test_keys_that_cannot_be_had_are_said_so(tmp_path: Path, keys: str) -> None:
    async def story(world: World) -> None:
        found, _ = await world.refused("AssumeRoleWithWebIdentity", ANONYMOUS, **asked(token()))
        assert found in ("IDPCommunicationError", "InvalidIdentityToken")

    run(tmp_path, story, keys)


class StepClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.monotonic = 0.0

    def now_ms(self) -> EpochMs:
        return NOW

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.monotonic)


def test_keys_are_asked_for_again_when_one_is_not_known_but_not_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        place, clock = tmp_path / "jwks.json", StepClock()
        options = IssuerOptions(url=ISSUER, jwks=str(place), audience="sts.amazonaws.com")
        issuer = Issuer(options, clock)
        place.write_text(jwks())
        assert (await issuer.verify(token(), NOW)).subject == SUBJECT
        fresh = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key()))
        place.write_text(json.dumps({"keys": [{**fresh, "kid": "new"}]}))
        rotated = token(STRANGER, kid="new")
        with pytest.raises(InvalidIdentityToken):
            await issuer.verify(rotated, NOW)
        clock.monotonic = 11_000.0
        assert (await issuer.verify(rotated, NOW)).subject == SUBJECT
        with pytest.raises(InvalidIdentityToken):  # withdrawn by the issuer
            await issuer.verify(token(), NOW)

    asyncio.run(main())


def test_a_known_key_does_while_the_issuer_cannot_be_reached(tmp_path: Path) -> None:
    async def main() -> None:
        place, clock = tmp_path / "jwks.json", StepClock()
        options = IssuerOptions(url=ISSUER, jwks=str(place), audience="sts.amazonaws.com")
        issuer = Issuer(options, clock)
        with pytest.raises(IdentityProviderUnreachable):
            await issuer.verify(token(), NOW)
        place.write_text(jwks())
        clock.monotonic = 11_000.0
        await issuer.verify(token(), NOW)
        place.unlink()
        clock.monotonic = 400_000.0
        await issuer.verify(token(), NOW)
        with pytest.raises(InvalidIdentityToken):
            await issuer.verify(token(kid="other"), NOW)

    asyncio.run(main())

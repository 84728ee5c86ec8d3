"""Temporary credentials on a live squib: by web identity, and over a restart."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import botocore
import botocore.config
import botocore.exceptions
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.squib import Squib, unique_name

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUER = "https://ci.example/tokens"


class _Keys(BaseHTTPRequestHandler):
    """Serves the issuer's public keys."""

    def do_GET(self) -> None:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        body = json.dumps({"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def jwks() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Keys)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    thread.join()
    server.server_close()


def token(**claims: Any) -> str:
    now_s = int(time.time())
    whole = {"iss": ISSUER, "sub": "job:1", "aud": "sts.amazonaws.com", "iat": now_s, "exp": now_s + 300}
    return jwt.encode({**whole, **claims}, KEY, algorithm="RS256", headers={"kid": "one"})


def session_client(squib: Squib, credentials: Any) -> Any:
    return squib.client(
        "sts",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def test_a_token_of_the_configured_issuer_is_changed_for_credentials_that_outlive_a_restart(
    jwks: str,
) -> None:
    variables = {"SQUIB_OIDC_ISSUER": ISSUER, "SQUIB_OIDC_JWKS": jwks}
    with Squib(variables=variables) as squib:
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::000000000000:oidc-provider/ci.example/tokens"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringLike": {"ci.example/tokens:sub": "job:*"}},
        }
        role = squib.client("iam").create_role(
            RoleName=unique_name("ci"),
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )["Role"]
        unsigned = squib.client("sts", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
        given = unsigned.assume_role_with_web_identity(
            RoleArn=role["Arn"], RoleSessionName="job", WebIdentityToken=token()
        )
        assert given["SubjectFromWebIdentityToken"] == "job:1"
        with pytest.raises(botocore.exceptions.ClientError, match=r"\(AccessDenied\)"):
            unsigned.assume_role_with_web_identity(
                RoleArn=role["Arn"], RoleSessionName="job", WebIdentityToken=token(sub="other")
            )
        with pytest.raises(botocore.exceptions.ClientError, match=r"\(ExpiredTokenException\)"):
            unsigned.assume_role_with_web_identity(
                RoleArn=role["Arn"], RoleSessionName="job", WebIdentityToken=token(exp=1)
            )
        arn = session_client(squib, given["Credentials"]).get_caller_identity()["Arn"]
        assert arn.endswith(f":assumed-role/{role['RoleName']}/job")
        assert squib.stop() == 0
        squib.start()
        assert session_client(squib, given["Credentials"]).get_caller_identity()["Arn"] == arn
        squib.client("iam").delete_role(RoleName=role["RoleName"])
        with pytest.raises(botocore.exceptions.ClientError, match=r"\(InvalidClientTokenId\)"):
            session_client(squib, given["Credentials"]).get_caller_identity()
        assert given["Credentials"]["SessionToken"] not in squib.output

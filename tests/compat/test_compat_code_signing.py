"""Code signing configurations through the AWS SDK: enforced at deployment, whatever is deployed already."""

from collections.abc import Iterator
from typing import Any

import pytest

from harness.functions import ROLE, zip_of
from harness.squib import PYTHON, Squib, unique_name

ECHO = "def handler(event, context):\n    return event\n"
PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:eu-west-1:111111111111:/signing-profiles/test"]}


@pytest.fixture
def config(squib: Squib) -> Iterator[str]:
    """A configuration that enforces."""
    policies = {"UntrustedArtifactOnDeployment": "Enforce"}
    client: Any = squib.client()
    told = client.create_code_signing_config(AllowedPublishers=PUBLISHERS, CodeSigningPolicies=policies)
    arn: str = told["CodeSigningConfig"]["CodeSigningConfigArn"]
    yield arn
    client.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_unsigned_code_is_refused_where_the_configuration_enforces(squib: Squib, config: str) -> None:
    client, name = squib.client(), unique_name("signed")
    with pytest.raises(client.exceptions.CodeVerificationFailedException) as refused:
        client.create_function(
            FunctionName=name,
            Runtime=PYTHON,
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": zip_of({"app.py": ECHO})},
            CodeSigningConfigArn=config,
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    function = squib.deploy(ECHO)
    client.put_function_code_signing_config(FunctionName=function.name, CodeSigningConfigArn=config)
    with pytest.raises(client.exceptions.CodeVerificationFailedException):
        function.update_code(ECHO + "# changed\n")
    assert function.invoke(1).value == 1
    client.update_code_signing_config(
        CodeSigningConfigArn=config, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )
    function.update_code("def handler(event, context):\n    return 'new'\n")
    assert function.invoke(1).value == "new"
    assert f"unsigned_package_accepted function_arn={function.arn}" in squib.output
    function.delete()

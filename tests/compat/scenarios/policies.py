"""Policies of use, and tags."""

from typing import Any, Final

from compat.scenarios.scene import CODE, Scene, scenario
from harness.functions import ROLE
from harness.squib import unique_name

_P = "TestLambdaPermissions::"
_T = "TestLambdaTags::"
_BUCKET: Final = {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::a-bucket"}


class _Policy:
    """The policy of one function in a scene."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene, self.name = scene, name

    def add(self, answer: str | None, sid: str, **given: Any) -> Any:
        given = {"FunctionName": self.name, "Action": "lambda:InvokeFunction", **given}
        return self.scene.ask(answer, "add_permission", StatementId=sid, **given)

    def remove(self, answer: str | None, sid: str, **given: Any) -> Any:
        given = {"FunctionName": self.name, **given}
        return self.scene.ask(answer, "remove_permission", StatementId=sid, **given)

    def get(self, answer: str, **given: Any) -> Any:
        return self.scene.ask(answer, "get_policy", **{"FunctionName": self.name, **given})


@scenario(f"{_P}test_add_lambda_permission_aws")
def one_statement(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed("create_lambda"))
    policy.add("add_permission", "s3", **_BUCKET)
    policy.get("get_policy")


@scenario(f"{_P}test_remove_multi_permissions")
def statements_removed(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    policy.add("add_permission_1", "s3", Principal="s3.amazonaws.com")
    policy.add("add_permission_2", "sqs", **{**_BUCKET, "Principal": "sqs.amazonaws.com"})
    policy.get("policy_after_2_add")
    policy.remove("remove_permission_exception_nonexisting_sid", "non-existent")
    policy.remove(None, "sqs")
    policy.get("policy_after_removal")
    policy.remove(None, "sqs")
    policy.get("policy_after_removal_attempt")
    policy.remove(None, "s3")
    policy.get("get_policy_exception_removed_all")


@scenario(f"{_P}test_create_multiple_lambda_permissions")
def two_statements(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    policy.add("add_permission_response_1", "logs", Principal="logs.amazonaws.com")
    policy.add("add_permission_response_2", "kinesis", Principal="kinesis.amazonaws.com")
    policy.get("policy_after_2_add")


@scenario(f"{_P}test_permission_exceptions")
def policies_refused(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    no_alias, missing = {"Qualifier": "alias-doesnotexist"}, {"FunctionName": "doesnotexist"}
    policy.add("add_permission_invalid_statement_id", "example.com", **_BUCKET)
    arn = scene.arn(policy.name, "alias-not-42")
    policy.add("add_permission_fn_qualifier_mismatch", "s3", **_BUCKET, FunctionName=arn, Qualifier="42")
    policy.add("add_permission_fn_qualifier_latest", "s3", **_BUCKET, Qualifier="$LATEST")
    policy.add("add_permission_principal_invalid", "lambda", Principal="invalid.nonaws.com")
    policy.get("get_policy_fn_doesnotexist", **missing)
    policy.remove("remove_permission_policy_doesnotexist", "s3")
    policy.get("get_policy_fn_version_doesnotexist", Qualifier="42")
    policy.add("add_permission_fn_doesnotexist", "s3", **_BUCKET, **missing)
    policy.add("add_permission_fn_alias_doesnotexist", "s3", **_BUCKET, **no_alias)
    policy.add("add_permission_fn_version_doesnotexist", "s3", **_BUCKET, Qualifier="42")
    policy.add(
        "add_permission_fn_qualifier_invalid", "s3", **_BUCKET, Qualifier="invalid-qualifier-with-?-char"
    )
    answer = "add_permission_fn_qualifier_valid_doesnotexist"
    policy.add(answer, "s3", **_BUCKET, Qualifier="valid-with-$-but-doesnotexist")
    policy.add(None, "s3", **_BUCKET)
    policy.add("add_permission_conflicting_statement_id", "s3", **_BUCKET)
    policy.remove("remove_permission_fn_doesnotexist", "s3", **missing)
    policy.remove("remove_permission_fn_alias_doesnotexist", "s3", **no_alias)


@scenario(f"{_P}test_add_lambda_permission_fields")
def statement_fields(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    account = {"SourceAccount": scene.account_id}
    policy.add("add_permission_principal_wildcard", "wilcard", Principal="*", **account)
    policy.add("add_permission_principal_service", "lambda", Principal="lambda.amazonaws.com", **account)
    policy.add("add_permission_principal_account", "account-id", Principal=scene.account_id)
    user = f"arn:aws:iam::{scene.account_id}:root"
    policy.add("add_permission_principal_arn", "user-arn", Principal=user, **account)
    policy.add(
        "add_permission_optional_fields",
        "urlPermission",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        SourceArn=_BUCKET["SourceArn"],
        PrincipalOrgID="o-1234567890",
        FunctionUrlAuthType="NONE",
        **account,
    )
    token = {"EventSourceToken": "amzn1.ask.skill.xxxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"}
    policy.add("add_permission_alexa_skill", "alexaSkill", Principal="*", **token)


@scenario(f"{_P}test_lambda_permission_versioning")
def policies_of_versions_then(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    policy.add("add_permission", "s3", **_BUCKET)
    policy.get("get_policy")
    scene.ask(None, "publish_version", FunctionName=policy.name)
    policy.get("get_policy_after_publishing_latest")
    policy.get("get_policy_after_publishing_new_version", Qualifier="1")
    policy.add(None, "s3", **_BUCKET, Qualifier="1")
    policy.get("get_policy_after_adding_to_new_version")
    policy.add(None, "s3_2", **_BUCKET)
    policy.get("get_policy_after_adding_2")


@scenario(f"{_P}test_lambda_permission_fn_versioning")
def policies_of_versions(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    function, alias = {"FunctionName": policy.name}, {"Qualifier": "permission-alias"}
    policy.add("add_permission", "s3", **_BUCKET)
    policy.get("get_policy")
    scene.ask("publish_version_result", "publish_version", **function)
    scene.ask("get_function_result_after_publishing", "get_function", **function)
    policy.get("get_policy_after_publishing_latest")
    policy.get("get_policy_after_publishing_new_version", Qualifier="1")
    policy.add(None, "s3", **_BUCKET, Qualifier="1")
    policy.get("get_policy_version", Qualifier="1")
    named = {**function, "Name": "permission-alias"}
    scene.ask("create_alias_response", "create_alias", **named, FunctionVersion="1")
    scene.ask("get_alias", "get_alias", **named)
    policy.add("add_permission_alias_revision_exception", "s3", **_BUCKET, **alias, RevisionId="wrong")
    policy.add(None, "s3", **_BUCKET, **alias)
    policy.get("get_policy_alias", **alias)
    policy.get("get_policy_after_adding_to_new_version")
    policy.add(None, "s3_2", **_BUCKET)
    policy.get("get_policy_after_adding_2")


@scenario("TestLambdaRevisions::test_function_revisions_permissions")
def policy_revision(scene: Scene) -> None:
    policy = _Policy(scene, scene.deployed())
    policy.add("add_permission_revision_exception", "s3", **_BUCKET, RevisionId="wrong")


# --- tags


def _tag(scene: Scene, answer: str | None, arn: str, **tags: str) -> None:
    scene.ask(answer, "tag_resource", Resource=arn, Tags=tags)


def _untag(scene: Scene, answer: str | None, arn: str, *keys: str) -> None:
    scene.ask(answer, "untag_resource", Resource=arn, TagKeys=[*keys])


@scenario("TestLambdaTag::test_create_tag_on_fn_create")
def tags_on_create(scene: Scene) -> None:
    name = scene.deployed(Tags={"testtag": "a value"})
    scene.ask("get_function_result", "get_function", FunctionName=name)
    scene.ask("list_tags_result", "list_tags", Resource=scene.arn(name))


@scenario("TestLambdaTag::test_tag_lifecycle", "TestLambdaTag::test_tag_lifecycle[lambda_function]")
def tag_lifecycle(scene: Scene) -> None:
    tag_lifecycle_of(scene, scene.arn(scene.deployed()))


def tag_lifecycle_of(scene: Scene, arn: str) -> None:
    """Tags of any resource, put and taken away."""

    def step(kind: str, *keys: str, **tags: str) -> None:
        answer = f"{kind}_response"
        if keys:
            _untag(scene, answer, arn, *keys)
        else:
            _tag(scene, answer, arn, **tags)
        scene.ask(f"{answer}_listtags", "list_tags", Resource=arn)

    step("tag_single", A="tag-a")
    step("tag_multiple", B="tag-b", C="tag-c")
    step("tag_overlap", C="tag-c-newsuffix", D="tag-d")
    step("untag_single", "A")
    step("untag_multiple", "B", "C")
    step("untag_nonexisting", "F")
    step("untag_existing_and_nonexisting", "D", "F")


@scenario("TestLambdaTag::test_tag_nonexisting_resource")
def tags_of_deleted(scene: Scene) -> None:
    name = scene.deployed()
    scene.ask("pre_delete_get_function", "get_function", FunctionName=name)
    scene.ask(None, "delete_function", FunctionName=name)
    _tags_of_missing(scene, scene.arn(name))


def _tags_of_missing(scene: Scene, arn: str) -> None:
    _tag(scene, "not_found_exception_tag", arn, A="B")
    _untag(scene, "not_found_exception_untag", arn, "A")
    scene.ask("not_found_exception_list", "list_tags", Resource=arn)


_KINDS = {
    "lambda_function": "function:tagged-but-missing",
    "event_source_mapping": "event-source-mapping:1a2b3c4d-1111-2222-3333-444455556666",
    "capacity_provider": "capacity-provider:tagged-but-missing",
}


@scenario(*(f"TestLambdaTag::test_tag_exceptions[{kind}]" for kind in _KINDS))
def tags_refused_by_kind(scene: Scene) -> None:
    prefix = f"arn:aws:lambda:{scene.region}:{scene.account_id}:"
    resource = _KINDS[scene.parameter]
    _tags_of_missing(scene, prefix + resource)
    _tag(scene, "aliased_arn_exception", f"{prefix}{resource}:alias", A="B")
    _tag(scene, "invalid_arn_exception", f"{prefix}foobar:{resource.partition(':')[2]}", A="B")


@scenario(f"{_T}test_tag_exceptions")
def tags_refused(scene: Scene) -> None:
    arn = scene.arn(scene.deployed())
    _tag(scene, "tag_lambda_invalidarn", "arn:aws:something", key_a="value_a")
    _tag(scene, "tag_lambda_doesnotexist", scene.arn("doesnotexist"), key_a="value_a")
    _tag(scene, "tag_lambda_qualifier_doesnotexist", scene.arn("doesnotexist", "v1"), key_a="value_a")
    scene.ask("list_tag_lambda_empty", "list_tags", Resource=arn)
    _untag(scene, "untag_nomatch", arn, "somekey")
    _untag(scene, "untag_empty_keys", arn)
    _tag(scene, "tag_empty_tags", arn)


@scenario(f"{_T}test_tag_limits")
def tag_limits(scene: Scene) -> None:
    name = scene.deployed()
    arn = scene.arn(name)
    many = {f"{number}_key": f"{number}_value" for number in range(51)}
    most = dict(list(many.items())[:50])
    scene.ask("tag_lambda_too_many_tags", "tag_resource", Resource=arn, Tags=many)
    scene.ask("tag_response", "tag_resource", Resource=arn, Tags=most)
    scene.ask("list_tags_response", "list_tags", Resource=arn)
    scene.ask("get_fn_response", "get_function", FunctionName=name)
    _tag(scene, "tag_lambda_too_many_tags_additional", arn, a_key="a_value")
    given = {"Runtime": "python3.12", "Handler": "handler.handler", "Role": ROLE, "Code": {"ZipFile": CODE}}
    refused = unique_name("refused")
    scene.ask("create_function_invalid_tags", "create_function", FunctionName=refused, Tags=many, **given)


@scenario(f"{_T}test_tag_lifecycle")
def function_tag_lifecycle(scene: Scene) -> None:
    name = scene.deployed(Tags={"key_a": "value_a"})
    arn = scene.arn(name)

    def show(step: str) -> None:
        scene.ask(f"list_tags_response_{step}", "list_tags", Resource=arn)
        scene.ask(f"get_fn_response_{step}", "get_function", FunctionName=name)

    show("postfncreate")
    added = {f"key_{letter}": f"value_{letter}" for letter in "bcde"}
    _tag(scene, "tag_resource_response", arn, **added)
    show("postaddtags")
    _tag(scene, "tag_resource_overwrite", arn, key_c="value_x")
    show("overwrite")
    _untag(scene, None, arn, "key_c", "key_d")
    show("postuntag")
    _untag(scene, None, arn, "key_a", "key_b", "key_e")
    show("postuntagall")
    scene.ask(None, "delete_function", FunctionName=name)
    scene.ask("list_tags_postdelete", "list_tags", Resource=arn)


@scenario(f"{_T}test_tag_versions")
def tags_of_versions(scene: Scene) -> None:
    name = scene.deployed()
    scene.ask(None, "publish_version", FunctionName=name)
    _tag(scene, "tag_resource_exception", scene.arn(name, "1"), key_a="value_a")
    _tag(scene, "tag_resource_latest_exception", scene.arn(name, "$LATEST"), key_a="value_a")

"""Layers and code signing configurations."""

from typing import Any, Final

from compat.scenarios.scene import Scene, scenario
from harness.functions import zip_of
from harness.squib import unique_name

_L = "TestLambdaLayer::"
_C = "TestCodeSigningConfig::"
_CONTENT: Final = {"ZipFile": zip_of({"python/shared.py": "VALUE = 1\n"})}
_X86: Final = {"CompatibleArchitectures": ["x86_64"]}
_PYTHON: Final = {"CompatibleRuntimes": ["python3.12"], **_X86}


def _publish(scene: Scene, answer: str | None, name: str, **given: Any) -> Any:
    return scene.ask(answer, "publish_layer_version", LayerName=name, Content=_CONTENT, **given)


@scenario(f"{_L}test_layer_exceptions")
def refused(scene: Scene) -> None:
    name = unique_name("layer")
    layer, missing = {"LayerName": name}, {"LayerName": "doesnotexist"}
    layer_arn = _publish(scene, "publish_result", name, **_PYTHON)["LayerArn"]
    answer = "list_layers_exc_compatibleruntime_invalid"
    scene.ask(answer, "list_layers", CompatibleRuntime="runtimedoesnotexist")
    answer = "list_layers_exc_compatiblearchitecture_invalid"
    scene.ask(answer, "list_layers", CompatibleArchitecture="archdoesnotexist")
    scene.ask("list_nonexistent_layer", "list_layer_versions", **missing)
    get = "get_layer_version"
    scene.ask("get_layer_version_exc_layer_doesnotexist", get, **missing, VersionNumber=1)
    version = "get_layer_version_exc_layer_version_doesnotexist"
    scene.ask(f"{version}_negative", get, **layer, VersionNumber=-1)
    scene.ask(f"{version}_zero", get, **layer, VersionNumber=0)
    scene.ask(f"{version}_2", get, **layer, VersionNumber=2)
    by_arn = "get_layer_version_by_arn"
    scene.ask(f"{by_arn}_exc_invalidarn", by_arn, Arn=layer_arn)
    scene.ask(f"{by_arn}_exc_nonexistentversion", by_arn, Arn=f"{layer_arn}:2")
    delete = "delete_layer_version"
    scene.ask("delete_nonexistent_response", delete, **missing, VersionNumber=1)
    scene.ask("delete_nonexistent_version_response", delete, **layer, VersionNumber=2)
    scene.ask("delete_layer_response", delete, **layer, VersionNumber=1)
    scene.ask("delete_layer_again_response", delete, **layer, VersionNumber=1)
    scene.ask("delete_layer_version_exc_layerversion_invalid_version", delete, **layer, VersionNumber=-1)
    nothing = {"CompatibleRuntimes": [], "CompatibleArchitectures": []}
    _publish(scene, "publish_empty_result", unique_name("layer"), **nothing)
    for answer, runtimes, architectures in (
        ("invalid_runtime_arch", ["invalidruntime"], ["invalidarch"]),
        (
            "partially_invalid_values",
            ["invalidruntime", "invalidruntime2", "nodejs20.x"],
            ["invalidarch", "x86_64"],
        ),
    ):
        both = {"CompatibleRuntimes": runtimes, "CompatibleArchitectures": architectures}
        _publish(scene, f"publish_layer_version_exc_{answer}", name, **both)


@scenario(f"{_L}test_layer_s3_content")
def content_in_s3(scene: Scene) -> None:
    content = scene.put_object(unique_name("bucket"), "layer.zip", _CONTENT["ZipFile"])
    publish = "publish_layer_version"
    scene.ask("publish_layer_result", publish, LayerName=unique_name("layer"), Content=content)


@scenario(f"{_L}test_layer_lifecycle")
def lifecycle(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    name = unique_name("layer")
    layer = {"LayerName": name}
    scene.ask("get_fn_result", "get_function", **function)
    scene.ask("get_fn_config_result", "get_function_configuration", **function)
    described = {**_PYTHON, "Description": "of a layer", "LicenseInfo": "a licence"}
    arn = _publish(scene, "publish_result", name, **described)["LayerVersionArn"]
    _publish(scene, "publish_result_2", name, **described)
    scene.ask("update_fn_config", "update_function_configuration", **function, Layers=[arn])
    scene.settle(function["FunctionName"])
    scene.ask("get_fn_config", "get_function_configuration", **function)
    scene.ask("get_layer_ver_result", "get_layer_version", **layer, VersionNumber=1)
    scene.ask("get_layer_by_arn_version", "get_layer_version_by_arn", Arn=arn)
    scene.ask("list_layer_versions_predelete", "list_layer_versions", **layer)
    scene.ask("delete_layer_1", "delete_layer_version", **layer, VersionNumber=1)
    scene.ask("get_fn_config_postdelete", "get_function_configuration", **function)
    scene.ask("delete_layer_2", "delete_layer_version", **layer, VersionNumber=2)
    scene.ask("list_layer_versions_postdelete", "list_layer_versions", **layer)
    _publish(scene, "publish_result_3", name, **described)


class _LayerPolicy:
    """The policy of a layer's first version."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene, self.given = scene, {"LayerName": name, "VersionNumber": 1}

    def add(self, answer: str | None, sid: str, **given: Any) -> None:
        given = {**self.given, "Action": "lambda:GetLayerVersion", "Principal": "*", **given}
        self.scene.ask(answer, "add_layer_version_permission", StatementId=sid, **given)

    def get(self, answer: str, **given: Any) -> None:
        self.scene.ask(answer, "get_layer_version_policy", **{**self.given, **given})

    def remove(self, answer: str, sid: str, **given: Any) -> None:
        given = {**self.given, **given}
        self.scene.ask(answer, "remove_layer_version_permission", StatementId=sid, **given)


@scenario(f"{_L}test_layer_policy_exceptions")
def policies_refused(scene: Scene) -> None:
    name = unique_name("layer")
    policy = _LayerPolicy(scene, name)
    _publish(scene, "publish_result", name, **_PYTHON)
    policy.get("layer_permission_nopolicy_get")
    policy.add("add_layer_permission_result", "s1")
    policy.add("layer_permission_action_invalid", "s2", Action="*")
    policy.add("layer_permission_duplicate_statement", "s1")
    policy.add("layer_permission_wrong_revision", "s2", RevisionId="wrong")
    for kind, missing in (
        ("layername", {"LayerName": f"{name}-doesnotexist"}),
        ("layerversion", {"VersionNumber": 2}),
    ):
        policy.add(f"layer_permission_{kind}_doesnotexist_add", "s1", **missing)
        policy.get(f"layer_permission_{kind}_doesnotexist_get", **missing)
        policy.remove(f"layer_permission_{kind}_doesnotexist_remove", "s1", **missing)
    policy.remove("layer_permission_statementid_doesnotexist_remove", "doesnotexist")
    policy.remove("layer_permission_wrong_revision_remove", "s1", RevisionId="wrong")


@scenario(f"{_L}test_layer_policy_lifecycle")
def policy_lifecycle(scene: Scene) -> None:
    name = unique_name("layer")
    policy = _LayerPolicy(scene, name)
    _publish(scene, "publish_result", name, **_PYTHON)
    policy.add("add_policy_s1", "s1")
    policy.get("get_layer_version_policy")
    policy.add("add_policy_s2", "s2")
    policy.get("get_layer_version_policy_postadd2")
    policy.remove("remove_s2", "s2")
    policy.get("get_layer_version_policy_postdeletes2")


@scenario(f"{_L}test_layer_function_exceptions")
def layers_of_functions_refused(scene: Scene) -> None:
    name, published = unique_name("layer"), []
    for answer in ("publish_result", "publish_result_2", "publish_result_3"):
        made = _publish(scene, answer, name, CompatibleRuntimes=[], **_X86)
        published.append(made["LayerVersionArn"])
    layer_arn = made["LayerArn"]
    function = {"FunctionName": scene.deployed()}
    scene.ask("get_fn_result", "get_function", **function)
    missing = layer_arn.replace(name, "doesnotexist")
    for answer, layers in (
        ("two_layer_versions_single_function_exc", published[:2]),
        ("three_layer_versions_single_function_exc", published),
        ("two_identical_layer_versions_single_function_exc", [published[0], published[0]]),
        ("add_nonexistent_layer_exc", [f"{missing}:1"]),
        ("add_nonexistent_layer_version_exc", [f"{layer_arn}:9"]),
        ("add_layer_arn_without_version_exc", [layer_arn]),
    ):
        scene.ask(answer, "update_function_configuration", **function, Layers=layers)
    client = scene.client("eu-west-1")
    elsewhere = scene.ask(
        None, "publish_layer_version", client=client, LayerName=unique_name("layer"), Content=_CONTENT
    )
    answer = "create_function_with_layer_in_different_region"
    scene.deployed(answer, waits=False, Layers=[elsewhere["LayerVersionArn"]])


@scenario(f"{_L}test_layer_function_quota_exception")
def six_layers(scene: Scene) -> None:
    layers = [_publish(scene, None, unique_name("layer"))["LayerVersionArn"] for _ in range(6)]
    scene.deployed("create_function_with_six_layers", waits=False, Layers=layers)


@scenario(*(f"{_L}test_layer_compatibilities[runtimes{number}]" for number in range(3)))
def compatibilities(scene: Scene) -> None:
    recorded = scene.recorded("publish_result")
    given = {name: recorded[name] for name in ("CompatibleRuntimes", "CompatibleArchitectures")}
    _publish(scene, "publish_result", unique_name("layer"), **given)


# --- code signing


def _signing(scene: Scene, policy: str = "Enforce") -> dict[str, Any]:
    profile = f"arn:aws:signer:{scene.region}:{scene.account_id}:/signing-profiles/test"
    return {
        "Description": "Testing CodeSigning Config",
        "AllowedPublishers": {"SigningProfileVersionArns": [profile]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": policy},
    }


@scenario(f"{_C}test_function_code_signing_config")
def code_signing(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    made = scene.ask("create_code_signing_config", "create_code_signing_config", **_signing(scene))
    config = {"CodeSigningConfigArn": made["CodeSigningConfig"]["CodeSigningConfigArn"]}
    warn = {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"}}
    scene.ask("update_code_signing_config", "update_code_signing_config", **config, **warn)
    scene.ask("get_code_signing_config", "get_code_signing_config", **config)
    scene.ask("put_function_code_signing_config", "put_function_code_signing_config", **config, **function)
    scene.ask("get_function_code_signing_config", "get_function_code_signing_config", **function)
    pages = scene.client().get_paginator("list_code_signing_configs").paginate()
    (listed,) = (
        found
        for page in pages
        for found in page["CodeSigningConfigs"]
        if found["CodeSigningConfigArn"] == config["CodeSigningConfigArn"]
    )
    scene.compare("list_code_signing_configs", listed)
    scene.ask("list_functions_by_code_signing_config", "list_functions_by_code_signing_config", **config)
    scene.ask("delete_function_code_signing_config", "delete_function_code_signing_config", **function)
    scene.ask("delete_code_signing_config", "delete_code_signing_config", **config)


@scenario(f"{_C}test_code_signing_not_found_excs")
def code_signing_not_found(scene: Scene) -> None:
    function, missing = {"FunctionName": scene.deployed()}, {"FunctionName": "csc-test-doesnotexist"}
    made = scene.ask("create_code_signing_config", "create_code_signing_config", **_signing(scene))
    config = {"CodeSigningConfigArn": made["CodeSigningConfig"]["CodeSigningConfigArn"]}
    arn = config["CodeSigningConfigArn"].rpartition(":")[0] + ":csc-00000000000000000"
    invalid = {"CodeSigningConfigArn": arn}
    scene.ask("delete_csc_notfound", "delete_code_signing_config", **invalid)
    scene.ask("nothing_to_delete_response", "delete_function_code_signing_config", **function)
    scene.ask("delete_function_csc_fnnotfound", "delete_function_code_signing_config", **missing)
    put = "put_function_code_signing_config"
    scene.ask("put_function_csc_invalid_fnname", put, **missing, **config)
    scene.ask("put_function_csc_invalid_csc_arn", put, **function, **invalid)
    scene.ask("put_function_csc_invalid_both", put, **missing, **invalid)
    update = "update_code_signing_config"
    scene.ask("update_csc_invalid_csc_arn", update, **invalid, Description="new")
    scene.ask("update_csc_noupdates", update, **invalid)
    scene.ask("update_csc_noupdate_response", update, **config)
    scene.ask("get_csc_invalid", "get_code_signing_config", **invalid)
    get = "get_function_code_signing_config"
    scene.ask("get_function_csc_fnwithoutcsc", get, **function)
    scene.ask("get_function_csc_nonexistingfn", get, **missing)
    listing = "list_functions_by_code_signing_config"
    scene.ask("list_functions_by_csc_fnwithoutcsc", listing, **config)
    scene.ask("list_functions_by_csc_invalid_cscarn", listing, **invalid)
    scene.ask(None, "delete_code_signing_config", **config)

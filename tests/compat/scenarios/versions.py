"""Versions and aliases."""

from typing import Any

from compat.scenarios.scene import CODE, Scene, scenario, slow_code

_V = "TestLambdaVersions::"
_A = "TestLambdaAlias::"


@scenario(f"{_V}test_publish_version_on_create")
def publish_on_create(scene: Scene) -> None:
    name = scene.function("create_response", Publish=True)
    given = {"FunctionName": name}
    scene.ask("get_function_result", "get_function", **given)
    scene.ask("get_function_version_result", "get_function", **given, Qualifier="1")
    scene.ask("get_function_latest_result", "get_function", **given, Qualifier="$LATEST")
    scene.ask("list_versions_result", "list_versions_by_function", **given)
    scene.ask("repeated_publish_response", "publish_version", **given, Description="not used")
    scene.ask("list_versions_result_after_publish", "list_versions_by_function", **given)


@scenario(f"{_V}test_version_lifecycle")
def version_lifecycle(scene: Scene) -> None:
    given = {"FunctionName": scene.function("create_response", Description="No version :(")}

    def update(answer: str, description: str) -> None:
        scene.ask(answer, "update_function_configuration", **given, Description=description)
        scene.settle(given["FunctionName"])

    scene.ask("get_function_result", "get_function", **given)
    scene.ask("list_versions_result", "list_versions_by_function", **given)
    update("first_update_response", "First version :)")
    scene.ask("first_update_get_function", "get_function", **given)
    described = {**given, "Description": "First version description :)"}
    scene.ask("first_publish_response", "publish_version", **described)
    scene.ask("first_publish_get_function", "get_function", **given, Qualifier="1")
    scene.ask("first_publish_get_function_config", "get_function_configuration", **given, Qualifier="1")
    update("second_update_response", "Second version :))")
    scene.ask("first_publish_get_function_after_update", "get_function", **given, Qualifier="1")
    scene.ask("second_publish_response", "publish_version", **given)
    scene.ask("third_publish_response", "publish_version", **given, Description="not used")
    scene.ask("list_versions_result_after_third_publish", "list_versions_by_function", **given)
    scene.ask(None, "delete_function", **given, Qualifier="1")
    answer = "list_versions_result_after_deletion_of_first_version"
    scene.ask(answer, "list_versions_by_function", **given)


@scenario(f"{_V}test_publish_with_wrong_revisionid")
def publish_of_revision(scene: Scene) -> None:
    given = {"FunctionName": scene.function("create_response", Runtime="python3.9")}
    live = scene.ask("get_fn_response", "get_function", **given)
    scene.ask("publish_wrong_revisionid_exc", "publish_version", **given, RevisionId="wrong")
    latest = live["Configuration"]["RevisionId"]
    scene.ask("publish_result", "publish_version", **given, RevisionId=latest)


@scenario(f"{_V}test_publish_with_wrong_sha256")
def publish_of_code(scene: Scene) -> None:
    given = {"FunctionName": scene.function("create_response")}
    live = scene.ask("get_fn_response", "get_function", **given)
    wrong = "somenonexistentsha256"
    scene.ask("publish_wrong_sha256_exc", "publish_version", **given, CodeSha256=wrong)
    digest = live["Configuration"]["CodeSha256"]
    scene.ask("publish_result", "publish_version", **given, CodeSha256=digest)


@scenario(f"{_V}test_publish_with_update")
def publish_on_update(scene: Scene) -> None:
    given = {"FunctionName": scene.function("create_response")}
    scene.ask("get_function_result", "get_function", **given)
    code = {"ZipFile": slow_code(), "Publish": True}
    scene.ask("update_function_code_result", "update_function_code", **given, **code)
    scene.ask("get_function_version_result", "get_function", **given, Qualifier="1")
    scene.ask("get_function_latest_result", "get_function", **given, Qualifier="$LATEST")


@scenario("TestLambdaRevisions::test_function_revisions_version_and_alias")
def revisions_of_version_and_alias(scene: Scene) -> None:
    given = {"FunctionName": scene.deployed("create_function_response_rev1")}
    live = scene.ask("get_function_active_rev2", "get_function", **given)
    scene.ask("publish_version_revision_exception", "publish_version", **given, RevisionId="wrong")
    latest = live["Configuration"]["RevisionId"]
    scene.ask("publish_version_response_rev_v1", "publish_version", **given, RevisionId=latest)
    scene.ask("get_function_published_version_rev_v2", "get_function", **given, Qualifier="1")
    scene.ask("get_function_latest_rev3", "get_function", **given)
    alias = {**given, "Name": "revision_alias"}
    made = scene.ask("create_alias_response_rev_a1", "create_alias", **alias, FunctionVersion="1")
    scene.ask("get_function_latest_rev4", "get_function", **given)
    scene.ask("get_function_published_version_rev_v3", "get_function", **given, Qualifier="1")
    scene.ask("update_alias_revision_exception", "update_alias", **alias, RevisionId="wrong")
    changed = {**alias, "Description": "something changed", "RevisionId": made["RevisionId"]}
    scene.ask("update_alias_response_rev_a2", "update_alias", **changed)


# --- aliases


def _staged(scene: Scene, *versions: str, **given: Any) -> dict[str, Any]:
    """A function with a version for each of `versions`, which differ in a variable."""
    stages = [{"Environment": {"Variables": {"testenv": stage}}} for stage in ("staging", "prod")]
    name = scene.function("create_response", **stages[0], **given)
    for number, answer in enumerate(versions):
        if number:
            scene.ask(None, "update_function_configuration", FunctionName=name, **stages[number])
            scene.settle(name)
        scene.ask(answer, "publish_version", FunctionName=name)
    return {"FunctionName": name}


@scenario(f"{_A}test_alias_lifecycle")
def alias_lifecycle(scene: Scene) -> None:
    given = _staged(scene, "publish_v1", "publish_v2")
    custom = {"Description": "custom-alias"}
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.2}}}

    def create(number: str, version: str, **more: Any) -> None:
        alias = {**given, "Name": f"aliasname{number}"}
        scene.ask(f"create_alias_{number}", "create_alias", **alias, FunctionVersion=version, **more)
        scene.ask(f"get_alias_{number}", "get_alias", **alias)

    def update(number: str, **more: Any) -> None:
        alias = {**given, "Name": f"aliasname{number}"}
        scene.ask(f"update_alias_{number}", "update_alias", **alias, **more)
        scene.ask(f"get_alias_{number}_after_update", "get_alias", **alias)

    create("1_1", "1", **custom, **weights)
    for answer, qualifier in (
        ("get_function_alias_1_1", "aliasname1_1"),
        ("get_function_alias_notfound_exc", "aliasdoesnotexist"),
    ):
        scene.ask(answer, "get_function", **given, Qualifier=qualifier)
    for answer, qualifier in (
        ("get_function_byarn_alias_1_1", "aliasname1_1"),
        ("get_function_alias_byarn_notfound_exc", "aliasdoesnotexist"),
    ):
        scene.ask(answer, "get_function", FunctionName=scene.arn(given["FunctionName"], qualifier))
    create("1_2", "1", **custom)
    create("1_3", "1")
    create("2", "2", **custom)
    pages = scene.client().get_paginator("list_aliases").paginate(**given)
    scene.compare(
        "list_aliases_for_fnname", {"Aliases": [alias for page in pages for alias in page["Aliases"]]}
    )
    update("1_1", RoutingConfig={"AdditionalVersionWeights": {}})
    scene.ask("list_aliases_for_fnname_after_update", "list_aliases", **given)
    update("1_2")
    scene.ask("list_aliases_for_fnname_after_update_2", "list_aliases", **given)
    scene.ask("list_aliases_for_version", "list_aliases", **given, FunctionVersion="1")
    scene.ask("delete_alias_response", "delete_alias", **given, Name="aliasname1_1")
    scene.ask("list_aliases_for_fnname_afterdelete", "list_aliases", **given)


@scenario(f"{_A}test_notfound_and_invalid_routingconfigs")
def routing_refused(scene: Scene) -> None:
    given = _staged(scene, "publish_v1", "publish_v2", Publish=True)

    def create(answer: str, version: str = "1", name: str = "custom", **weights: float) -> None:
        routing = {
            "AdditionalVersionWeights": {key.removeprefix("v"): value for key, value in weights.items()}
        }
        alias = {**given, "Name": name, "FunctionVersion": version, "RoutingConfig": routing}
        scene.ask(answer, "create_alias", client=scene.client(checks_parameters=False), **alias)

    create("routing_config_exc_toomany", v1=0.5, v2=0.5)
    create("routing_config_exc_toohigh", v2=2.0)
    create("routing_config_exc_subzero", v2=-1.0)
    create("routing_config_exc_sameversion", v1=0.5)
    create("target_version_doesnotexist", "10", v2=0.5)
    create("routing_config_exc_version_doesnotexist", v10=0.5)
    create("target_version_exc_version_latest", "$LATEST", v1=0.5)
    create("routing_config_exc_version_latest", **{"$LATEST": 0.5})
    plain = {**given, "FunctionVersion": "$LATEST", "Name": "custom-latest"}
    scene.ask("create-alias-latest", "create_alias", **plain)
    unknown = {"FunctionName": f"{given['FunctionName']}-unknown", "Name": "custom", "FunctionVersion": "1"}
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}}
    scene.ask("routing_config_exc_fn_doesnotexist", "create_alias", **unknown, **weights)
    create("create_alias_empty_routingconfig", name="custom-empty-routingconfig")
    create("create_alias_response", v2=0.5)
    create("routing_config_exc_already_exist", v2=0.5)
    scene.ask("alias_does_not_exist_esc", "get_alias", **given, Name="non-existent")


@scenario(f"{_A}test_alias_naming")
def alias_names(scene: Scene) -> None:
    given = _staged(scene, "publish_v1")
    alias = {**given, "Name": "2024-01-02"}
    described = {"FunctionVersion": "1", "Description": "custom-alias"}
    scene.ask("create_alias_date", "create_alias", **alias, **described)
    scene.ask("get_alias_date", "get_alias", **alias)
    scene.ask("create_alias_number_exception", "create_alias", **given, Name="2024", **described)


@scenario(f"{_A}test_non_existent_alias_deletion")
def delete_no_alias(scene: Scene) -> None:
    scene.ask("delete_alias_response", "delete_alias", **_staged(scene), Name="non-existent")


@scenario(f"{_A}test_non_existent_alias_update")
def update_no_alias(scene: Scene) -> None:
    scene.ask("update_alias_response", "update_alias", **_staged(scene), Name="non-existent")


# --- SnapStart, which concerns published versions


_S = "TestLambdaSnapStart::"
_HANDLERS = {"java": "echo.Handler", "dotnet": "dotnet::Dotnet.Function::FunctionHandler"}
_SNAPPED = (
    "java11", "java17", "java21", "java25", "python3.12", "python3.13", "dotnet8", "dotnet10",
)  # fmt: skip


def _snapped(scene: Scene, **given: Any) -> str:
    scene.need_any("python3.12", "python3.13", "python3.14")  # to stand in for what also has SnapStart
    language = scene.parameter.rstrip("0123456789.")
    return scene.function(
        "create_function_response",
        Runtime=scene.parameter,
        Handler=_HANDLERS.get(language, "handler.handler"),
        MemorySize=1024,
        Timeout=5,
        **given,
    )


@scenario(*(f"{_S}test_snapstart_lifecycle[{runtime}]" for runtime in _SNAPPED))
def snapstart_lifecycle(scene: Scene) -> None:
    name = _snapped(scene)
    scene.ask("get_function_response_latest", "get_function", FunctionName=name)
    scene.ask(None, "publish_version", FunctionName=name, Description="version1")
    scene.settle(name, "1")
    scene.ask("get_function_response_version_1", "get_function", FunctionName=name, Qualifier="1")


@scenario(*(f"{_S}test_snapstart_update_function_configuration[{runtime}]" for runtime in _SNAPPED))
def snapstart_update(scene: Scene) -> None:
    name = _snapped(scene)
    applied = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
    scene.ask("update_function_response", "update_function_configuration", FunctionName=name, **applied)


@scenario(f"{_S}test_snapstart_exceptions")
def snapstart_refused(scene: Scene) -> None:
    answer = "create_function_invalid_snapstart_apply"
    scene.function(answer, waits=False, SnapStart={"ApplyOn": "invalidOption"}, Code={"ZipFile": CODE})

"""Settings beside a function: concurrency, asynchronous invocation, URLs, recursion; the account's use."""

import io
import time
import zipfile
from collections.abc import Mapping
from typing import Any, Final

from compat.scenarios.scene import Scene, scenario
from harness.functions import ROLE, zip_of
from harness.squib import unique_name

_MISSING: Final = {"FunctionName": "doesnotexist"}


# --- reserved concurrency


_R = "TestLambdaReservedConcurrency::"


@scenario(f"{_R}test_function_concurrency_exceptions")
def concurrency_refused(scene: Scene) -> None:
    put = "put_function_concurrency"
    answer = f"{put}_with_function_name_doesnotexist"
    scene.ask(answer, put, **_MISSING, ReservedConcurrentExecutions=1)
    answer = f"{answer}_and_invalid_concurrency"
    scene.ask(answer, put, **_MISSING, ReservedConcurrentExecutions=1_000_000)
    name = scene.deployed()
    scene.ask(None, "publish_version", FunctionName=name)
    qualified = {"FunctionName": scene.arn(name, "1"), "ReservedConcurrentExecutions": 1}
    scene.ask(f"{put}_with_qualified_arn", put, **qualified)


@scenario(f"{_R}test_function_concurrency")
def concurrency(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    for count in (0, 1):
        answer = f"put_function_concurrency_with_reserved_{count}"
        scene.ask(answer, "put_function_concurrency", **function, ReservedConcurrentExecutions=count)
    scene.ask("get_function_concurrency", "get_function_concurrency", **function)
    scene.ask("delete_response", "delete_function_concurrency", **function)
    scene.ask("get_function_concurrency_after_delete", "get_function_concurrency", **function)


@scenario(f"{_R}test_function_concurrency_limits")
def concurrency_limits(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    limit = scene.client().get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    for answer, count in (("account_limit_exceeded", limit + 1), ("below_unreserved_min_value", limit - 99)):
        answer = f"put_function_concurrency_{answer}"
        scene.ask(answer, "put_function_concurrency", **function, ReservedConcurrentExecutions=count)


# --- provisioned concurrency


_P = "TestLambdaProvisionedConcurrency::"


@scenario(f"{_P}test_provisioned_concurrency_exceptions")
def provisioned_refused(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    scene.ask("publish_version_result", "publish_version", **function)
    version, alias = {"Qualifier": "1"}, {"Qualifier": "noalias"}
    many = {"ProvisionedConcurrentExecutions": 1}
    get, put = "get_provisioned_concurrency_config", "put_provisioned_concurrency_config"
    delete, listing = "delete_provisioned_concurrency_config", "list_provisioned_concurrency_configs"
    ten, latest = {"Qualifier": "10"}, {"Qualifier": "$LATEST"}
    scene.ask("get_provisioned_config_doesnotexist", get, **function, **version)
    scene.ask("get_provisioned_functionname_doesnotexist", get, **_MISSING, **alias)
    scene.ask("get_provisioned_qualifier_doesnotexist", get, **function, **alias)
    scene.ask("get_provisioned_version_doesnotexist", get, **function, **ten)
    scene.ask("get_provisioned_latest", get, **function, **latest)
    scene.ask("list_provisioned_noconfigs", listing, **function)
    scene.ask("list_provisioned_functionname_doesnotexist", listing, **_MISSING)
    scene.ask("delete_provisioned_functionname_doesnotexist", delete, **_MISSING, **version)
    scene.ask("delete_provisioned_qualifier_doesnotexist", delete, **function, **alias)
    scene.ask("delete_provisioned_version_doesnotexist", delete, **function, **ten)
    scene.ask("delete_provisioned_latest", delete, **function, **latest)
    scene.ask("delete_provisioned_config_doesnotexist", delete, **function, **version)
    unchecked = scene.client(checks_parameters=False)
    none = {"ProvisionedConcurrentExecutions": 0}
    scene.ask("put_provisioned_invalid_param_0", put, client=unchecked, **function, **version, **none)
    scene.ask("put_provisioned_functionname_doesnotexist_alias", put, **_MISSING, **alias, **many)
    scene.ask("put_provisioned_functionname_doesnotexist_version", put, **_MISSING, **version, **many)
    scene.ask("put_provisioned_qualifier_doesnotexist", put, **function, Qualifier="doesnotexist", **many)
    scene.ask("put_provisioned_version_doesnotexist", put, **function, **ten, **many)
    scene.ask("put_provisioned_latest", put, **function, **latest, **many)


@scenario(f"{_P}test_lambda_provisioned_lifecycle")
def provisioned_lifecycle(scene: Scene) -> None:
    function, name = {"FunctionName": scene.deployed()}, "an-alias"
    version, alias = {"Qualifier": "1"}, {"Qualifier": name}
    many = {"ProvisionedConcurrentExecutions": 1}
    get, put = "get_provisioned_concurrency_config", "put_provisioned_concurrency_config"
    delete = "delete_provisioned_concurrency_config"

    def allocated(**qualifier: str) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if scene.ask(None, get, **function, **qualifier).get("Status") != "IN_PROGRESS":
                return
            time.sleep(0.05)

    scene.ask("publish_version_result", "publish_version", **function)
    scene.ask("create_alias_result", "create_alias", **function, Name=name, FunctionVersion="1")
    scene.ask("put_provisioned_on_version", put, **function, **version, **many)
    scene.ask("put_provisioned_on_alias_versionconflict", put, **function, **alias, **many)
    allocated(**version)
    scene.ask("delete_provisioned_version", delete, **function, **version)
    scene.ask("get_provisioned_version_postdelete", get, **function, **version)
    scene.ask("put_provisioned_on_alias", put, **function, **alias, **many)
    scene.ask("put_provisioned_on_version_conflict", put, **function, **version, **many)
    allocated(**alias)
    scene.ask("delete_alias_result", "delete_alias", **function, Name=name)
    scene.ask("get_provisioned_alias_postaliasdelete", get, **function, **alias)
    scene.ask("list_response_postdeletes", "list_provisioned_concurrency_configs", **function)


@scenario(f"{_P}test_provisioned_concurrency_limits")
def provisioned_limits(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed(), "Qualifier": "1"}
    scene.ask(None, "publish_version", FunctionName=function["FunctionName"])
    limit = scene.client().get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    for answer, count in (("account_limit_exceeded", limit + 1), ("below_unreserved_min_value", limit - 99)):
        answer, many = f"put_provisioned_concurrency_{answer}", {"ProvisionedConcurrentExecutions": count}
        scene.ask(answer, "put_provisioned_concurrency_config", **function, **many)


# --- recursion


_C = "TestLambdaRecursion::test_put_function_recursion_config_"


@scenario(f"{_C}allow")
def recursion_allowed(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    put = "put_function_recursion_config"
    scene.ask("put_recursion_config_response", put, **function, RecursiveLoop="Allow")
    scene.ask("get_recursion_config_response", "get_function_recursion_config", **function)


@scenario(f"{_C}default_terminate")
def recursion_by_default(scene: Scene) -> None:
    answer = "get_recursion_default_terminate_response"
    scene.ask(answer, "get_function_recursion_config", FunctionName=scene.deployed())


@scenario(f"{_C}invalid_value")
def recursion_refused(scene: Scene) -> None:
    answer, function = "put_recursion_invalid_value_error", {"FunctionName": scene.deployed()}
    scene.ask(answer, "put_function_recursion_config", **function, RecursiveLoop="InvalidValue")


# --- asynchronous invocation


_E = "TestLambdaEventInvokeConfig::"


class _EventInvoke:
    """The operations on the configuration of asynchronous invocation of one function."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene, self.function = scene, {"FunctionName": name}

    def put(self, answer: str, **given: Any) -> None:
        given = {**self.function, **given}
        self.scene.ask(answer, "put_function_event_invoke_config", **given)

    def update(self, answer: str, **given: Any) -> None:
        given = {**self.function, **given}
        self.scene.ask(answer, "update_function_event_invoke_config", **given)

    def get(self, answer: str, **given: Any) -> None:
        self.scene.ask(answer, "get_function_event_invoke_config", **{**self.function, **given})

    def list(self, answer: str, **given: Any) -> None:
        self.scene.ask(answer, "list_function_event_invoke_configs", **{**self.function, **given})

    def delete(self, answer: str | None, **given: Any) -> None:
        self.scene.ask(answer, "delete_function_event_invoke_config", **{**self.function, **given})


@scenario(f"{_E}test_lambda_eventinvokeconfig_lifecycle")
def event_invoke_lifecycle(scene: Scene) -> None:
    configs = _EventInvoke(scene, scene.deployed())
    configs.put("put_invokeconfig_retries_0", MaximumRetryAttempts=0)
    configs.put("put_invokeconfig_eventage_60", MaximumEventAgeInSeconds=60)
    configs.update("update_invokeconfig_eventage_nochange", MaximumEventAgeInSeconds=60)
    configs.update("update_invokeconfig_retries", MaximumRetryAttempts=1)
    configs.get("get_invokeconfig")
    configs.get("get_invokeconfig_latest", Qualifier="$LATEST")
    configs.list("list_single_invokeconfig")
    scene.ask("publish_version_result", "publish_version", **configs.function)
    configs.get("get_invokeconfig_postpublish", Qualifier="1")
    configs.put("put_published_invokeconfig", Qualifier="1", MaximumEventAgeInSeconds=120)
    configs.get("get_published_invokeconfig", Qualifier="1")
    configs.delete(None)
    configs.list("list_paging_nolimit_postdelete")


@scenario(f"{_E}test_lambda_eventinvokeconfig_exceptions")
def event_invoke_refused(scene: Scene) -> None:
    name, alias = scene.deployed(Role=scene.invoking_role()), "eventinvokealias"
    configs, other = _EventInvoke(scene, name), scene.arn(scene.deployed())
    scene.ask("fn_version_result", "publish_version", FunctionName=name)
    scene.ask("fn_alias_result", "create_alias", FunctionName=name, Name=alias, FunctionVersion="1")
    arn, once = scene.arn(name), {"MaximumRetryAttempts": 1}
    _destinations_refused(configs, arn, other)
    configs.put("put_destination_latest", **once)
    configs.put("put_destination_latest_explicit_qualifier", **once, Qualifier="$LATEST")
    configs.put("put_destination_version", **once, Qualifier="1")
    configs.put("put_alias_functionname_qualifier", **once, Qualifier=alias)
    configs.put("put_alias_doesnotexist", **once, Qualifier="doesnotexist")
    for kind, named in (("qualifiedarn", f"{arn}:{alias}"), ("shorthand", f"{name}:{alias}")):
        given = {"FunctionName": named, **once}
        configs.put(f"put_alias_{kind}", **given)
        configs.put(f"put_alias_{kind}_qualifier", **given, Qualifier=alias)
        configs.put(f"put_alias_{kind}_qualifierconflict", **given, Qualifier="1")
    configs.put("put_version_shorthand", **once, FunctionName=f"{name}:1")
    latest = {"FunctionName": f"{name}:$LATEST", **once}
    configs.put("put_shorthand_qualifier_match", **latest, Qualifier="$LATEST")
    configs.put("put_shorthand_qualifier_mismatch_1", **latest, Qualifier="1")
    configs.put("put_shorthand_qualifier_mismatch_2", **latest, Qualifier=alias)
    version = {"FunctionName": f"{name}:1", **once}
    configs.put("put_shorthand_qualifier_mismatch_3", **version, Qualifier="$LATEST")
    _overwritten(configs)
    configs.list("list_configs")
    qualifiers = ({"Qualifier": "$LATEST"}, {"Qualifier": "1"}, {"Qualifier": alias})
    for answer, qualifier in zip(("latest", "version", "alias"), qualifiers, strict=True):
        configs.delete(f"delete_{answer}", **qualifier)
    configs.list("list_configs_postdelete")
    configs.delete("delete_function_not_found")
    configs.delete("delete_function_doesnotexist", **_MISSING)
    configs.list("list_function_doesnotexist", **_MISSING)
    configs.get("get_function_doesnotexist", **_MISSING)
    configs.get("get_qualifier_doesnotexist", Qualifier="doesnotexist")
    configs.update("update_eventinvokeconfig_function_doesnotexist", **_MISSING, **once)
    configs.get("get_eventinvokeconfig_doesnotexist", Qualifier=alias)
    update = "update_eventinvokeconfig_config_doesnotexist_with"
    configs.update(f"{update}_qualifier", **once, Qualifier=alias)
    configs.update(f"{update}out_qualifier", **once)


def _destinations_refused(configs: _EventInvoke, arn: str, other: str) -> None:
    def on_success(arn: str | None = None) -> Mapping[str, Any]:
        destination = {} if arn is None else {"Destination": arn}
        return {"DestinationConfig": {"OnSuccess": destination}}

    def on_failure(arn: str | None = None) -> Mapping[str, Any]:
        destination = {} if arn is None else {"Destination": arn}
        return {"DestinationConfig": {"OnFailure": destination}}

    missing = configs.scene.arn("doesnotexist")
    configs.put("put_functionname_name_notfound", **_MISSING, MaximumRetryAttempts=1)
    configs.put("put_functionname_arn_notfound", FunctionName=missing, MaximumRetryAttempts=1)
    configs.put("put_functionname_nootherargs")
    configs.put("put_destination_lambda_doesntexist", **on_success(missing))
    configs.put("put_destination_recursive", **on_success(arn))
    configs.put("put_destination_other_lambda", **on_success(other))
    configs.put("put_destination_invalid_service_arn", **on_success(arn.replace(":lambda:", ":iam:")))
    configs.put("put_destination_success_no_destination_arn", **on_success())
    configs.put("put_destination_failure_no_destination_arn", **on_failure())
    answer = "put_destination_invalid_arn_pattern"
    configs.put(answer, **on_failure(arn.replace(":lambda:", ":_-/!lambda:")))


def _overwritten(configs: _EventInvoke) -> None:
    minute, never = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}, {"MaximumRetryAttempts": 0}
    configs.put("put_maxevent_maxvalue_result", MaximumRetryAttempts=2, MaximumEventAgeInSeconds=21600)
    configs.put("put_pre_overwrite", **minute)
    configs.put("put_post_overwrite", **never)
    configs.put("second_overwrite_existing_response", **never)
    configs.get("get_post_overwrite")
    configs.put("pre_update_response", **minute)
    configs.update("update_response", **never)
    configs.update("update_response_existing", **never)


# --- URLs


_U = "TestLambdaUrl::"
_OPEN: Final = {"AuthType": "NONE"}


def _with_alias(scene: Scene, alias: str, *, is_recorded: bool = True) -> dict[str, str]:
    name = scene.deployed(Runtime="nodejs20.x", Handler="lambda_handler.handler")
    answers = ("fn_version_result", "create_alias_result") if is_recorded else (None, None)
    scene.ask(answers[0], "publish_version", FunctionName=name)
    scene.ask(answers[1], "create_alias", FunctionName=name, Name=alias, FunctionVersion="1")
    return {"FunctionName": name}


@scenario(f"{_U}test_url_config_lifecycle")
def url_lifecycle(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed()}
    scene.ask("url_creation", "create_function_url_config", **function, **_OPEN)
    scene.ask("failed_duplication", "create_function_url_config", **function, **_OPEN)
    scene.ask("get_url_config", "get_function_url_config", **function)
    scene.ask("updated_url_config", "update_function_url_config", **function, AuthType="AWS_IAM")
    scene.ask(None, "delete_function_url_config", **function)
    scene.ask("failed_getter", "get_function_url_config", **function)


@scenario(f"{_U}test_url_config_list_paging")
def url_listing(scene: Scene) -> None:
    function = _with_alias(scene, "urlalias")
    listing, create = "list_function_url_configs", "create_function_url_config"
    scene.ask("list_function_notfound", listing, **_MISSING)
    scene.ask("list_all_empty", listing, **function)
    scene.ask("url_config_fn", create, **function, **_OPEN)
    scene.ask("url_config_alias", create, **function, **_OPEN, Qualifier="urlalias")
    scene.ask("list_all", listing, **function)


@scenario(f"{_U}test_url_config_exceptions")
def urls_refused(scene: Scene) -> None:
    function = _with_alias(scene, "urlalias")
    arn = scene.arn(function["FunctionName"])
    for verb in ("create", "get", "delete", "update"):
        operation = f"{verb}_function_url_config"
        more = _OPEN if verb in ("create", "update") else {}
        for case, given in (
            ("name_doesnotexist", _MISSING),
            ("arn_doesnotexist", {"FunctionName": scene.arn("doesnotexist")}),
            ("name_doesnotexist_qualifier", {**_MISSING, "Qualifier": "1"}),
            ("qualifier_version", {**function, "Qualifier": "1"}),
            ("qualifier_version_doesnotexist", {**function, "Qualifier": "2"}),
            ("qualifier_alias_doesnotexist", {**function, "Qualifier": "doesnotexist"}),
            (
                "qualifier_alias_doesnotmatch_arn",
                {"FunctionName": f"{arn}:urlalias", "Qualifier": "doesnotexist"},
            ),
            ("qualifier_latest", {**function, "Qualifier": "$LATEST"}),
            *((("config_doesnotexist", function),) if verb != "create" else ()),
        ):
            scene.ask(f"{operation}_{case}", operation, **given, **more)


@scenario(f"{_U}test_url_config_deletion_without_qualifier")
def url_deleted_without_qualifier(scene: Scene) -> None:
    function = _with_alias(scene, "test-alias", is_recorded=False)
    alias = {**function, "Qualifier": "test-alias"}
    create, get = "create_function_url_config", "get_function_url_config"
    scene.ask("url_creation", create, **function, **_OPEN)
    scene.ask("url_with_alias_creation", create, **alias, **_OPEN)
    scene.ask("get_url_config", get, **function)
    scene.ask("get_url_config_with_alias", get, **alias)
    scene.ask("delete_function_url_config", "delete_function_url_config", **function)
    scene.ask("get_url_config_after_deletion", get, **function)
    scene.ask("get_url_config_with_alias_after_deletion", get, **alias)


# --- the account's use


_A = "TestLambdaAccountSettings::"
_QUIET_REGION: Final = "ap-south-1"
"""Where no other scenario leaves anything."""


@scenario(f"{_A}test_account_settings")
def account_settings(scene: Scene) -> None:
    live = scene.client().get_account_settings()
    for part in ("AccountLimit", "AccountUsage"):
        live[part] = sorted(live[part])
    scene.compare("acc_settings_modded", live)


def _sized(size_bytes: int, content: str) -> bytes:
    """An archive of exactly this size."""
    buffer = io.BytesIO(zip_of({"index.py": content}))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"#" * (size_bytes - len(buffer.getvalue()))
    return buffer.getvalue()


class _Use:
    """How the account's code size grows in the quiet region."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.client = scene, scene.client(_QUIET_REGION)
        self.before = self.size()

    def size(self) -> int:
        size: int = self.client.get_account_settings()["AccountUsage"]["TotalCodeSize"]
        return size

    def grown(self) -> int:
        return self.size() - self.before

    def settle(self, name: str) -> None:
        for kind in ("function_active_v2", "function_updated_v2"):
            waiter = self.client.get_waiter(kind)
            waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})


@scenario(f"{_A}test_account_settings_total_code_size")
def total_code_size(scene: Scene) -> None:
    use, given = _Use(scene), {"FunctionName": unique_name("scene"), "Role": ROLE}
    code = {"ZipFile": _sized(276, "one")}
    given |= {"Runtime": scene.runtime("python3.12"), "Handler": "index.handler"}
    scene.ask(None, "create_function", client=use.client, **given, Code=code)
    scene.compare("total_code_size_diff_create_function", use.grown())
    function = {"FunctionName": given["FunctionName"]}
    use.settle(given["FunctionName"])
    other = _sized(276, "two")
    scene.ask(None, "update_function_code", client=use.client, **function, ZipFile=other)
    scene.compare("total_code_size_diff_update_function", use.grown())
    layer, content = {"LayerName": unique_name("layer")}, {"ZipFile": _sized(169, "")}
    before = use.size()
    scene.ask(None, "publish_layer_version", client=use.client, **layer, Content=content)
    scene.compare("total_code_size_diff_publish_layer", use.size() - before)
    before = use.size()
    scene.ask(None, "publish_layer_version", client=use.client, **layer, Content=content)
    scene.compare("total_code_size_diff_publish_layer_version", use.size() - before)
    scene.ask(None, "delete_function", client=use.client, **function)


@scenario(f"{_A}test_account_settings_total_code_size_config_update")
def total_code_size_of_versions(scene: Scene) -> None:
    use, function = _Use(scene), {"FunctionName": unique_name("scene")}
    given = {"Role": ROLE, "Runtime": scene.runtime("python3.12"), "Handler": "index.handler"}
    scene.ask(
        None, "create_function", client=use.client, **function, **given, Code={"ZipFile": _sized(276, "one")}
    )
    use.settle(function["FunctionName"])
    scene.compare("is_total_code_size_diff_create_function_more_than_200", use.grown() > 200)
    before = use.size()
    scene.ask(None, "update_function_configuration", client=use.client, **function, Description="changed")
    use.settle(function["FunctionName"])
    scene.compare("total_code_size_diff_update_function_configuration", use.size() - before)
    scene.ask(None, "publish_version", client=use.client, **function)
    answer = "is_total_code_size_diff_publish_version_after_config_update_more_than_200"
    scene.compare(answer, use.size() - before > 200)
    scene.ask(None, "delete_function", client=use.client, **function)

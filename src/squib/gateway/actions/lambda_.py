"""Lambda's rows (service authorization reference, "AWS Lambda")."""

from collections.abc import Iterator, Mapping
from typing import Final

from squib.gateway.actions.rule import (
    ANYTHING,
    Also,
    Conditions,
    Input,
    Place,
    Resource,
    Rule,
    Value,
    anything,
    own,
    removed_tags,
    request_tags,
)
from squib.model.arn import FunctionReference, named_account, parse_function_reference
from squib.model.layer import parse_layer_arn


def _function(given: Input, place: Place) -> str:
    """With the qualifier that the call names, for a policy may allow one alias and not another."""
    name = given.get("FunctionName")
    if name is None:
        return ANYTHING
    reference = _reference(name, place)
    return reference.key.arn(reference.qualifier or given.get("Qualifier"))


def _whole_function(given: Input, place: Place) -> str:
    """Without a qualifier: the call is about the function itself."""
    return _reference(given["FunctionName"], place).key.arn()


def _reference(name: str, place: Place) -> FunctionReference:
    """In the account that the name spells out, else the caller's."""
    account_id = named_account(name) or place.account_id
    # Asked as `Resolver` asks, who finds the answer remembered.
    return parse_function_reference(name, None, account_id=account_id, region=place.region)


def _layer(given: Input, place: Place) -> str:
    name: str = given["LayerName"]
    if name.startswith("arn:"):
        return own(name)
    return f"arn:aws:lambda:{place.region}:{place.account_id}:layer:{name}"


def _layer_version(given: Input, place: Place) -> str:
    return f"{_layer(given, place)}:{given['VersionNumber']}"


def _layer_version_by_arn(given: Input, place: Place) -> str:
    return _spelled(given["Arn"])


def _spelled(layer_version_arn: str) -> str:
    """With its number as squib writes it: `01` is no other version than `1`."""
    found = parse_layer_arn(layer_version_arn)
    return own(layer_version_arn) if found is None or found[1] is None else f"{found[0].arn}:{found[1]}"


def _mapping(given: Input, place: Place) -> str:
    return f"arn:aws:lambda:{place.region}:{place.account_id}:event-source-mapping:{given['UUID']}"


def _capacity_provider(given: Input, place: Place) -> str:
    name: str = given["CapacityProviderName"]
    if name.startswith("arn:"):
        return own(name)
    return f"arn:aws:lambda:{place.region}:{place.account_id}:capacity-provider:{name}"


def _named_by(member: str) -> Resource:
    """The ARN that an input member gives."""

    def resource(given: Input, place: Place) -> str:
        arn: str | None = given.get(member)
        return own(arn or ANYTHING)

    return resource


def _permission_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("Principal"):
        yield "lambda:Principal", given["Principal"]
    if given.get("FunctionUrlAuthType"):
        yield "lambda:FunctionUrlAuthType", given["FunctionUrlAuthType"]


def _url_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    arn = _function(given, place)
    yield "lambda:FunctionArn", arn
    auth_type = given.get("AuthType") or place.known.url_auth_type(arn)
    if auth_type:
        yield "lambda:FunctionUrlAuthType", auth_type


def _mapping_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("FunctionName"):
        yield "lambda:FunctionArn", _function(given, place)
    elif given.get("UUID"):
        arn = place.known.mapping_function_arn(place.account_id, place.region, given["UUID"])
        if arn:
            yield "lambda:FunctionArn", arn


def _new_mapping_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield from _mapping_keys(given, place)
    yield from request_tags(given, place)


def _configuration_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("Layers"):
        yield "lambda:Layer", tuple(map(_spelled, given["Layers"]))
    vpc = given.get("VpcConfig") or {}
    if vpc.get("SubnetIds"):
        yield "lambda:SubnetIds", tuple(vpc["SubnetIds"])
    if vpc.get("SecurityGroupIds"):
        yield "lambda:SecurityGroupIds", tuple(vpc["SecurityGroupIds"])


def _new_function_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield from _configuration_keys(given, place)
    yield from _signing_keys(given, place)
    yield from request_tags(given, place)


def _signing_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("CodeSigningConfigArn"):
        yield "lambda:CodeSigningConfigArn", own(given["CodeSigningConfigArn"])


def _role(given: Input, place: Place) -> Iterator[str]:
    if given.get("Role"):
        yield given["Role"]


def _pass_role_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield "iam:PassedToService", "lambda.amazonaws.com"
    if given.get("FunctionName"):
        yield "iam:AssociatedResourceArn", _whole_function(given, place)


def _layers(given: Input, place: Place) -> Iterator[str]:
    yield from map(_spelled, given.get("Layers") or ())


def _objects(given: Input, place: Place) -> Iterator[tuple[str, bool]]:
    """The object in S3 that the code or a layer's content is read from; whether a version of it is named."""
    for code in (given.get("Code"), given.get("Content"), given):
        if code and code.get("S3Bucket") and code.get("S3Key"):
            arn = f"arn:aws:s3:::{code['S3Bucket']}/{code['S3Key']}"
            yield arn, bool(code.get("S3ObjectVersion"))


def _newest_objects(given: Input, place: Place) -> Iterator[str]:
    return (arn for arn, is_version in _objects(given, place) if not is_version)


def _object_versions(given: Input, place: Place) -> Iterator[str]:
    return (arn for arn, is_version in _objects(given, place) if is_version)


_CODE_IN_S3: Final = (
    Also("s3:GetObject", _newest_objects),
    Also("s3:GetObjectVersion", _object_versions),
)
"""squib reads with a key of its own: what a caller may not read itself must not be had through it."""
_ROLE_AND_LAYERS: Final = (
    Also("iam:PassRole", _role, _pass_role_keys),
    Also("lambda:GetLayerVersion", _layers),
)

_OF_NO_RESOURCE: Final = (
    *("GetAccountSettings", "ListFunctions", "ListEventSourceMappings", "ListLayers", "ListLayerVersions"),
    *("ListCodeSigningConfigs", "ListCapacityProviders"),
)
_OF_A_FUNCTION: Final = (
    *("AddPermission", "RemovePermission", "GetPolicy", "GetFunction", "GetFunctionConfiguration"),
    *(
        "DeleteFunction",
        "GetRuntimeManagementConfig",
        "PutRuntimeManagementConfig",
        "DeleteFunctionEventInvokeConfig",
    ),
    *("GetFunctionEventInvokeConfig", "PutFunctionEventInvokeConfig", "UpdateFunctionEventInvokeConfig"),
    *(
        "GetProvisionedConcurrencyConfig",
        "PutProvisionedConcurrencyConfig",
        "DeleteProvisionedConcurrencyConfig",
    ),
    *("GetFunctionScalingConfig", "PutFunctionScalingConfig", "ListDurableExecutionsByFunction"),
    *(
        "CreateFunctionUrlConfig",
        "GetFunctionUrlConfig",
        "UpdateFunctionUrlConfig",
        "DeleteFunctionUrlConfig",
    ),
)
_OF_A_WHOLE_FUNCTION: Final = (
    *("CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "PublishVersion"),
    *("ListVersionsByFunction", "CreateAlias", "UpdateAlias", "GetAlias", "DeleteAlias", "ListAliases"),
    *("PutFunctionConcurrency", "GetFunctionConcurrency", "DeleteFunctionConcurrency"),
    *("ListProvisionedConcurrencyConfigs", "ListFunctionEventInvokeConfigs", "ListFunctionUrlConfigs"),
    *("GetFunctionCodeSigningConfig", "PutFunctionCodeSigningConfig", "DeleteFunctionCodeSigningConfig"),
    *("GetFunctionRecursionConfig", "PutFunctionRecursionConfig"),
)
_OF_A_LAYER_VERSION: Final = (
    *("GetLayerVersion", "DeleteLayerVersion", "GetLayerVersionPolicy"),
    *("AddLayerVersionPermission", "RemoveLayerVersionPermission"),
)
_OF_A_MAPPING: Final = ("GetEventSourceMapping", "UpdateEventSourceMapping", "DeleteEventSourceMapping")
_OF_A_SIGNING_CONFIG: Final = (
    *("GetCodeSigningConfig", "UpdateCodeSigningConfig", "DeleteCodeSigningConfig"),
    "ListFunctionsByCodeSigningConfig",
)
_OF_A_CAPACITY_PROVIDER: Final = (
    *("CreateCapacityProvider", "GetCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider"),
    "ListFunctionVersionsByCapacityProvider",
)
_OF_AN_EXECUTION: Final = (
    *(
        "CheckpointDurableExecution",
        "DeleteDurableExecution",
        "GetDurableExecution",
        "GetDurableExecutionHistory",
    ),
    *("GetDurableExecutionState", "PauseDurableExecution", "ResumeDurableExecution", "StopDurableExecution"),
)
_OF_A_CALLBACK: Final = (
    "SendDurableExecutionCallbackFailure",
    "SendDurableExecutionCallbackHeartbeat",
    "SendDurableExecutionCallbackSuccess",
)  # a callback id names no execution by itself
_OF_A_POLICY: Final = ("GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy")

_CONDITIONS: Final[Mapping[str, Conditions]] = {
    "AddPermission": _permission_keys,
    "RemovePermission": _permission_keys,
    "CreateFunction": _new_function_keys,
    "UpdateFunctionConfiguration": _configuration_keys,
    "PutFunctionCodeSigningConfig": _signing_keys,
    "CreateFunctionUrlConfig": _url_keys,
    "GetFunctionUrlConfig": _url_keys,
    "UpdateFunctionUrlConfig": _url_keys,
    "DeleteFunctionUrlConfig": _url_keys,
    "GetEventSourceMapping": _mapping_keys,
    "UpdateEventSourceMapping": _mapping_keys,
    "DeleteEventSourceMapping": _mapping_keys,
    "CreateCapacityProvider": request_tags,
}
_ALSO: Final[Mapping[str, tuple[Also, ...]]] = {
    "CreateFunction": (*_ROLE_AND_LAYERS, *_CODE_IN_S3),
    "UpdateFunctionConfiguration": _ROLE_AND_LAYERS,
    "UpdateFunctionCode": _CODE_IN_S3,
}


def _rows() -> Iterator[tuple[str, Rule]]:
    for operations, resource in (
        (_OF_NO_RESOURCE, anything),
        (_OF_A_FUNCTION, _function),
        (_OF_A_WHOLE_FUNCTION, _whole_function),
        (_OF_A_LAYER_VERSION, _layer_version),
        (_OF_A_MAPPING, _mapping),
        (_OF_A_SIGNING_CONFIG, _named_by("CodeSigningConfigArn")),
        (_OF_A_CAPACITY_PROVIDER, _capacity_provider),
        (_OF_AN_EXECUTION, _named_by("DurableExecutionArn")),
        (_OF_A_CALLBACK, anything),
        (_OF_A_POLICY, _named_by("ResourceArn")),
    ):
        for operation in operations:
            yield (
                operation,
                Rule(f"lambda:{operation}", resource, _CONDITIONS.get(operation), _ALSO.get(operation, ())),
            )
    # Where the action is not the operation's name, or the resource is one of a kind.
    for operation in ("Invoke", "InvokeWithResponseStream"):
        yield operation, Rule("lambda:InvokeFunction", _function)
    yield "InvokeAsync", Rule("lambda:InvokeFunction", _function)
    yield "GetLayerVersionByArn", Rule("lambda:GetLayerVersion", _layer_version_by_arn)
    yield "PublishLayerVersion", Rule("lambda:PublishLayerVersion", _layer, None, _CODE_IN_S3)
    yield "CreateEventSourceMapping", Rule("lambda:CreateEventSourceMapping", anything, _new_mapping_keys)
    yield "CreateCodeSigningConfig", Rule("lambda:CreateCodeSigningConfig", anything, request_tags)
    yield "ListTags", Rule("lambda:ListTags", _named_by("Resource"))
    yield "TagResource", Rule("lambda:TagResource", _named_by("Resource"), request_tags)
    yield "UntagResource", Rule("lambda:UntagResource", _named_by("Resource"), removed_tags)


ROWS: Final[Mapping[str, Rule]] = dict(_rows())
"""Operation -> what it asks for; every operation of the model has a row, built or not."""

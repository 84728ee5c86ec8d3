"""From the names in a call to the layer and the version they mean."""

from squib.control_plane.lambda_.lookup import not_given
from squib.model.errors import InvalidParameterValue, ResourceNotFound
from squib.model.item import ItemKey
from squib.model.layer import GET_LAYER_VERSION, LayerKey, LayerVersion, parse_layer_arn
from squib.model.operation import AuthorizedCall
from squib.store.base import Collection

LayerVersions = Collection[ItemKey, LayerVersion]


def layer_of(call: AuthorizedCall) -> LayerKey:
    """The layer that `LayerName` names, by name or ARN. Raises AccessDenied for another account's, which no
    policy of a layer version gives; ResourceNotFound for another region's, or of none."""
    name: str = call.input["LayerName"]
    parsed = parse_layer_arn(name)
    if parsed is None and name.startswith("arn:"):  # the model takes one of no partition
        raise missing()
    if parsed is None:
        return LayerKey(call.account_id, call.region, name)
    layer, _ = parsed
    if layer.account_id != call.account_id:
        raise not_given(call.principal, layer.arn, f"lambda:{call.operation}")
    return _here(call, layer)


def version_number(call: AuthorizedCall) -> int:
    """`VersionNumber`. Raises InvalidParameterValue below one."""
    number: int = call.input["VersionNumber"]
    if number < 1:
        raise InvalidParameterValue("Layer Version Cannot be less than 1")
    return number


def readable_version(call: AuthorizedCall, versions: LayerVersions) -> LayerVersion:
    """The version that the call names by `LayerName` and `VersionNumber`, or by `Arn`, which may be another
    account's that lets the caller's read it. Raises AccessDenied, ResourceNotFound."""
    arn: str | None = call.input.get("Arn")
    if arn is None:
        name: str = call.input["LayerName"]
        layer_arn = name if name.startswith("arn:") else LayerKey(call.account_id, call.region, name).arn
        arn = f"{layer_arn}:{version_number(call)}"
    parsed = parse_layer_arn(arn)
    layer, number = parsed or (None, None)
    if layer is None or number is None:
        raise missing()
    found = versions.peek(layer.version(number))
    if layer.account_id != call.account_id and (found is None or not found.may_be_used_by(call.account_id)):
        raise not_given(call.principal, arn, GET_LAYER_VERSION)
    _here(call, layer)
    if found is None:
        raise missing()
    return found


def missing() -> ResourceNotFound:
    """No such layer version."""
    return ResourceNotFound("The resource you requested does not exist.")


def _here(call: AuthorizedCall, layer: LayerKey) -> LayerKey:
    if layer.region != call.region:
        raise missing()
    return layer

"""The layers that a function is given: which are allowed together, and how large they are with its code."""

from collections.abc import Sequence

from squib.control_plane.lambda_.lookup import not_given
from squib.model.errors import InvalidParameterValue
from squib.model.function import CodeRef, FunctionKey, LayerRef
from squib.model.identity import Principal
from squib.model.layer import GET_LAYER_VERSION, LAYER_VERSIONS, parse_layer_arn
from squib.model.limits import MAX_LAYERS, MAX_UNZIPPED_BYTES
from squib.store.base import Reader


def attached(
    arns: Sequence[str], function: FunctionKey, principal: Principal, reader: Reader
) -> tuple[LayerRef, ...]:
    """What `Layers` names for a function, in that order.

    Raises InvalidParameterValue for too many, for layers of another region, for two versions of one layer,
    and for one that does not exist; AccessDenied for another account's that its policy does not give.
    """
    if len(arns) > MAX_LAYERS:
        raise InvalidParameterValue(f"Cannot reference more than {MAX_LAYERS} layers.")
    named = [(arn, parse_layer_arn(arn)) for arn in arns]
    if any(layer is not None and layer[0].region != function.region for _, layer in named):
        raise InvalidParameterValue(
            "Layers are not in the same region as the function. "
            f"Layers are expected to be in region {function.region}."
        )
    seen: dict[str, str] = {}
    for arn, _ in named:
        layer_arn = arn.rpartition(":")[0]
        if layer_arn in seen:
            raise InvalidParameterValue(
                "Two different versions of the same layer are not allowed to be referenced in the same "
                f"function. {seen[layer_arn]} and {arn} are versions of the same layer."
            )
        seen[layer_arn] = arn
    return tuple(_attached(arn, function, principal, reader) for arn in arns)


def _attached(arn: str, function: FunctionKey, principal: Principal, reader: Reader) -> LayerRef:
    layer = parse_layer_arn(arn)
    found = (
        None if layer is None or layer[1] is None else reader.get(LAYER_VERSIONS, layer[0].version(layer[1]))
    )
    is_own = layer is not None and layer[0].account_id == function.account_id
    if not is_own and (found is None or not found.may_be_used_by(function.account_id)):
        raise not_given(principal, arn, GET_LAYER_VERSION)
    if found is None:
        raise InvalidParameterValue(f"Layer version {arn} does not exist.")
    return found.reference


def check_size(code: CodeRef, layers: Sequence[LayerRef]) -> None:
    """Raises InvalidParameterValue for more unpacked bytes than a function may have in all."""
    size_bytes = code.unzipped_bytes + sum(layer.content.unzipped_bytes for layer in layers)
    if layers and size_bytes > MAX_UNZIPPED_BYTES:
        raise InvalidParameterValue(
            f"Function code combined with layers exceeds the maximum allowed size of {MAX_UNZIPPED_BYTES} "
            f"bytes. The actual size is {size_bytes} bytes."
        )

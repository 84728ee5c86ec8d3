"""Forms of a function's name and qualifier, and what Lambda says of those it refuses."""

from typing import Any, Final

from compat.scenarios.scene import CODE, Scene, scenario
from harness.functions import ROLE

_OPERATIONS: Final = ("get_function", "delete_function", "invoke", "create_function")
_RECORDED: Final = "TestLambdaFunction::test_function_name_and_qualifier_validation"
_LONG: Final = "a" * 129
_ARN: Final = "arn:aws:lambda:{region}:{account}:function:my-function"
_ELSEWHERE: Final = "arn:aws:lambda:invalid-region:{account}:function:my-function"
_FORMS: Final[dict[str, tuple[str, str | None]]] = {
    "function_name_is_single_invalid": ("*", None),
    "invalid_characters_in_function_name": ("my-function!", None),
    "invalid_characters_in_qualifier": ("my-function", "invalid!"),
    "qualifier_too_long": ("my-function", _LONG),
    "qualifier_too_long0": ("my-function", _LONG),
    "qualifier_too_long1": ("my-function", "a" * 65),
    "invalid_account_id_in_partial_arn": ("invalid-account:function:my-function", None),
    "invalid_region_in_arn": (_ELSEWHERE, None),
    "non_lambda_arn": ("arn:aws:ec2:{region}:{account}:instance:i-1234567890abcdef0", None),
    "function_name_too_long": ("a" * 65, None),
    "function_name_too_long_and_invalid_region": (_ELSEWHERE + "a" * 170, None),
    "full_arn_and_qualifier_too_long_and_invalid_region": (f"{_ELSEWHERE}-{'a' * 170}", _LONG),
    "full_arn_with_multiple_qualifiers": (f"{_ARN}:1:2", None),
    "function_name_and_qualifier_too_long": ("my-function", "a" * 65),
    "incomplete_arn": ("arn:aws:lambda:{region}:{account}:function", None),
    "partial_arn_with_extra_qualifier": ("function:my-function:$LATEST:extra", None),
    "latest_version_with_additional_qualifier": (f"{_ARN}:$LATEST", "1"),
    "lowercase_latest_qualifier": (_ARN, "$latest"),
    "missing_region_in_arn": ("arn:aws:lambda::{account}:function:my-function", None),
    "missing_account_id_in_arn": ("arn:aws:lambda:{region}::function:my-function", None),
    "misspelled_latest_in_arn": (f"{_ARN}:$LATES", None),
}
_NOT_RECORDED: Final = {
    (form, "create_function")
    for form in ("qualifier_too_long1", "incomplete_arn", "function_name_and_qualifier_too_long")
}


def _refused(scene: Scene) -> None:
    form, _, operation = scene.parameter.rpartition("-")
    name, qualifier = _FORMS[form]
    name = name.format(region=scene.region, account=scene.account_id)
    given: dict[str, Any] = {"FunctionName": name}
    if operation == "create_function":
        if qualifier is not None:
            given["FunctionName"] = f"{name}:{qualifier}"
        given |= {"Runtime": "python3.12", "Handler": "index.handler", "Role": ROLE}
        given["Code"] = {"ZipFile": CODE}
    elif qualifier is not None:
        given["Qualifier"] = qualifier
    client = scene.client(checks_parameters=False)
    scene.ask(f"{operation}_exception", operation, client=client, **given)


for _form in _FORMS:
    for _operation in _OPERATIONS:
        if (_form, _operation) not in _NOT_RECORDED:
            scenario(f"{_RECORDED}[{_form}-{_operation}]")(_refused)

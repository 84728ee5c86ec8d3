"""Where a service answers otherwise than its published model says: fields of shapes to replace, by service.

Each row has its source. A row for a shape that a newer model no longer has is ignored.
"""

from collections.abc import Mapping
from typing import Any, Final

from squib.model.limits import MAX_EPHEMERAL_MIB, MAX_MEMORY_MIB, MAX_TIMEOUT_S

_SQS_INPUTS: Final = (
    *(
        f"{name}Request"
        for name in ("CreateQueue", "DeleteQueue", "GetQueueUrl", "PurgeQueue", "SendMessage")
    ),
    *(f"{name}QueueAttributesRequest" for name in ("Get", "Set")),
    *(f"{name}Request" for name in ("ListQueueTags", "TagQueue", "UntagQueue", "ListDeadLetterSourceQueues")),
    *(f"{name}Request" for name in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")),
    *(f"{name}BatchRequest" for name in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")),
    *(f"{name}BatchRequestEntry" for name in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")),
    *(f"{name}PermissionRequest" for name in ("Add", "Remove")),
    *("StartMessageMoveTaskRequest", "ListMessageMoveTasksRequest", "CancelMessageMoveTaskRequest"),
    *("MessageAttributeValue", "MessageSystemAttributeValue"),
)

AMENDMENTS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "lambda": {
        # The model's maxima are those of managed instances and durable functions, which squib does not have.
        "Timeout": {"max": MAX_TIMEOUT_S},
        "MemorySize": {"max": MAX_MEMORY_MIB},
        "EphemeralStorageSize": {"max": MAX_EPHEMERAL_MIB},
        # Recorded: an unknown runtime is InvalidParameterValueException with a list of its own, which
        # depends on what is served; the handlers check it.
        "Runtime": {"enum": ()},
        # Recorded: told in one message with the runtimes, and after them; the handlers check both.
        "CompatibleArchitectures": {"member": "String"},
        # Recorded: these two error texts do not say that a member must not be null.
        "SubnetIds": {"null_members": True},
        "SecurityGroupIds": {"null_members": True},
        # Recorded: the same values in another order.
        "EventSourcePosition": {"enum": ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")},
        "RecursiveLoop": {"enum": ("Terminate", "Allow")},
        # Recorded: the pattern names layers too, and capacity providers without a length.
        "TaggableResource": {
            "pattern": (
                r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"
                r"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|"
                r"code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-"
                r"[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)"
            )
        },
        # Recorded: the same pattern without the outer parentheses.
        "LayerVersionArn": {
            "pattern": (
                r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"
                r"layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
            )
        },
    },
    "monitoring": {
        # Classes of characters that Python does not have, in a shape of operations that are not built.
        "DefinitionPath": {"pattern": None},
    },
    "iam": {
        # IAM refuses names by a sentence of its own, not by the pattern; the handlers check it.
        "userNameType": {"pattern": None},
        "existingUserNameType": {"pattern": None},
        "groupNameType": {"pattern": None},
        "roleNameType": {"pattern": None},
        "policyNameType": {"pattern": None},
    },
    "logs": {
        # Reported to boto3 (4104): a group's ARN with `:*`, which the pattern forbids, is ValidationException
        # "Invalid resourceArn" instead; the handlers check it. A group's name may also have a `#`.
        "AmazonResourceName": {"pattern": None},
    },
    "sqs": {
        # API reference, "Common errors": what is missing is MissingParameter, an unknown attribute is
        # InvalidAttributeName, each in words of its own; the handlers check it.
        **{name: {"required": ()} for name in _SQS_INPUTS},
        "QueueAttributeName": {"enum": ()},
        "MessageSystemAttributeName": {"enum": ()},
        "MessageSystemAttributeNameForSends": {"enum": ()},
    },
}

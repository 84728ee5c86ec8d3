"""The condition keys of a call: what policies can ask about who calls, from where, for what and when.

A `Context` holds them by name in any case. The functions here name the keys of AWS ("AWS global condition
context keys") and of Lambda, IAM and STS (Service Authorization Reference), so that nobody else spells
them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from squib.model.units import EpochMs

Value: TypeAlias = str | bool | int | Sequence[str] | None
"""What a key is set to. None: the key is not there, which is not the same as empty."""
Values: TypeAlias = Mapping[str, tuple[str, ...]]
"""Keys in lower case."""

_NOTHING: Final[Values] = {}
_CURRENT_TIME: Final = "aws:currenttime"
_EPOCH_TIME: Final = "aws:epochtime"


def keys(given: Mapping[str, Value]) -> Values:
    """The keys that are not None, as a layer of a `Context`."""
    return {name.lower(): _texts(value) for name, value in given.items() if value is not None}


def _texts(value: str | bool | int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, int):
        return (str(value),)
    return tuple(value)


class Context:
    """The keys of one call: those of the caller, which many calls share, and those of the call itself.

    Where both name a key, the call's own value counts. `now_ms` gives aws:CurrentTime and aws:EpochTime;
    without it the two are only there when named.
    """

    __slots__ = ("_call", "_caller", "_now_ms")

    def __init__(
        self, call: Values = _NOTHING, caller: Values = _NOTHING, *, now_ms: EpochMs | None = None
    ) -> None:
        self._call = call
        self._caller = caller
        self._now_ms = now_ms

    def get(self, key: str) -> tuple[str, ...] | None:
        """The values of a key given in lower case; None when the call has no such key."""
        found = self._call.get(key)
        if found is None:
            found = self._caller.get(key)
            if found is None and self._now_ms is not None:
                return self._time(key, self._now_ms)
        return found

    def single(self, key: str) -> str | None:
        """The value of a key that has exactly one, as policy variables need it."""
        found = self.get(key)
        return found[0] if found is not None and len(found) == 1 else None

    def but(self, more: Mapping[str, Value]) -> "Context":
        """The same with further keys, which count before those that are there."""
        return Context({**self._call, **keys(more)}, self._caller, now_ms=self._now_ms)

    @staticmethod
    def _time(key: str, now_ms: EpochMs) -> tuple[str, ...] | None:
        if key == _CURRENT_TIME:
            return (iso_time(now_ms),)
        if key == _EPOCH_TIME:
            return (str(now_ms // 1000),)
        return None


NO_CONTEXT: Final = Context()


def caller_keys(
    *,
    principal_arn: str,
    principal_account: str,
    principal_type: str,
    user_id: str,
    username: str | None = None,
    principal_tags: Mapping[str, str] = {},
    source_identity: str | None = None,
    federated_provider: str | None = None,
    token_issued_at_ms: EpochMs | None = None,
    is_mfa_present: bool | None = None,
    mfa_age_s: int | None = None,
    org_id: str | None = None,
    org_paths: Sequence[str] | None = None,
    source_function_arn: str | None = None,
    assumed_root: bool | None = None,
) -> Values:
    """Keys that hold for everything that one set of credentials signs.

    `principal_arn` is a role's ARN, not its session's (aws:PrincipalArn). `principal_type` is `Account`,
    `User`, `AssumedRole`, `FederatedUser` or `Anonymous`. MFA keys are there with temporary credentials
    only. `source_function_arn` is set for a function's own credentials.
    """
    return keys(
        {
            "aws:PrincipalArn": principal_arn,
            "aws:PrincipalAccount": principal_account,
            "aws:PrincipalType": principal_type,
            "aws:PrincipalIsAWSService": False,
            "aws:userid": user_id,
            "aws:username": username,
            "aws:SourceIdentity": source_identity,
            "aws:FederatedProvider": federated_provider,
            "aws:TokenIssueTime": None if token_issued_at_ms is None else iso_time(token_issued_at_ms),
            "aws:MultiFactorAuthPresent": is_mfa_present,
            "aws:MultiFactorAuthAge": mfa_age_s,
            "aws:PrincipalOrgID": org_id,
            "aws:PrincipalOrgPaths": org_paths,
            "aws:AssumedRoot": assumed_root,
            "lambda:SourceFunctionArn": source_function_arn,
            **tag_keys("aws:PrincipalTag", principal_tags),
        }
    )


def service_keys(
    *,
    service: str,
    source_arn: str | None = None,
    source_account: str | None = None,
    source_org_id: str | None = None,
    source_org_paths: Sequence[str] | None = None,
) -> Values:
    """Keys of a call that a service makes for a resource of a user, such as a bucket."""
    return keys(
        {
            "aws:PrincipalIsAWSService": True,
            "aws:PrincipalServiceName": service,
            "aws:PrincipalServiceNamesList": (service,),
            "aws:SourceArn": source_arn,
            "aws:SourceAccount": source_account,
            "aws:SourceOrgID": source_org_id,
            "aws:SourceOrgPaths": source_org_paths,
        }
    )


def call_keys(
    *,
    requested_region: str | None = None,
    source_ip: str | None = None,
    is_secure_transport: bool | None = None,
    user_agent: str | None = None,
    referer: str | None = None,
    called_via: Sequence[str] | None = None,
    is_via_service: bool | None = None,
    resource_account: str | None = None,
    resource_org_id: str | None = None,
    resource_org_paths: Sequence[str] | None = None,
    resource_tags: Mapping[str, str] | None = None,
    request_tags: Mapping[str, str] | None = None,
    tag_names: Iterable[str] | None = None,
) -> dict[str, Value]:
    """Global keys of one call, to be joined with those of its service and given to `keys`.

    `tag_names` is aws:TagKeys where tags are removed; with `request_tags` it follows from them.
    """
    found: dict[str, Value] = {
        "aws:RequestedRegion": requested_region,
        "aws:SourceIp": source_ip,
        "aws:SecureTransport": is_secure_transport,
        "aws:UserAgent": user_agent,
        "aws:Referer": referer,
        "aws:ViaAWSService": is_via_service,
        "aws:ResourceAccount": resource_account,
        "aws:ResourceOrgID": resource_org_id,
        "aws:ResourceOrgPaths": resource_org_paths,
    }
    if called_via:
        found["aws:CalledVia"] = called_via
        found["aws:CalledViaFirst"] = called_via[0]
        found["aws:CalledViaLast"] = called_via[-1]
    if resource_tags:
        found.update(tag_keys("aws:ResourceTag", resource_tags))
    if request_tags:
        found.update(tag_keys("aws:RequestTag", request_tags))
        tag_names = request_tags if tag_names is None else tag_names
    if tag_names is not None:
        found["aws:TagKeys"] = tuple(tag_names)
    return found


def lambda_keys(
    *,
    function_arn: str | None = None,
    function_url_auth_type: str | None = None,
    is_invoked_via_function_url: bool | None = None,
    principal: str | None = None,
    layers: Sequence[str] | None = None,
    code_signing_config_arn: str | None = None,
    event_source_token: str | None = None,
    vpc_ids: Sequence[str] | None = None,
    subnet_ids: Sequence[str] | None = None,
    security_group_ids: Sequence[str] | None = None,
) -> dict[str, Value]:
    """Lambda's own keys (Service Authorization Reference, AWS Lambda), to be given to `keys`.

    `function_arn` is that of an event source mapping's function or of a function URL's; `principal` whom
    AddPermission lets in; `layers` the ARNs of layer versions that a function is to use.
    """
    return {
        "lambda:FunctionArn": function_arn,
        "lambda:FunctionUrlAuthType": function_url_auth_type,
        "lambda:InvokedViaFunctionUrl": is_invoked_via_function_url,
        "lambda:Principal": principal,
        "lambda:Layer": layers,
        "lambda:CodeSigningConfigArn": code_signing_config_arn,
        "lambda:EventSourceToken": event_source_token,
        "lambda:VpcIds": vpc_ids,
        "lambda:SubnetIds": subnet_ids,
        "lambda:SecurityGroupIds": security_group_ids,
    }


def iam_keys(
    *,
    passed_to_service: str | None = None,
    associated_resource_arn: str | None = None,
    policy_arn: str | None = None,
    permissions_boundary: str | None = None,
    resource_tags: Mapping[str, str] | None = None,
) -> dict[str, Value]:
    """IAM's own keys, to be given to `keys`: iam:PassedToService with iam:PassRole and so on."""
    return {
        "iam:PassedToService": passed_to_service,
        "iam:AssociatedResourceArn": associated_resource_arn,
        "iam:PolicyARN": policy_arn,
        "iam:PermissionsBoundary": permissions_boundary,
        **tag_keys("iam:ResourceTag", resource_tags or {}),
    }


def sts_keys(
    *,
    external_id: str | None = None,
    role_session_name: str | None = None,
    source_identity: str | None = None,
    duration_s: int | None = None,
    transitive_tag_keys: Sequence[str] | None = None,
    session_tags: Mapping[str, str] | None = None,
) -> dict[str, Value]:
    """STS's own keys of AssumeRole and its kin, to be given to `keys`; session tags are aws:RequestTag."""
    found: dict[str, Value] = {
        "sts:ExternalId": external_id,
        "sts:RoleSessionName": role_session_name,
        "sts:SourceIdentity": source_identity,
        "sts:DurationSeconds": duration_s,
        "sts:TransitiveTagKeys": transitive_tag_keys,
    }
    if session_tags:
        found.update(tag_keys("aws:RequestTag", session_tags))
        found["aws:TagKeys"] = tuple(session_tags)
    return found


def web_identity_keys(issuer: str, claims: Mapping[str, Value]) -> dict[str, Value]:
    """Keys of a web identity: `issuer:claim` for each claim, such as `sub`; issuer without scheme."""
    return {f"{issuer}:{claim}": value for claim, value in claims.items()}


def tag_keys(prefix: str, tags: Mapping[str, str]) -> dict[str, Value]:
    """One key for each tag: `prefix/name`."""
    return {f"{prefix}/{name}": value for name, value in tags.items()}


def iso_time(at_ms: EpochMs) -> str:
    """An instant as condition keys show it."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""The Lambda control plane as one service: what it needs, and the table of its operations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from squib.clock import Clock, Entropy
from squib.control_plane.lambda_.aliases import AliasService
from squib.control_plane.lambda_.changes import ChangeService
from squib.control_plane.lambda_.code import CodeLocations
from squib.control_plane.lambda_.code_signing import CodeSigningService, CodeSigningTags
from squib.control_plane.lambda_.event_invoke import EventInvokeService
from squib.control_plane.lambda_.function_code_signing import FunctionCodeSigningService
from squib.control_plane.lambda_.functions import FunctionService
from squib.control_plane.lambda_.layer_policies import LayerPolicyService
from squib.control_plane.lambda_.layers import LayerService
from squib.control_plane.lambda_.mappings import MappingService, MappingTags, SourceCheck
from squib.control_plane.lambda_.permissions import PermissionService
from squib.control_plane.lambda_.provisioned_concurrency import ProvisionedConcurrencyService
from squib.control_plane.lambda_.recursion import RecursionService
from squib.control_plane.lambda_.reserved_concurrency import ReservedConcurrencyService
from squib.control_plane.lambda_.runtime_management import RuntimeManagementService
from squib.control_plane.lambda_.s3 import S3Objects, S3Options
from squib.control_plane.lambda_.tags import FunctionTags, TagService
from squib.control_plane.lambda_.urls import FunctionUrlService
from squib.control_plane.lambda_.usage import CodeUsage
from squib.control_plane.lambda_.versions import VersionService
from squib.model.concurrency import Allocation, ProvisionedConcurrency
from squib.model.event_source import SourceKind
from squib.model.function_url import FunctionUrlAddress
from squib.model.limits import ACCOUNT_CONCURRENCY, CODE_STORAGE_BYTES
from squib.model.operation import Handler
from squib.store.base import Store

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaOptions:
    """Quotas of an account in one region, and what squib is set up to serve."""

    account_concurrency: int = ACCOUNT_CONCURRENCY
    code_storage_bytes: int = CODE_STORAGE_BYTES
    function_urls: FunctionUrlAddress | None = None
    """Where function URLs are served; None: nowhere."""
    s3: S3Options = field(default_factory=S3Options)


class LambdaService:
    """Operations that declare and describe. `code_locations` serves the links that GetFunction gives."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        options: LambdaOptions | None = None,
        *,
        trusts_lambda: Callable[[str], bool],
        may: Callable[[str, str, str, str], bool] = lambda role_arn, session, action, resource: True,
        event_sources: Mapping[SourceKind, SourceCheck] | None = None,
        allocation: Callable[[ProvisionedConcurrency], Allocation] = lambda declared: Allocation(),
    ) -> None:
        """`trusts_lambda` tells whether the role of an ARN exists and lets Lambda assume it, `may`
        whether a session of it may do an action on a resource. `event_sources`:
        the kinds of sources that are polled, each with its check of a mapping. `allocation` tells what there
        is of provisioned concurrency."""
        options = options or LambdaOptions()
        self.code_locations = CodeLocations(entropy.token(_SECRET_BYTES), clock, store.blobs)
        objects = S3Objects(options.s3)
        usage = CodeUsage(store, limit_bytes=options.code_storage_bytes)
        self._parts = (
            FunctionService(
                store, self.code_locations, usage, account_concurrency=options.account_concurrency
            ),
            ChangeService(store, clock, entropy, objects, usage, trusts_lambda, may),
            VersionService(store, clock, entropy, usage),
            AliasService(store, entropy),
            LayerService(store, clock, self.code_locations, objects, usage),
            LayerPolicyService(store, entropy),
            CodeSigningService(store, clock, entropy),
            FunctionCodeSigningService(store),
            TagService(store, entropy, (FunctionTags(), CodeSigningTags(), MappingTags())),
            PermissionService(store, entropy),
            ReservedConcurrencyService(store, account_concurrency=options.account_concurrency),
            ProvisionedConcurrencyService(
                store, clock, account_concurrency=options.account_concurrency, allocation=allocation
            ),
            EventInvokeService(store, clock, may),
            RecursionService(store),
            RuntimeManagementService(store),
            MappingService(store, clock, entropy, sources=event_sources or {}),
            FunctionUrlService(store, clock, entropy, address=options.function_urls),
        )

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name -> handler."""
        return {name: handler for part in self._parts for name, handler in part.handlers().items()}

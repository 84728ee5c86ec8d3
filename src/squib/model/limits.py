"""Every quota and default of Lambda, with its unit and source."""

from typing import Final

MIN_MEMORY_MIB: Final = 128  # Lambda quotas page, "Function memory allocation"
MAX_MEMORY_MIB: Final = 10_240  # the same
DEFAULT_MEMORY_MIB: Final = 128  # CreateFunction reference
MIB_PER_VCPU: Final = 1_769  # Lambda developer guide, "Configure memory": 1,769 MB is one vCPU
MAX_TIMEOUT_S: Final = 900  # Lambda quotas page, "Function timeout"
DEFAULT_TIMEOUT_S: Final = 3  # CreateFunction reference
MIN_EPHEMERAL_MIB: Final = 512  # Lambda quotas page, "/tmp directory storage"
MAX_EPHEMERAL_MIB: Final = 10_240  # the same
MAX_SYNC_PAYLOAD_BYTES: Final = 6 * 1024 * 1024  # Lambda quotas page, "Invocation payload": 6 MB each way
MAX_SYNC_RESPONSE_BYTES: Final = MAX_SYNC_PAYLOAD_BYTES + 100  # recorded: the error names 6291556 bytes
MAX_ZIP_UPLOAD_BYTES: Final = 50 * 1024 * 1024  # Lambda quotas page, "Deployment package": 50 MB zipped
MAX_UNZIPPED_BYTES: Final = 250 * 1024 * 1024  # the same: 250 MB unzipped, layers included
MAX_LAYERS: Final = 5  # Lambda quotas page, "Function layers"; recorded
MAX_LAYERS_PER_PAGE: Final = 50  # ListLayers reference, MaxItems: at most 50
MAX_POLICY_BYTES: Final = 20 * 1024  # Lambda quotas page, "Function resource-based policy": 20 KB
MAX_CREATE_REQUEST_BYTES: Final = 70_167_211  # recorded: RequestEntityTooLarge names it
MAX_ENVIRONMENT_BYTES: Final = 4 * 1024  # Lambda quotas page, "Environment variables": 4 KB in all
MAX_CLIENT_CONTEXT_BYTES: Final = 3_583  # Invoke reference, ClientContext
ACCOUNT_CONCURRENCY: Final = 1_000  # Lambda quotas page, "Concurrent executions"
MIN_UNRESERVED_CONCURRENCY: Final = 100  # recorded: PutFunctionConcurrency names it
MAX_EVENT_INVOKE_CONFIGS_PER_PAGE: Final = 50  # ListFunctionEventInvokeConfigs reference, MaxItems
MAX_FUNCTION_URLS_PER_PAGE: Final = 50  # ListFunctionUrlConfigs reference, MaxItems
CODE_STORAGE_BYTES: Final = 80_530_636_800  # recorded: GetAccountSettings TotalCodeSize, 75 GiB
FILE_DESCRIPTORS: Final = 1_024  # Lambda quotas page, "File descriptors"
PROCESSES_AND_THREADS: Final = 1_024  # Lambda quotas page, "Execution processes/threads"
INIT_TIMEOUT_MS: Final = 10_000  # developer guide, "Init phase": 10 seconds
IDLE_EXPIRY_S: Final = 15 * 60  # squib's promise; AWS does not publish its own
CODE_LOCATION_LIFETIME_S: Final = 10 * 60  # GetFunction reference: the link is valid for 10 minutes
LOG_TAIL_BYTES: Final = 4 * 1024  # Invoke reference, LogType: the last 4 KB
MAX_LOG_EVENT_BYTES: Final = 256 * 1024  # squib's choice: a function's longer lines are several events
MAX_PUT_EVENT_BYTES: Final = 1024 * 1024  # CloudWatch Logs quotas, "Event size": 1 MB, overhead included
MAX_PUT_BATCH_BYTES: Final = 1_048_576  # PutLogEvents reference: messages in UTF-8 and 26 bytes each
MAX_PUT_SPAN_MS: Final = 24 * 3600 * 1000  # PutLogEvents reference: of a batch's valid events
MAX_PUT_AGE_MS: Final = 14 * 24 * 3600 * 1000  # PutLogEvents reference: older events are rejected
MAX_PUT_FUTURE_MS: Final = 2 * 3600 * 1000  # PutLogEvents reference: later events are rejected
CLOCK_SKEW_MS: Final = 5 * 60 * 1000  # AWS signature page: a request is valid for five minutes
MAX_TAGS: Final = 50  # Lambda developer guide, "Tag requirements": tags per resource
MAX_FUNCTION_NAME_LENGTH: Final = 64  # recorded: CreateFunction, name of 65 letters
MAX_FUNCTIONS_PER_PAGE: Final = 50  # ListFunctions reference, MaxItems: "returns a maximum of 50 items"

"""Archives in S3: read from the one endpoint that squib was told of."""

import asyncio
import contextlib
import logging
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from squib.model.errors import AccessDenied, InvalidParameterValue, ServiceException
from squib.model.limits import MAX_UNZIPPED_BYTES
from squib.model.units import Region

log = logging.getLogger("squib.s3")
_AT_ONCE: Final = 2  # squib's own choice: an archive is held in memory while it is checked and stored
_TIMEOUT_S: Final = 30
_DOTS: Final = frozenset((".", ".."))


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """`endpoint` None: there is no S3. Without a key requests are not signed."""

    endpoint: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


class S3Objects:
    """Reads objects, off the event loop."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._clients: dict[Region, Any] = {}
        self._making = threading.Lock()  # the SDK's session may be used by one thread at a time
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self, region: Region, bucket: str, key: str, version: str | None = None) -> bytes:
        """The object's content; never more than an unpacked package may have.

        Raises InvalidParameterValue and AccessDenied, in AWS's words, for what S3 refuses; ServiceException
        when it cannot be reached.
        """
        if self._options.endpoint is None:
            raise InvalidParameterValue(
                "Error occurred while GetObject. This squib has no S3 to read code from: "
                "start it with --s3-endpoint, or send the code as ZipFile."
            )
        if not _DOTS.isdisjoint(key.split("/")):  # a server may take it for another object than was asked for
            raise InvalidParameterValue(
                f"Error occurred while GetObject. squib reads no object with '.' or '..' in its key: {key}"
            )
        async with self._slots:
            return await asyncio.to_thread(self._read, region, bucket, key, version)

    def _read(self, region: Region, bucket: str, key: str, version: str | None) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError  # slow to import: only who uses S3 waits

        named = {"Bucket": bucket, "Key": key}
        if version is not None:
            named["VersionId"] = version
        try:
            answer = self._client(region).get_object(**named)
            with contextlib.closing(answer["Body"]) as body:
                content: bytes = body.read(MAX_UNZIPPED_BYTES + 1)
        except ClientError as error:
            raise _refusal(error, f"{bucket}/{key}") from error
        except (BotoCoreError, OSError) as error:
            log.warning("s3_unreachable endpoint=%s reason=%r", self._options.endpoint, str(error))
            raise ServiceException("The S3 endpoint of this squib cannot be reached.") from error
        if len(content) > MAX_UNZIPPED_BYTES:
            raise InvalidParameterValue(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes")
        return content

    def _client(self, region: Region) -> Any:
        import botocore.session
        from botocore import UNSIGNED
        from botocore.config import Config

        options = self._options
        with self._making:
            client = self._clients.get(region)
            if client is None:
                client = self._clients[region] = botocore.session.Session().create_client(
                    "s3",
                    region_name=region,
                    endpoint_url=options.endpoint,
                    aws_access_key_id=options.access_key_id,
                    aws_secret_access_key=options.secret_access_key,
                    config=Config(
                        signature_version="s3v4" if options.access_key_id is not None else UNSIGNED,
                        connect_timeout=_TIMEOUT_S,
                        read_timeout=_TIMEOUT_S,
                        retries={"total_max_attempts": 2},
                        s3={"addressing_style": "path"},
                    ),
                )
            return client


def _refusal(error: Any, named: str) -> InvalidParameterValue | AccessDenied:
    told = error.response.get("Error", {})
    code, message = told.get("Code", "Unknown"), told.get("Message", "")
    words = f"S3 Error Code: {code}. S3 Error Message: {message}"
    if code == "AccessDenied":
        return AccessDenied(
            "Your access has been denied by S3, please make sure your request credentials have permission to "
            f"GetObject for {named}. {words}"
        )
    return InvalidParameterValue(f"Error occurred while GetObject. {words}")

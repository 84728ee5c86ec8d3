"""Where the archive of a function or a layer comes from: the call itself, or S3."""

from squib.control_plane.lambda_ import parameters
from squib.control_plane.lambda_.s3 import S3Objects
from squib.model.operation import AuthorizedCall


async def archive_of(call: AuthorizedCall, given: parameters.Input, objects: S3Objects) -> bytes:
    """The archive that code parameters name. What it holds is checked elsewhere."""
    named = parameters.s3_object(call.operation, given)
    if named is None:
        return parameters.zip_content(call.operation, given)
    bucket, key, version = named
    return await objects.read(call.region, bucket, key, version)

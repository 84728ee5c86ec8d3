"""Settings of services elsewhere, as those who call them take them."""

from squib.config.settings import Settings
from squib.control_plane.lambda_.s3 import S3Options
from squib.invoke.upstream import UpstreamOptions


def upstream_options(settings: Settings) -> dict[str, UpstreamOptions]:
    """By service, as AWS's SDK names it."""
    events, s3 = settings.asynchronous, settings.s3
    return {
        service: UpstreamOptions(endpoint=endpoint, access_key_id=key_id, secret_access_key=secret)
        for service, endpoint, key_id, secret in (
            ("sns", events.sns_endpoint, events.sns_access_key_id, events.sns_secret_access_key),
            ("events", events.events_endpoint, events.events_access_key_id, events.events_secret_access_key),
            ("s3", s3.s3_endpoint, s3.s3_access_key_id, s3.s3_secret_access_key),
        )
    }


def source_options(settings: Settings) -> dict[str, UpstreamOptions]:
    """Likewise, of what is polled."""
    given = settings.sources
    return {
        service: UpstreamOptions(endpoint=endpoint, access_key_id=key_id, secret_access_key=secret)
        for service, endpoint, key_id, secret in (
            ("sqs", given.sqs_endpoint, given.sqs_access_key_id, given.sqs_secret_access_key),
            (
                "kinesis",
                given.kinesis_endpoint,
                given.kinesis_access_key_id,
                given.kinesis_secret_access_key,
            ),
            (
                "dynamodbstreams",
                given.dynamodb_endpoint,
                given.dynamodb_access_key_id,
                given.dynamodb_secret_access_key,
            ),
        )
    }


def s3_options(settings: Settings) -> S3Options:
    """Where code and layers are read from."""
    given = settings.s3
    return S3Options(
        endpoint=given.s3_endpoint,
        access_key_id=given.s3_access_key_id,
        secret_access_key=given.s3_secret_access_key,
    )

"""What the object store's refusals mean to a caller: errors of Pulka, named by what to do next.

obstore prints whole requests, which may carry signatures; none of its text is repeated, only what a few patterns find in it.
"""

import contextlib
import re
from collections.abc import Iterator

from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError

from pulka.errors import Misconfigured, PulkaError, Temporary

__all__ = ["is_unsupported", "translate", "translated"]

_RETRY_AFTER_S = 5.0
_CREDENTIALS_MISSING = re.compile(r"169\.254\.169\.254|fd00:ec2::254|metadata\.google\.internal|/latest/api/token|CredentialProvider|MissingCredentials", re.I)
_BUCKET_MISSING = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.I)
_REGION = re.compile(r"LOCATION|PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint")
_UNSUPPORTED = re.compile(r"NotImplemented|\b501\b")
_CAUSES = (
    (re.compile(r"Connection refused"), "connection refused"),
    (re.compile(r"dns error|failed to lookup address", re.I), "its name cannot be resolved"),
    (re.compile(r"certificate", re.I), "its certificate is not trusted"),
    (re.compile(r"TimedOut|timed out", re.I), "it took too long"),
    (re.compile(r"No space left"), "no space left on its disk"),
    (re.compile(r"(?:status: |status code: |status_code: )(5\d\d)"), "it answered {0}"),
    (re.compile(r"(?:status: |status code: |status_code: )(4\d\d)"), "it answered {0}"),
)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what obstore raises as `translate` tells it; FileNotFoundError, an object that is not there, passes."""
    try:
        yield
    except BaseError as error:
        raise translate(error) from None


def translate(error: BaseError) -> PulkaError:
    """The error a caller sees for an exception of obstore."""
    text = str(error)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return Misconfigured(
            "the object store refuses access",
            hint="the credentials in the environment need the right to list, read, write and delete under objects_url",
        )
    if _CREDENTIALS_MISSING.search(text):
        return Misconfigured(
            "no credentials for the object store were found",
            hint="set them in the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
        )
    if _BUCKET_MISSING.search(text):
        return Misconfigured("the bucket of objects_url does not exist", hint="make it, or set objects_url to one that does")
    if _REGION.search(text):
        return Misconfigured("the bucket of objects_url is in another region", hint="set AWS_REGION to the bucket's region")
    return Temporary(
        f"the object store cannot be used now{_cause(text)}",
        hint="check the network and the endpoint (AWS_ENDPOINT_URL); what was acknowledged is kept until it answers",
        retry_after_s=_RETRY_AFTER_S,
    )


def is_unsupported(error: BaseError) -> bool:
    """Whether the store does not know the operation, as some that speak S3's protocol do not know If-None-Match."""
    return isinstance(error, NotSupportedError) or _UNSUPPORTED.search(str(error)) is not None


def _cause(text: str) -> str:
    for pattern, sentence in _CAUSES:
        if match := pattern.search(text):
            return ": " + sentence.format(*match.groups())
    return ""

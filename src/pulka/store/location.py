"""The object store that `objects_url` names: a directory, or S3, Google Cloud Storage, Azure as obstore reaches them.

Credentials and endpoint come from where each vendor's tools look (environment, instance role), never from the URL.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from pulka.errors import Misconfigured, PulkaError
from pulka.seams import Catalog, Fragment
from pulka.store.outages import translate, translated

__all__ = ["Patience", "confirm", "open_store", "probe"]

_ENVIRONMENT = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_ca_certificate", "proxy_excludes")
_PROBE = "pulka.probe"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request may take, and how long a failing one is repeated."""

    timeout_s: float = 20.0
    retry_s: float = 10.0


def open_store(url: str, directory: Path, patience: Patience, env: Mapping[str, str] | None = None) -> ObjectStore:
    """The store of `url`, or of the local `directory` when it is empty. Does no I/O but make a local directory."""
    if not url:
        return LocalStore(str(directory), mkdir=True)
    scheme = _scheme(url)
    if scheme == "file":
        return LocalStore(_local_path(url), mkdir=True)
    try:
        return _remote(url, patience, _client_options(_ENVIRONMENT[scheme], os.environ if env is None else env))
    except (BaseError, ValueError) as error:
        raise Misconfigured("`objects_url` cannot be used", hint=_HINT) from error


async def probe(store: ObjectStore, url: str) -> None:
    """Write, list and delete a small object: what a lake does all day. Misconfigured or Temporary say why it cannot."""
    if isinstance(store, LocalStore):
        return
    try:
        await store.put_async(_PROBE, b"pulka")
        await store.list_with_delimiter_async()
        await store.delete_async(_PROBE)
    except FileNotFoundError:  # what a PUT says where the bucket is missing
        raise Misconfigured(f"{url}: the bucket does not exist", hint="make it, or set objects_url to one that does") from None
    except BaseError as error:
        raise _about(url, translate(error)) from None


async def confirm(store: ObjectStore, catalog: Catalog) -> None:
    """Misconfigured when the store is another than the one the catalog's fragments were written to: not one of a few is there."""
    some = await _some_fragments(catalog)
    for fragment in some:
        with contextlib.suppress(FileNotFoundError), translated():
            await store.head_async(fragment.key)
            return
    if some:
        raise Misconfigured(
            "the fragments of the catalog are not in the object store",
            hint="copy them there under the same keys, or set objects_url back; `pulka store ls` lists them",
        )


async def _some_fragments(catalog: Catalog) -> Sequence[Fragment]:
    for tenant in await catalog.tenants():
        for table in await catalog.tables(tenant):
            if fragments := await catalog.fragments(tenant, table):
                return fragments[-3:]
    return ()


_HINT = "it needs the form s3://bucket/prefix, gs://bucket/prefix, az://container/prefix (with AZURE_STORAGE_ACCOUNT_NAME) or file:///directory"


def _scheme(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured("`objects_url` holds more than a place", hint="credentials and endpoint belong in the environment, as AWS_ACCESS_KEY_ID")
    if parts.scheme not in {"file", *_ENVIRONMENT} or (parts.scheme != "file" and not parts.netloc):
        raise Misconfigured(f"`objects_url` is `{url}`", hint=_HINT)
    return parts.scheme


def _local_path(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise Misconfigured(f"`objects_url` is `{url}`", hint="a directory needs three slashes, as in file:///data/objects")
    return parts.path


def _client_options(vendor: str, env: Mapping[str, str]) -> dict[str, str]:
    """The vendor's options of the HTTP client: obstore forgets those of the environment when it is given any.

    An endpoint written as http:// was meant so, as for a store on the same machine.
    """
    found = {name: env[f"{vendor}_{name.upper()}"] for name in _CLIENT_OPTIONS if env.get(f"{vendor}_{name.upper()}")}
    endpoints = (value for name, value in env.items() if name.startswith(f"{vendor}_ENDPOINT") or name == f"{vendor}_BASE_URL")
    if any(value.startswith("http://") for value in endpoints):
        found.setdefault("allow_http", "true")
    return found


def _remote(url: str, patience: Patience, options: Mapping[str, str]) -> ObjectStore:
    client: Any = {**options, "timeout": _seconds(patience.timeout_s), "connect_timeout": _seconds(min(5.0, patience.timeout_s))}
    retries: Any = {"retry_timeout": _seconds(patience.retry_s), "backoff": {"max_backoff": _seconds(2)}}
    store: ObjectStore = from_url(url, client_options=client, retry_config=retries)
    return store


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _about(url: str, error: PulkaError) -> PulkaError:
    error.message = f"{url}: {error.message}"
    error.args = (error.message,)
    return error

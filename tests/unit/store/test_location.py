from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from pulka.errors import Misconfigured
from pulka.store.location import Patience, _client_options, open_store


def test_empty_is_a_directory(tmp_path: Path) -> None:
    store = open_store("", tmp_path / "objects", Patience())
    assert isinstance(store, LocalStore)
    assert (tmp_path / "objects").is_dir()


def test_a_file_url_is_a_directory_elsewhere(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/there", tmp_path, Patience())
    assert isinstance(store, LocalStore)
    assert str(store.prefix) == f"{tmp_path}/there"


@pytest.mark.parametrize(
    ("url", "kind", "prefix"), [("s3://lake/a/b", S3Store, "a/b"), ("s3://lake", S3Store, None), ("gs://lake/a", GCSStore, "a"), ("az://lake/a", AzureStore, "a")]
)  # fmt: skip
def test_each_kind_of_store(url: str, kind: type, prefix: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    store = open_store(url, Path(), Patience())
    assert isinstance(store, kind)
    assert store.prefix == prefix


@pytest.mark.parametrize(
    "url",
    [
        "lake", "/data/objects", "ftp://host/x", "https://host/x", "memory:///", "s3://", "s3:///prefix", "s3:lake", "file://data", "file:data",
        "s3://key:secret@lake/x", "s3://lake/x?sig=secret", "az://account/lake?sig=secret", "s3://lake/x#secret",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused_without_repeating_secrets(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        open_store(url, Path(), Patience())
    assert "objects_url" in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint


def test_what_the_environment_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(Misconfigured) as caught:
        open_store("az://lake/a", Path(), Patience())
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint


def test_client_options_of_the_environment_are_kept() -> None:
    assert _client_options("AWS", {}) == {}
    assert _client_options("AWS", {"AWS_ENDPOINT_URL": "https://store"}) == {}
    assert _client_options("AWS", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}) == {"allow_http": "true"}
    assert _client_options("AWS", {"AWS_ENDPOINT": "http://store", "AWS_ALLOW_HTTP": "false"}) == {"allow_http": "false"}
    assert _client_options("GOOGLE", {"GOOGLE_BASE_URL": "http://store", "AWS_PROXY_URL": "x"}) == {"allow_http": "true"}
    assert _client_options("AZURE", {"AZURE_PROXY_URL": "http://proxy"}) == {"proxy_url": "http://proxy"}

from pathlib import Path

import pytest

from pulka import config
from pulka.errors import Misconfigured


def load(flags: dict[str, object] | None = None, env: dict[str, str] | None = None, files: tuple[Path, ...] = ()) -> config.Settings:
    return config.load(flags, env or {}, files)


def test_defaults_say_so() -> None:
    settings = load()
    assert settings["flush_age_s"] == 30.0
    assert settings.origin("flush_age_s") == "default"


def test_precedence_and_origin(tmp_path: Path) -> None:
    near, far = tmp_path / "pulka.toml", tmp_path / "config.toml"
    near.write_text("flush_age_s = 2\nzstd_level = 5\n")
    far.write_text("flush_age_s = 1\nzstd_level = 4\nquery_rows = 7\n")
    settings = load({"flush_age_s": 4}, {"PULKA_FLUSH_AGE_S": "3", "PULKA_ZSTD_LEVEL": "6"}, (near, far))
    assert (settings["flush_age_s"], settings.origin("flush_age_s")) == (4.0, "flag")
    assert (settings["zstd_level"], settings.origin("zstd_level")) == (6, "env PULKA_ZSTD_LEVEL")
    assert (settings["query_rows"], settings.origin("query_rows")) == (7, str(far))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"flush_age": 3}, "there is no setting `flush_age`"),
        ({"flush_age_s": "soon"}, "must be a number"),
        ({"query_rows": "1.5"}, "must be a whole number"),
        ({"flush_age_s": -1}, "must be at least"),
        ({"flush_age_s": "nan"}, "must be at least"),
    ],
)
def test_a_wrong_setting_is_named(flags: dict[str, object], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        load(flags)


def test_a_misspelt_setting_gets_a_hint() -> None:
    with pytest.raises(Misconfigured) as caught:
        load({"flush_age": 3})
    assert "flush_age_s" in caught.value.hint


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "pulka.toml"
    broken.write_text("flush_age_s = = 3")
    with pytest.raises(Misconfigured, match=r"pulka\.toml cannot be read"):
        load(files=(broken,))


def test_every_limit_has_its_unit_in_its_name() -> None:
    units = ("_s", "_ms", "_bytes", "_bytes_max", "_max", "_level", "_partitions", "_inputs", "_rows", "_concurrency", "_share", "threads")
    for parameter in config.PARAMETERS:
        if parameter.type in (int, float):
            assert parameter.name.endswith(units), parameter.name

"""Settings: read from the environment, checked at once, secret where they must be."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr, ValidationError

import aisdk
from aisdk.errors import ConfigError
from aisdk.settings import Settings, load_settings

SECRET = "hunter2-hunter2"  # noqa: S105  # the secret that must not be seen


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AISDK_DATABASE_URL", "mysql://x", "postgresql://user:password@host:5432/database"),
        ("AISDK_DATABASE_OWNER_URL", "x", "postgresql://user:password@host:5432/database"),
        ("AISDK_HOME", "", "write a folder, or unset it"),
        ("AISDK_HOME", "~nobody-of-this-name/x", "write a folder, or unset it"),
        ("AISDK_MINILM_PATH", "", "write a folder, or unset it"),
        ("AISDK_DATABASE_URL", "", "postgresql://user:password@host:5432/database"),
        ("AISDK_PLATFORM_DATABASE_URL", "", "postgresql://user:password@host:5432/database"),
        ("AISDK_EMBEDDING_URL", "", "https://host/v1"),
        ("AISDK_EMBEDDING_URL", "http://", "https://host/v1"),
        ("AISDK_EMBEDDING_URL", "http://host:99999/v1", "https://host/v1"),
        ("AISDK_STATEMENT_TIMEOUT_S", "0.0001", "greater than or equal to 0.001"),
        ("AISDK_IDLE_IN_TRANSACTION_TIMEOUT_S", "1e-9", "greater than or equal to 0.001"),
        ("AISDK_SOURCE_FOLDERS", "~nobody-of-this-name", "write a folder"),
        ("AISDK_DRAGONFLY_URL", "", "redis://host:6379/0"),
        ("AISDK_POOL_SIZE", "0", "greater than or equal to 1"),
        ("AISDK_POOL_SIZE", "many", "integer"),
        ("AISDK_POOL_TIMEOUT_S", "0", "greater than 0"),
        ("AISDK_CONNECT_TIMEOUT_S", "-1", "greater than 0"),
        ("AISDK_STATEMENT_TIMEOUT_S", "soon", "number"),
        ("AISDK_IDLE_IN_TRANSACTION_TIMEOUT_S", "0", "greater than"),
        ("AISDK_COMMAND_TIMEOUT_S", "0", "greater than 0"),
        ("AISDK_DEADLINE_S", "inf", "less than or equal"),
        ("AISDK_BULK_DEADLINE_S", "nan", ""),
        ("AISDK_SHUTDOWN_S", "", "number"),
        ("AISDK_DRAGONFLY_URL", "http://x", "redis://host:6379/0"),
        ("AISDK_DRAGONFLY_URL", "redis://host:abc", "redis://host:6379/0"),
        ("AISDK_DRAGONFLY_URL", "redis://host:0", "redis://host:6379/0"),
        ("AISDK_DRAGONFLY_URL", "redis://host:6379/abc", "redis://host:6379/0"),
        ("AISDK_DRAGONFLY_URL", "redis://[::1", "redis://host:6379/0"),
        ("AISDK_DRAGONFLY_URL", "redis://", "redis://host:6379/0"),
        ("AISDK_DRAGONFLY_URL", "unix://", "redis://host:6379/0"),
        ("AISDK_SECRET_KEY", "short", "at least 16"),
        ("AISDK_EMBEDDING", "maybe", "'auto', 'minilm', 'remote' or 'none'"),
        ("AISDK_EMBEDDING_PRECISION", "fp16", "'fp32' or 'int8'"),
        ("AISDK_EMBEDDING_URL", "host/v1", "https://host/v1"),
        ("AISDK_EMBEDDING_DIMENSION", "0", "greater than or equal to 1"),
        ("AISDK_URL_SCHEMES", "https://,s3", "write names such as https,s3"),
        ("AISDK_URL_SCHEMES", "https,,s3", "write names such as https,s3"),
        ("AISDK_URL_HOSTS", "https://example.org", "write names such as example.org"),
        ("AISDK_URL_HOSTS", "example.org:80", "write names such as example.org"),
        ("AISDK_URL_HOSTS", "*", "write names such as example.org"),
        ("AISDK_URL_HOSTS", "a.*.org", "write names such as example.org"),
        ("AISDK_URL_HOSTS", "b\u00fccher.example", "write names such as example.org"),
        ("AISDK_URL_HOSTS", "", "or unset it"),
        ("AISDK_URL_PRIVATE", "maybe", "boolean"),
        ("AISDK_URL_TIMEOUT_S", "0", "greater than 0"),
        ("AISDK_SOURCE_FOLDERS", "/nowhere/at/all", "write folders that exist"),
        ("AISDK_SOURCE_FOLDERS", os.pathsep, "write folders that exist"),
        ("AISDK_SOURCE_FOLDERS", "", "or unset it"),
    ],
)
def test_wrong_variable_is_named_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """One look at the message is enough to mend it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load_settings()
    assert f"{name}: " in str(raised.value)
    assert says in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize(
    "name",
    ["AISDK_DATABASE_URL", "AISDK_DATABASE_OWNER_URL", "AISDK_DRAGONFLY_URL"],
)
def test_secret_in_a_wrong_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The message names the variable alone."""
    monkeypatch.setenv(name, f"ftp://user:{SECRET}@host/db")
    with pytest.raises(ConfigError) as raised:
        load_settings()
    assert SECRET not in f"{raised.value!r} {raised.value} {raised.value.hint}"
    assert raised.value.__cause__ is None


def test_secrets_are_shown_nowhere() -> None:
    """Neither in repr, nor in str, nor in a dump."""
    settings = Settings(
        database_url=SecretStr(f"postgresql://u:{SECRET}@h/d"),
        dragonfly_url=SecretStr(f"redis://:{SECRET}@h"),
        secret_key=SecretStr(SECRET * 2),
        embedding_api_key=SecretStr(SECRET),
    )
    client = aisdk.Client(settings)
    shown = f"{settings!r} {settings} {settings.model_dump()} {client!r}"
    client.close()
    assert SECRET not in shown
    assert settings.embedding_api_key is not None
    assert settings.embedding_api_key.get_secret_value() == SECRET


def test_settings_cannot_be_changed_or_invented() -> None:
    """They are frozen, and a misspelled one is an error."""
    settings = Settings()
    with pytest.raises(ConfigError, match="cannot be changed"):
        settings.pool_size = 3
    with pytest.raises(ValidationError):
        Settings(pool_sice=3)  # type: ignore[call-arg]  # the point of the test


def test_home_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is absolute afterwards."""
    monkeypatch.setenv("AISDK_HOME", "~/somewhere")
    assert load_settings().home == Path.home() / "somewhere"
    monkeypatch.setenv("AISDK_HOME", "somewhere")
    assert load_settings().home == Path.cwd() / "somewhere"


def test_lists_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Names in lower case, addresses as URLs have them, folders without links."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    monkeypatch.setenv("AISDK_URL_SCHEMES", "HTTPS, s3,git+ssh")
    monkeypatch.setenv("AISDK_URL_HOSTS", "Example.org., *.example.com,127.0.0.1,[0:0::1]")
    monkeypatch.setenv("AISDK_URL_PRIVATE", "true")
    monkeypatch.setenv("AISDK_SOURCE_FOLDERS", f"{tmp_path}{os.pathsep}{tmp_path / 'link'}")
    settings = load_settings()
    assert settings.url_schemes == ("https", "s3", "git+ssh")
    assert settings.url_hosts == ("example.org", "*.example.com", "127.0.0.1", "::1")
    assert settings.url_private
    assert settings.source_folders == (tmp_path, tmp_path / "a b")
    monkeypatch.setenv("AISDK_URL_SCHEMES", "")
    assert load_settings().url_schemes == ()


def test_misspelled_variable_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen would otherwise be silence."""
    monkeypatch.setenv("AISDK_DATABSE_URL", f"postgresql://u:{SECRET}@h/d")
    with pytest.warns(UserWarning, match=r"Did you mean AISDK_DATABASE_URL\?") as seen:
        load_settings()
    assert SECRET not in str(seen[0].message)


def test_other_variables_of_that_prefix_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool of the user's may have its own."""
    monkeypatch.setenv("AISDK_MY_OWN_THING", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_settings() == Settings()


def test_unknown_language_is_refused_when_connecting(short_home: Path) -> None:
    """With the languages that there are."""
    settings = Settings(home=short_home, language="klingon", embedding="none")
    with aisdk.Client(settings) as client, pytest.raises(ConfigError, match="AISDK_LANGUAGE"):
        aisdk.connect("acme", client=client)


@pytest.mark.parametrize("option", ["unheard_of=1", "health_check_interval=often", "protocol=9"])
def test_wrong_option_of_a_cache_is_refused_when_connecting(short_home: Path, option: str) -> None:
    """And not by whatever the library raises in the middle of a call."""
    url = SecretStr(f"redis://:{SECRET}@127.0.0.1:1/0?{option}")
    settings = Settings(home=short_home, embedding="none", dragonfly_url=url)
    with (
        aisdk.Client(settings) as client,
        pytest.raises(ConfigError, match="DRAGONFLY_URL") as raised,
    ):
        aisdk.connect("acme", client=client)
    assert SECRET not in f"{raised.value!r}"


def test_remote_embedding_needs_an_address_and_a_model(short_home: Path) -> None:
    """The message names both variables."""
    settings = Settings(home=short_home, embedding="remote")
    with aisdk.Client(settings) as client, pytest.raises(ConfigError, match="AISDK_EMBEDDING_URL"):
        aisdk.connect("acme", client=client)


DEFAULTS: Final = {
    "database_url": None,
    "database_owner_url": None,
    "platform_database_url": None,
    "pool_size": 8,
    "pool_timeout_s": 10,
    "connect_timeout_s": 10,
    "statement_timeout_s": 30,
    "idle_in_transaction_timeout_s": 30,
    "command_timeout_s": 60,
    "deadline_s": 60,
    "bulk_deadline_s": 86_400,
    "shutdown_s": 5,
    "dragonfly_url": None,
    "query_cache_s": 300,
    "secret_key": None,
    "language": "english",
    "embedding": "auto",
    "embedding_precision": "fp32",
    "embedding_url": None,
    "embedding_model": None,
    "embedding_dimension": None,
    "embedding_api_key": None,
    "minilm_path": None,
    "url_schemes": (
        *("http", "https", "s3", "s3a", "gs", "gcs"),
        *("az", "abfs", "abfss", "oci", "hf"),
    ),
    "url_hosts": (),
    "url_private": False,
    "url_timeout_s": 60,
    "source_folders": (),
    "telemetry": "none",
}


def test_defaults_are_those_that_are_promised() -> None:
    """An empty environment is enough to begin."""
    found = load_settings().model_dump()
    assert found.pop("home").is_absolute()
    assert found == DEFAULTS


def test_every_variable_is_documented() -> None:
    """Each field has its variable in the docstring, and no other is promised."""
    promised = set(re.findall(r"``(AISDK_[A-Z_]+)``", Settings.__doc__ or ""))
    assert promised == {f"AISDK_{name.upper()}" for name in Settings.model_fields}


def test_short_secret_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a secret that is refused stays one."""
    monkeypatch.setenv("AISDK_SECRET_KEY", "hunter2")
    with pytest.raises(ConfigError, match="AISDK_SECRET_KEY") as raised:
        load_settings()
    assert "hunter2" not in f"{raised.value!r} {raised.value} {raised.value.hint}"


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody mends them one by one."""
    monkeypatch.setenv("AISDK_POOL_SIZE", "0")
    monkeypatch.setenv("AISDK_EMBEDDING", "maybe")
    with pytest.raises(ConfigError, match=r"AISDK_POOL_SIZE: .*AISDK_EMBEDDING: "):
        load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:6379",
        "rediss://user:p%2Fw@host:6380/0?health_check_interval=2",
        "redis://[::1]:6379/15",
        "unix:///run/dragonfly.sock?db=1",
    ],
)
def test_address_of_a_cache_is_taken(url: str) -> None:
    """In all forms that the library reads."""
    settings = Settings(dragonfly_url=SecretStr(url))
    assert settings.dragonfly_url is not None
    assert settings.dragonfly_url.get_secret_value() == url

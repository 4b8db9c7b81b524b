"""Settings, read once from the environment (``AISDK_…``) and never changed."""

from __future__ import annotations

import ipaddress
import os
import re
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from aisdk.errors import ConfigError

__all__ = ["Settings", "load_settings"]

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
# PostgreSQL counts in milliseconds, and takes none of them for no limit: at least one.
ServerSeconds = Annotated[float, Field(ge=0.001, le=7 * 24 * 3600)]
Names = Annotated[tuple[str, ...], NoDecode]
Folders = Annotated[tuple[Path, ...], NoDecode]

# Whoever writes a URL of these names no host that is connected to, but for http and https; nor
# what this process holds itself, as fsspec's ``memory`` does.
URL_SCHEMES: Final = (
    *("http", "https", "s3", "s3a", "gs", "gcs"),
    *("az", "abfs", "abfss", "oci", "hf"),
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+")  # of one letter it would be a drive
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class Settings(BaseSettings):
    """Everything that can be set, with its environment variable.

    Attributes:
        home: ``AISDK_HOME``: folder of the embedded database and of prepared models.
        database_url: ``AISDK_DATABASE_URL``: ``postgresql://user:password@host/database`` of the
            app role. Without it an embedded PostgreSQL is started.
        database_owner_url: ``AISDK_DATABASE_OWNER_URL``: the role that owns the schema; only
            ``python -m aisdk migrate`` uses it.
        platform_database_url: ``AISDK_PLATFORM_DATABASE_URL``: the role that registers tenants;
            only ``client.tenants`` and ``verify_isolation`` use it. Not needed with the embedded
            PostgreSQL.
        pool_size: ``AISDK_POOL_SIZE``: connections a client may hold, 1 to 500.
        pool_timeout_s: ``AISDK_POOL_TIMEOUT_S``: how long a call waits for a free connection.
        connect_timeout_s: ``AISDK_CONNECT_TIMEOUT_S``: how long opening a connection may take.
        statement_timeout_s: ``AISDK_STATEMENT_TIMEOUT_S``: the server ends a statement after it.
        idle_in_transaction_timeout_s: ``AISDK_IDLE_IN_TRANSACTION_TIMEOUT_S``: the server ends a
            forgotten transaction after it.
        command_timeout_s: ``AISDK_COMMAND_TIMEOUT_S``: the driver gives up on a silent server.
        deadline_s: ``AISDK_DEADLINE_S``: budget of one call.
        bulk_deadline_s: ``AISDK_BULK_DEADLINE_S``: budget of a call that works through a corpus.
        shutdown_s: ``AISDK_SHUTDOWN_S``: how long closing waits for running calls.
        dragonfly_url: ``AISDK_DRAGONFLY_URL``: ``redis://…`` of a shared cache. Without it each
            client caches in its own process.
        query_cache_s: ``AISDK_QUERY_CACHE_S``: how long the hits of a query are kept, at most,
            while the tenant's documents stay as they are; 0 switches it off.
        secret_key: ``AISDK_SECRET_KEY``: signs cursors and receipts. Set the same one in all
            processes that hand them to each other; without it the database URL, or ``home``,
            stands in.
        language: ``AISDK_LANGUAGE``: language of a tenant's store that is made from now on.
        embedding: ``AISDK_EMBEDDING``: ``auto`` (remote if a URL is set, else MiniLM if its
            weights are found, else none), ``minilm``, ``remote`` or ``none``.
        embedding_precision: ``AISDK_EMBEDDING_PRECISION``: ``fp32`` or ``int8`` for MiniLM.
        embedding_url: ``AISDK_EMBEDDING_URL``: base URL of an OpenAI-compatible service.
        embedding_model: ``AISDK_EMBEDDING_MODEL``: the model to ask it for.
        embedding_dimension: ``AISDK_EMBEDDING_DIMENSION``: asked by a first call when not set.
        embedding_api_key: ``AISDK_EMBEDDING_API_KEY``: its key.
        minilm_path: ``AISDK_MINILM_PATH``: folder with MiniLM's model.safetensors and
            tokenizer.json.
        url_schemes: ``AISDK_URL_SCHEMES``: schemes of URLs that ``documents.add`` may read,
            separated by commas; none when empty.
        url_hosts: ``AISDK_URL_HOSTS``: hosts that http and https may reach, exact or as
            ``*.example.org``, separated by commas. Without it any.
        url_private: ``AISDK_URL_PRIVATE``: whether http and https may reach addresses that are
            not public, such as those of this machine and its network.
        url_timeout_s: ``AISDK_URL_TIMEOUT_S``: how long fetching a URL may take.
        source_folders: ``AISDK_SOURCE_FOLDERS``: folders that ``documents.add`` may read files
            from, separated like those of ``PATH``. Without it any file that this process may read.
        telemetry: ``AISDK_TELEMETRY``: ``opentelemetry`` for spans and metrics, or ``none``.
    """

    model_config = SettingsConfigDict(
        env_prefix="AISDK_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("aisdk"))
    database_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    platform_database_url: SecretStr | None = None
    pool_size: int = Field(default=8, ge=1, le=500)
    pool_timeout_s: Seconds = 10
    connect_timeout_s: Seconds = 10
    statement_timeout_s: ServerSeconds = 30
    idle_in_transaction_timeout_s: ServerSeconds = 30
    command_timeout_s: Seconds = 60
    deadline_s: Seconds = 60
    bulk_deadline_s: Seconds = 24 * 3600
    shutdown_s: Seconds = 5
    dragonfly_url: SecretStr | None = None
    query_cache_s: float = Field(default=300, ge=0, le=7 * 24 * 3600)
    secret_key: SecretStr | None = Field(default=None, min_length=16)
    language: str = "english"
    embedding: Literal["auto", "minilm", "remote", "none"] = "auto"
    embedding_precision: Literal["fp32", "int8"] = "fp32"
    embedding_url: str | None = Field(default=None, repr=False)  # may hold a password
    embedding_model: str | None = None
    embedding_dimension: int | None = Field(default=None, ge=1, le=16_000)
    embedding_api_key: SecretStr | None = None
    minilm_path: Path | None = None
    url_schemes: Names = URL_SCHEMES
    url_hosts: Names = ()
    url_private: bool = False
    url_timeout_s: Seconds = 60
    source_folders: Folders = ()
    telemetry: Literal["none", "opentelemetry"] = "none"

    @field_validator("database_url", "database_owner_url", "platform_database_url")
    @classmethod
    def _postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        known = ("postgresql://", "postgres://")
        if url is not None and not url.get_secret_value().startswith(known):
            raise ValueError("write postgresql://user:password@host:5432/database")
        return url

    @field_validator("dragonfly_url")
    @classmethod
    def _redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_redis(url.get_secret_value()):
            raise ValueError("write redis://host:6379/0")
        return url

    @field_validator("embedding_url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not _is_http(url):
            raise ValueError("write https://host/v1")
        return url

    @field_validator("url_schemes", "url_hosts", mode="before")
    @classmethod
    def _names(cls, names: Any) -> Any:
        return [name.strip() for name in names.split(",")] if isinstance(names, str) else names

    @field_validator("url_schemes")
    @classmethod
    def _schemes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = () if names == ("",) else tuple(name.lower() for name in names)
        if not all(map(_SCHEME.fullmatch, names)):
            raise ValueError("write names such as https,s3")
        return names

    @field_validator("url_hosts")
    @classmethod
    def _hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(map(_host, names))
        if not all(hosts):
            raise ValueError("write names such as example.org,*.example.com, or unset it")
        return hosts

    @field_validator("source_folders", mode="before")
    @classmethod
    def _split(cls, folders: Any) -> Any:
        return folders.split(os.pathsep) if isinstance(folders, str) else folders

    @field_validator("source_folders")
    @classmethod
    def _resolved(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        named = tuple(folder for folder in folders if folder.parts)
        found = tuple(_expanded(folder).resolve() for folder in named)
        if len(found) < len(folders) or not all(folder.is_dir() for folder in found):
            raise ValueError(f"write folders that exist, with {os.pathsep} between, or unset it")
        return found

    @field_validator("home", "minilm_path", mode="before")
    @classmethod
    def _folder(cls, folder: Any) -> Any:
        if folder == "":  # as a path it would be the folder that one happens to be in
            raise ValueError("write a folder, or unset it")
        return folder

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return _expanded(home).absolute()

    def __setattr__(self, name: str, value: object) -> None:  # pydantic's message shows the value
        raise ConfigError("Settings cannot be changed.", hint="Make new ones with Settings(…).")


def _expanded(folder: Path) -> Path:
    """A folder whose name may begin with a tilde."""
    try:
        return folder.expanduser()
    except RuntimeError:  # of somebody who is not known here
        raise ValueError("write a folder, or unset it") from None


def _is_http(url: str) -> bool:
    """Whether it names a server, with a port that is a number."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_redis(url: str) -> bool:
    """Whether it names a server, with a port and a database that are numbers."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    database = parts.path.strip("/")
    numbers = port != 0 and (not database or database.isdecimal())
    return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and numbers


def _host(name: str) -> str:
    """A host's name as URLs have it after reading; empty where it is none."""
    name = name.lower().strip("[]").rstrip(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name if _HOST.fullmatch(name) else ""


def _warn_of_unknown() -> None:
    """Names variables that look like settings and are none: a slip of the pen, most likely."""
    known = [f"AISDK_{name.upper()}" for name in Settings.model_fields]
    for name in os.environ:
        if name.startswith("AISDK_") and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                warnings.warn(f"{name} is no setting. Did you mean {near[0]}?", stacklevel=4)


def load_settings() -> Settings:
    """The settings of this environment, checked.

    Raises:
        ConfigError: A variable is wrong; the message names it and says what to write.
    """
    _warn_of_unknown()
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"AISDK_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise ConfigError(
            f"The environment is not set up: {wrong}.",
            hint="Change or unset what is named, then connect again.",
        ) from None

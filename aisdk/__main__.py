"""``python -m aisdk``: commands for whoever runs the database."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress

from aisdk.errors import AisdkError, ConfigError
from aisdk.settings import load_settings

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m aisdk", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "migrate",
        help="bring the schema of AISDK_DATABASE_URL up to date, as AISDK_DATABASE_OWNER_URL",
    )
    commands.add_parser(
        "verify-isolation",
        help="try to reach one tenant's data as another; exit code 1 where that works, "
        "2 where it cannot be told",
    )
    command = parser.parse_args(arguments).command
    try:
        code = asyncio.run(_migrate() if command == "migrate" else _verify_isolation())
        sys.stdout.flush()  # what cannot be written is known here, not after the exit code
    except AisdkError as error:
        _tell(f"{type(error).__name__}: {error}")
        return 2
    except Exception as error:  # noqa: BLE001  # 1 is kept for a leak; a message may hold secrets
        _tell(type(error).__name__)
        return 2
    return code


def _tell(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr)


async def _migrate() -> int:
    from aisdk.core.storage.schema import REVISION, migrate
    from aisdk.core.storage.server import role_of
    from aisdk.core.storage.translation import translated

    settings = load_settings()
    if settings.database_url is None or settings.database_owner_url is None:
        raise ConfigError(
            "migrate needs two addresses.",
            hint="Set AISDK_DATABASE_OWNER_URL to the role that will own the tables and "
            "AISDK_DATABASE_URL to the role that serves tenants.",
        )
    app_role = role_of(settings.database_url.get_secret_value(), "AISDK_DATABASE_URL")
    platform, platform_role = settings.platform_database_url, None
    if platform is not None:
        platform_role = role_of(platform.get_secret_value(), "AISDK_PLATFORM_DATABASE_URL")
    with translated():
        await migrate(settings.database_owner_url.get_secret_value(), app_role, platform_role)
    print(f"The schema is at {REVISION}; {app_role} may use it.")
    if platform_role is not None:
        print(f"{platform_role} may register tenants.")
    return 0


async def _verify_isolation() -> int:
    from aisdk.connect import Client

    async with Client() as client:
        probes = await client.verify_isolation()
    print(probes.to_frame().to_string(index=False, na_rep="-"))
    if any(probe.leaked for probe in probes):
        print("ISOLATION IS BROKEN.")
        return 1
    if not all(probe.passed for probe in probes):
        print("NOT VERIFIED: a probe failed, or did not find its own tenant's data.")
        return 2
    print("No tenant reaches another.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

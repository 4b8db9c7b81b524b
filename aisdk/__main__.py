"""``python -m aisdk``: commands for whoever runs the database."""

from __future__ import annotations

import argparse
import asyncio
import sys

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
    parser.parse_args(arguments)
    try:
        asyncio.run(_migrate())
    except AisdkError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


async def _migrate() -> None:
    from aisdk.core.storage.engine import translated
    from aisdk.core.storage.schema import REVISION, migrate
    from aisdk.core.storage.server import role_of

    settings = load_settings()
    if settings.database_url is None or settings.database_owner_url is None:
        raise ConfigError(
            "migrate needs two addresses.",
            hint="Set AISDK_DATABASE_OWNER_URL to the role that will own the tables and "
            "AISDK_DATABASE_URL to the role that serves tenants.",
        )
    app_role = role_of(settings.database_url.get_secret_value())
    with translated():
        await migrate(settings.database_owner_url.get_secret_value(), app_role)
    print(f"The schema is at {REVISION}; {app_role} may use it.")


if __name__ == "__main__":
    sys.exit(main())

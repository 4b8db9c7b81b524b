"""What the verbs of tenants are given, checked before it is used."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any, Final

from aisdk.core.runtime.options import is_whole
from aisdk.core.runtime.tenancy import is_tenant
from aisdk.errors import InvalidInput

__all__ = ["check_limit", "checked_name", "checked_path", "checked_state"]

STATES: Final = ("active", "suspended")


def checked_path(path: Any) -> Path:
    """The path of a folder, if it is one."""
    if not isinstance(path, str | PathLike) or not os.fspath(path):
        raise InvalidInput("A path of a folder is needed.", hint='Write Path("folder").')
    return Path(os.path.expanduser(os.fsdecode(path)))  # noqa: PTH111  # keeps an unknown ~name


def checked_name(tier: Any) -> str:
    """The name of a tier, if it could be one."""
    if not is_tenant(tier):
        wanted = "A tier is named by 1 to 63 letters, digits, dots, hyphens or underscores."
        raise InvalidInput(wanted, hint="tiers() shows those there are.")
    return tier


def checked_state(state: Any) -> str:
    """The state, if there is such a one."""
    if not isinstance(state, str) or state not in STATES:
        raise InvalidInput("state is unknown.", hint="Use active or suspended.")
    return str(state)


def check_limit(name: str, value: Any) -> None:
    """Refuses what cannot be the limit of that name."""
    if name == "weight":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 1e-3 <= value < 1e6:
            raise InvalidInput(
                "weight must be a number of at least 0.001, below a million.",
                hint="client.tenants.tiers() shows those of the tiers.",
            )
        return
    least, most = (0, 2**62) if name in ("documents", "size_bytes") else (1, 10**8)
    if value is not None and not is_whole(value, least, most):
        raise InvalidInput(
            f"{name} must be a whole number from {least} to {most:,}, or None for no limit.",
            hint="client.tenants.tiers() shows those of the tiers.",
        )

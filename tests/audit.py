"""Asks pip-audit for known vulnerabilities; says loudly where no service can be reached."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

COMMAND = (
    sys.executable,
    "-m",
    "pip_audit",
    "--skip-editable",
    "--format",
    "json",
    "--timeout",
    "15",
)


def main() -> int:
    """The exit code: 1 for a vulnerability, or a package that could not be asked about."""
    try:
        done = subprocess.run(  # noqa: S603  # the command is a constant
            COMMAND, capture_output=True, text=True, timeout=300, check=False
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        packages = []
    if all("skip_reason" in package for package in packages):
        print("SKIPPED: pip-audit: NO VULNERABILITY SERVICE CAN BE REACHED FROM HERE")
        return 0
    wrong = [line for package in packages for line in problems(package)]
    print("\n".join(wrong) or f"pip-audit: {len(packages)} packages, no known vulnerability")
    return 1 if wrong else 0


def problems(package: dict[str, Any]) -> list[str]:
    """What is wrong with one package; one that was not asked about is wrong too."""
    if "skip_reason" in package:
        return [f"{package['name']}: {package['skip_reason']}"]
    name = f"{package['name']} {package['version']}"
    return [f"{name}: {found['id']}" for found in package["vulns"]]


if __name__ == "__main__":
    sys.exit(main())

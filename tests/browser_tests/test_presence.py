"""What the browser tests need: with it they see, without it they skip, or fail where required."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest


def test_browser_is_there(browser: Any) -> None:
    """It starts."""
    assert browser.version


def test_axe_core_is_there(axe: str) -> None:
    """It is the whole file."""
    assert "axe" in axe


@pytest.mark.parametrize(("asked", "outcome"), [("", "skipped"), ("required", "error")])
def test_what_is_missing_fails_where_it_is_required(
    tmp_path: Path, asked: str, outcome: str
) -> None:
    """Neither chromium nor npm is on the path of the two tests above."""
    names = f"{test_browser_is_there.__name__} or {test_axe_core_is_there.__name__}"
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", __file__, "-k", names, "-p", "no:cacheprovider"]
    environment = {**os.environ, "PATH": str(tmp_path), "AXE_CORE": "", "AISDK_BROWSER": asked}
    done = subprocess.run(  # noqa: S603  # this interpreter, the tests above
        [*command, f"--junitxml={report}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    cases = ET.parse(report).iter("testcase")  # noqa: S314  # pytest wrote it just now
    assert Counter(result.tag for case in cases for result in case) == {outcome: 2}
    assert "NO BROWSER" in done.stdout
    assert "NO AXE-CORE" in done.stdout

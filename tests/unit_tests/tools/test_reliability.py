"""The table of what campaigns measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reliability import BARS, main, rows_of, updated

PAGE = """# Reliability

<!-- measured: begin -->

| campaign | bar | tried | violations | measured | on |
|---|---|---|---|---|---|
| soak | an older bar | 1 | 0 | grew by 0.1 MB | 2026-01-01 |
| breaker | an older bar | 5 | 0 | old | 2026-01-01 |

<!-- measured: end -->

The end.
"""


def entry(name: str, failed: int = 0) -> str:
    """A line of a report."""
    return json.dumps({"name": name, "tried": 12_345, "failed": failed, "detail": "a|b"}) + "\n"


def test_report_replaces_its_own_rows_alone() -> None:
    """In the order of the bars; the text around the table stays."""
    page = updated(PAGE, entry("limiter") + entry("breaker", 2))
    table = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert [line.split("|")[1].strip() for line in table] == ["breaker", "limiter", "soak"]
    assert f"| breaker | {BARS['breaker']} | 12,345 | 2 | a/b |" in page
    assert "grew by 0.1 MB | 2026-01-01" in page
    assert page.startswith("# Reliability")
    assert page.endswith("The end.\n")
    assert updated(page, "") == page


def test_campaign_without_a_bar_is_refused() -> None:
    """A slip in a name must not be lost."""
    with pytest.raises(KeyError):
        rows_of(entry("braker"))


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_violation_is_an_exit_code(
    failed: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a job fails for it."""
    report, page = tmp_path / "report", tmp_path / "page"
    report.write_text(entry("breaker", failed))
    page.write_text(PAGE)
    assert main([str(report), str(page)]) == code
    assert ("VIOLATED: breaker" in capsys.readouterr().out) is bool(failed)

"""Writes what the campaigns measured into the table of docs/reliability.md."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

BEGIN: Final = "<!-- measured: begin -->"
END: Final = "<!-- measured: end -->"
HEAD: Final = "| campaign | bar | tried | violations | measured | on |\n|---|---|---|---|---|---|\n"
BARS: Final = {
    "cross-tenant probes": "at least 100,000 probes, 0 leaks",
    "cancellation storm": "10,000 cancelled calls: 0 wrong replies, connections within the pool, "
    "none idle in a transaction after 1 s",
    "network faults": "at least 1,000: every call ends within its deadline + 2.5 s",
    "attempts at the peer": "at most 4 a call, in an outage at most 1.1 x the traffic",
    "breaker": "1,000 callers when half open: 1 probe",
    "limiter": "4 processes, 60 s: never above burst and rate, at least 95 % used",
    "limiter beside throttled-py": "the same within 1 %",
    "idempotency": "1,000 keys x 20 duplicates, with kills: 1 effect each, the same answer to all",
    "kill -9 of PostgreSQL": "at least 50 kills, 100,000 acknowledged documents: 0 lost or doubled",
    "kill -9 of the writer": "0 acknowledged documents lost or doubled",
    "kill -9 of the cache": "at least 50 kills: 0 wrong answers, 0 failed calls",
    "quiet tenant": "p99 beside 64 noisy workers on 8 connections at most 1.5 x its p99 alone",
    "stampede": "1,000 misses of one key: 1 load a process",
    "malformed inputs": "at least 100,000: 0 unhandled errors, at most 256 MB a parse",
    "secrets": "at least 200 error paths: 0 canaries shown",
    "soak": "one hour: less than 1 MB growth in 10 minutes, everything given back",
}


def rows_of(report: str) -> dict[str, str]:
    """Campaign → its line of the table.

    Args:
        report: What the campaigns appended: a JSON object a line.

    Raises:
        KeyError: A campaign has no bar.
    """
    today = datetime.now(UTC).date().isoformat()
    rows = {}
    for line in report.splitlines():
        entry: dict[str, Any] = json.loads(line)
        name, detail = entry["name"], entry["detail"].replace("|", "/")
        counts = f"{entry['tried']:,} | {entry['failed']:,}"
        rows[name] = f"| {name} | {BARS[name]} | {counts} | {detail} | {today} |"
    return rows


def updated(page: str, report: str) -> str:
    """The page with the campaigns of the report in its table; those it lacks stay as they are."""
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line[:2] == "| "}
    rows |= rows_of(report)
    lines = "\n".join(rows[name] for name in BARS if name in rows)
    return f"{before}{BEGIN}\n\n{HEAD}{lines}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Updates the page; the exit code is 1 where a campaign found a violation."""
    report, page = map(Path, arguments)
    page.write_text(updated(page.read_text("utf-8"), report.read_text("utf-8")), "utf-8")
    entries = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    broken = [entry["name"] for entry in entries if entry["failed"]]
    print("\n".join(f"VIOLATED: {name}" for name in broken) or f"{len(entries)} campaigns kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

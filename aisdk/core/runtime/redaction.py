"""What looks like a secret is taken out of a text before it is written anywhere."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["redacted"]

STARS: Final = "***"
_SECRETS: Final = (
    (re.compile(r"://[^\s@]{0,512}@"), f"://{STARS}@"),  # user and password of a URL
    (re.compile(r"(://[^\s?]{0,512}\?)[^\s#]+"), rf"\1{STARS}"),  # a signed query
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), rf"\1 {STARS}"),
    (
        re.compile(r"(?i)(pass(?:word|wd)?|pwd|secret|token|api[_-]?key)(\s*[=:]\s*)\S+"),
        rf"\1\2{STARS}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|hf|gh[opsu]|github_pat|glpat|xox[abprs])[-_][\w-]{8,}"), STARS),
    (re.compile(r"\b(?:AKIA|ASIA|AIza)[\w-]{12,}"), STARS),
    (re.compile(r"(?=[\w+/=-]{0,512}[A-Z0-9])[\w+/=-]{32,}"), STARS),  # long base64 or hex
)


def redacted(text: str) -> str:
    """The text with ``***`` in place of whatever looks like a secret.

    Those are user and password and the query of a URL, bearer tokens, what is named a password or
    key, keys with a known prefix such as ``sk-``, and unbroken runs of 32 characters and more.

    Args:
        text: Any text.

    Example:
        >>> redacted("postgresql://me:hunter2@host/db")
        'postgresql://***@host/db'
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text

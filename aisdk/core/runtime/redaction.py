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
        re.compile(r"""(?ix)
            (
                (?: pass(?:word|wd|[_-]?phrase)? | pwd | secret | token
                  | (?:api|access|private|secret)[_-]?key )
                \\?["']? \s* [=:] \s*  # a name may be quoted, as in JSON
            )
            (?: "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \\"[^"\n]*" | \S+ )
            """),
        rf"\1{STARS}",
    ),
    (re.compile(r"\beyJ[\w=-]{4,}(?:\.[\w=-]*){1,4}"), STARS),  # a JSON Web Token, however short
    (re.compile(r"\b(?:sk|pk|rk|hf|gh[opsu]|github_pat|glpat|xox[abprs])[-_][\w-]{8,}"), STARS),
    (re.compile(r"\b(?:AKIA|ASIA|AIza)[\w-]{12,}"), STARS),
    (re.compile(r"(?=[\w+/=-]{0,512}[A-Z0-9])[\w+/=-]{32,}"), STARS),  # long base64 or hex
)


def redacted(text: str) -> str:
    """The text with ``***`` in place of whatever looks like a secret.

    Those are user and password and the query of a URL, bearer tokens, JSON Web Tokens, what is
    named a password or key (in JSON too, and with spaces where it is quoted), keys with a known
    prefix such as ``sk-``, and unbroken runs of 32 characters and more.

    Args:
        text: Any text.

    Example:
        >>> redacted("postgresql://me:hunter2@host/db")
        'postgresql://***@host/db'
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text

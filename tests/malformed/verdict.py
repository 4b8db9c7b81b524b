"""What became of a call with a malformed input: an answer, an error of ours, or a fault."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from aisdk.errors import AisdkError, InternalError

__all__ = ["Tally", "fault_of"]


@dataclass
class Tally:
    """What a campaign has seen.

    Attributes:
        tried: Inputs by kind.
        accepted: Those that were no error, by kind.
        faults: What went wrong, each in a line.
        growth_mb: The largest growth of one parse.
        grew: What it was.
    """

    tried: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    growth_mb: float = 0.0
    grew: str = ""

    def judge(self, kind: str, canary: str, call: Callable[[], Any]) -> None:
        """Makes a call and notes what became of it."""
        self.tried[kind] += 1
        accepted, fault = fault_of(call, canary)
        self.accepted[kind] += accepted
        if fault:
            self.faults.append(f"{kind}: {fault}")


def fault_of(call: Callable[[], Any], canary: str) -> tuple[bool, str]:
    """Whether a call was answered, and its fault: an error that is not ours, or shows the input."""
    try:
        call()
    except InternalError as error:
        return False, _told(error)
    except AisdkError as error:
        shown = [*traceback.format_exception(error), repr(error), error.message, error.hint]
        return False, f"{type(error).__name__} shows the input" if canary in str(shown) else ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is a fault
        return False, _told(error)
    return True, ""


def _told(error: BaseException) -> str:
    """The error, and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "aisdk" in PurePath(frame.filename).parts] or frames
    where = f"{PurePath(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"
    return f"{type(error).__name__} at {where}: {str(error)[:200]}"

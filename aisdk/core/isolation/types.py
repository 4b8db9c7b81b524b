"""The values of the isolation domain."""

from __future__ import annotations

from dataclasses import dataclass

from aisdk.core.results.record import Shown

__all__ = ["ProbeResult"]


@dataclass(frozen=True, slots=True)
class ProbeResult(Shown):
    """A row of ``verify_isolation``: one way to reach another tenant's data, tried out.

    Attributes:
        probe: What was tried.
        tried: How often.
        leaked: How often another tenant's data, or its allowance, could be reached.
        control: ``caught`` where the same probe, made as the other tenant itself, finds all of its
            data: the probe can fail. Else ``missed``.
        passed: Nothing leaked and the control was caught.
        milliseconds: How long it took.
        error: The code of the error with which the probe ended early, if it did.
    """

    probe: str
    tried: int
    leaked: int
    control: str
    passed: bool
    milliseconds: float
    error: str | None

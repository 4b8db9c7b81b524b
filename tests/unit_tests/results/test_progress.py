"""Progress in a terminal, and none."""

from __future__ import annotations

import io
import time
from contextlib import redirect_stderr

import pytest

from aisdk.core.results.progress import Counted, Later, Silent, TerminalProgress, silent, terminal


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.fixture
def screen() -> Terminal:
    """A terminal to look at."""
    return Terminal()


def test_terminal_without_a_terminal_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A log file gets no bars."""
    progress = terminal("add", "files", 3)
    progress.advance()
    progress.close()
    assert isinstance(progress, Silent)
    assert capsys.readouterr() == ("", "")


def test_terminal_leaves_its_final_state(screen: Terminal) -> None:
    """Done and failed units are counted, and the total may grow on the way."""
    with redirect_stderr(screen):
        progress = terminal("add", "files", 2)
        progress.advance(2)
        progress.grow(4)
        progress.advance(1, failed=1)
        progress.close()
    last = screen.getvalue().rstrip("\n").split("\r")[-1]
    assert isinstance(progress, TerminalProgress)
    assert last.startswith("add: 100%")
    assert "4/4" in last
    assert "failed=1" in last


def test_terminal_with_unknown_total_counts(screen: Terminal) -> None:
    """Without a total the bar is a counter with its unit."""
    with redirect_stderr(screen):
        progress = terminal("collect", "rows")
        progress.advance(7)
        progress.close()
    assert "7 rows" in screen.getvalue()


def test_silent_accepts_everything_and_shows_nothing(screen: Terminal) -> None:
    """The silent form fulfils the protocol."""
    with redirect_stderr(screen):
        progress = silent("add", "files", 1)
        progress.advance(2, failed=1)
        progress.grow(9)
        progress.close()
    assert screen.getvalue() == ""


def test_later_shows_what_takes_long_with_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of what does not; the age is that of the work."""
    made: list[Counted] = []
    ages: list[float] = []

    def make(age_s: float) -> Counted:
        ages.append(age_s)
        made.append(Counted())
        return made[0]

    quick = Later(make)
    quick.advance(5)
    quick.close()
    assert made == []
    monkeypatch.setattr("aisdk.core.results.progress.SOON_S", 0.0)
    slow = Later(make)
    time.sleep(0.05)
    slow.advance(5, failed=1)
    slow.advance(1, failed=1)
    slow.grow(9)
    slow.close()
    assert made[0].count == (6, 2, 0, 9)
    assert ages[0] >= 0.05


def test_rate_in_a_terminal_counts_from_the_begin_of_the_work(screen: Terminal) -> None:
    """Which may be before it is shown."""
    with redirect_stderr(screen):
        progress = terminal("search", "questions", 900, 100.0)
        progress.advance(300)
        progress.close()
    assert "[01:40<03:20,  3.00 questions/s]" in screen.getvalue()

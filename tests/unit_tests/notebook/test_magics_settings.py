"""What `%aisdk connect --as` and `%config` say, and how long it holds."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("reload", [False, True])
def test_names_and_settings_last_until_others_are_given(
    shell: InteractiveShell, tenant: str, reload: bool
) -> None:
    """A plain connect keeps to what ``%config`` says, and a reload changes nothing."""

    def run(cell: str) -> Any:
        result = shell.run_cell(cell)
        result.raise_error()
        return result.result

    def then(cell: str, used: str) -> None:
        run(cell)
        if reload:
            shell.run_line_magic("reload_ext", "aisdk")
        assert run("%aisdk status")[0].tenant == f"{tenant}-{used}"

    shell.run_line_magic("load_ext", "aisdk")
    then(f"%aisdk connect {tenant}-a", "a")
    run("%config AisdkMagics.top_k = 7")
    then(f"%aisdk connect {tenant}-b --as other", "b")
    run("%config AisdkMagics.session = 'mine'")
    then(f"%aisdk connect {tenant}-c", "c")
    then(f"%aisdk connect {tenant}-d --as other", "d")
    then("%config AisdkMagics.session = 'session'", "a")
    then(f"%aisdk connect {tenant}-d --as other", "d")
    then("%config AisdkMagics.session = 'session'", "a")  # as it is set already
    magics = shell.magics_manager.registry["AisdkMagics"]
    assert magics.top_k == 7
    assert shell.configurables.count(magics) == 1
    held = {name: shell.user_ns[name] for name in ("session", "mine", "other")}
    ends = {name: session.tenant_id[-1] for name, session in held.items()}
    assert ends == {"session": "a", "mine": "c", "other": "d"}
    for session in held.values():
        session.close()

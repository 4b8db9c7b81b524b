"""What axe-core finds wrong in displays that stand in JupyterLab."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["violations"]

# axe-core takes what stands in JupyterLab's nested panels for hidden, unless they let it overflow.
AXE: Final = """
async where => {
  for (const node of document.querySelectorAll(`:has(${where})`))
    node.style.cssText += ';overflow: visible !important; contain: none !important';
  const shown = document.querySelectorAll(where);
  if (!shown.length) throw Error('nothing is there');  // axe-core would take the whole page
  const {violations, passes} = await axe.run(shown);
  if (!passes.some(rule => rule.id === 'color-contrast')) throw Error('axe-core has seen no text');
  return violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}`));
}
"""


def violations(seen: Any, axe: str, where: str) -> list[str]:
    """What it finds in the elements of a selector, which must be there."""
    seen.page.evaluate(f"() => {{ {axe} }}")
    found: list[str] = seen.page.evaluate(AXE, where)
    return found

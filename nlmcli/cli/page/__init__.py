"""One HTML file that shows runs: it needs no network and no server, and is readable without JavaScript.

Every text of a corpus or a model goes through `sections.shown` or `data_block`, which leave nothing that a browser would run; a policy in
the page (Content-Security-Policy) allows this file's own style and script by their hashes, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from nlmcli.cli import report
from nlmcli.cli.page import sections


def build(summaries: Sequence[dict[str, Any]]) -> str:
    """The page of one run, or of several side by side."""
    style, script = (resources.files(__name__).joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    title = summaries[0]["run"] if len(summaries) == 1 else f"{len(summaries)} runs"
    body, data = sections.one(summaries[0]) if len(summaries) == 1 else sections.several(summaries)
    own = f"style-src '{digest(style)}'; script-src '{digest(script)}'; img-src data:"
    policy = f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<link rel="icon" href="data:,">',
            f"<title>{sections.shown(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            *body,
            data_block(data),
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def digest(content: str) -> str:
    """The hash by which the policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def data_block(data: dict[str, Any]) -> str:
    """What the script reads, as JSON without any character that could end the block."""
    content = json.dumps(report.to_json(data), ensure_ascii=True, separators=(",", ":"))
    return f'<script type="application/json" id="data">{content.replace("<", chr(92) + "u003c")}</script>'

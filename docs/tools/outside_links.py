"""A hook of MkDocs: links of pages to files outside docs/, which a site does not have.

With `repo_url` they lead to the file in the public repository; without one the name of the file stands there as text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

# [text](../target) outside code; pages of the site link each other within docs/.
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Called by MkDocs with each page before it is rendered."""
    return with_links_outside(
        markdown, page=Path(page.file.abs_src_path), docs=Path(config["docs_dir"]), repo_url=config["repo_url"]
    )


def with_links_outside(markdown: str, *, page: Path, docs: Path, repo_url: str | None) -> str:
    """The page with links that leave `docs` turned into links to `repo_url`, or into text where that is empty."""

    def replaced(link: re.Match[str]) -> str:
        target = (page.parent / link["target"]).resolve()
        if target.is_relative_to(docs.resolve()):
            return link[0]
        place = target.relative_to(docs.resolve().parent).as_posix()
        if not repo_url:
            return f"{link['text']} (`{place}`)"
        kind = "tree" if target.is_dir() else "blob"
        return f"[{link['text']}]({repo_url.rstrip('/')}/{kind}/HEAD/{place}{link['anchor'] or ''})"

    return _LINK.sub(replaced, markdown)

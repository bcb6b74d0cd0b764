"""The article of a web page, without what stands round it, by trafilatura (Apache-2.0); of a page where it finds none, the main text.

Run in the process of `noria.text.confined`. `noria.text.web_page` keeps a whole document under its headings; here a news site's teasers,
comments and lists of other news go, which would be counted as opinions.
"""

from __future__ import annotations

from collections.abc import Iterator

from .confined import Part
from .web_page import page_text
from .web_page import parts as page_parts


def parts(image: bytes, name: str, url: str = "") -> Iterator[Part]:
    """Yield {"text": ...}: the article's text, a paragraph a line; of a page that holds none the paragraphs of its main text.

    Args:
        image: the page's bytes.
        name: for messages.
        url: its address.

    Raises:
        InputError: it is binary, or in none of the known encodings.
    """
    import trafilatura

    text, _ = page_text(image, name)
    found = trafilatura.extract(text, url=url or None, include_comments=False, include_tables=False)
    if found:
        yield {"text": found}
        return
    yield from (part for part in page_parts(text.encode("utf-8", "replace"), name) if "text" in part)

"""Every word of the console, in the language that its reader chose."""

from __future__ import annotations

from noria.core.messages import LANGUAGES as LANGUAGES
from noria.core.messages import Language, message, name_of


class Words:
    """The words in one language: `words("models.title")`, `words("overview.seconds", seconds=3)`."""

    def __init__(self, language: str) -> None:
        self.language: Language = "zh" if language == "zh" else "en"
        self.html_language = "zh-CN" if self.language == "zh" else "en"

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key of the catalogue `console`.

        Raises:
            KeyError: there is no such key.
        """
        return message(f"console.{key}", **values)[self.language]

    def phrase(self, text: str) -> str:
        """Return a name or note that came with a result, in this language where it is known, else as it is."""
        return name_of(text)[self.language]


def language_of(accepted: str) -> Language:
    """Return the language that a browser's Accept-Language header asks for: Chinese or, failing that, English.

    >>> language_of("zh-CN,zh;q=0.9,en;q=0.8"), language_of("fr"), language_of("en-GB,zh;q=0.5")
    ('zh', 'en', 'en')
    """
    first = accepted.split(",")[0].split(";")[0].strip().lower()
    return "zh" if first.startswith("zh") else "en"

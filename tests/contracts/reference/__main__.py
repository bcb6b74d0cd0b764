"""Write docs/reference anew: `python -m tests.contracts.reference`."""

from .pages import FOLDER, pages

FOLDER.mkdir(parents=True, exist_ok=True)
for name, text in pages().items():
    (FOLDER / name).write_text(text, encoding="utf-8")

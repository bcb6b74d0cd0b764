"""The chart library that the page carries inside: Apache ECharts, taken as a file from the installed package NiceGUI.

The package is not imported. Its bundle is an ECMAScript module whose last statement exports many short names; the one
that its own entry file calls `echarts` is put on `window`, so that the page needs no second file.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from noria.core.errors import PackageError

_FOLDER = "nicegui/elements/echart/dist"


def echarts_module() -> str:
    """Return the text of a script of type module that sets `window.echarts`.

    Raises:
        PackageError: NiceGUI is missing, or its bundle has another form.
    """
    hint = "pip install 'nicegui>=3,<4'"
    try:
        distribution = metadata.distribution("nicegui")
    except metadata.PackageNotFoundError:
        raise PackageError("package nicegui, which brings the chart library, is not installed", hint=hint) from None
    folder = Path(str(distribution.locate_file(_FOLDER)))
    try:
        entry = (folder / "index.js").read_text(encoding="utf-8")
        inner = re.search(r"export\s*\{[^}]*?\b(\w+) as echarts\b", entry)
        outer = re.search(rf"(\w+) as {inner[1]}\b[^}}]*\}}\s*from\s*\"\./([\w.-]+)\"", entry) if inner else None
        if not outer:
            raise PackageError(
                "nicegui's chart library has another form than expected", found=distribution.version, hint=hint
            )
        module = (folder / outer[2]).read_text(encoding="utf-8")
    except OSError as error:
        raise PackageError("nicegui lacks the chart library", found=str(error.filename), hint=hint) from None
    end = re.search(r"export\s*\{([^{}]*)\};?\s*(//[^\n]*)?\s*$", module)
    name = re.search(rf"([\w$]+) as {re.escape(outer[1])}(?=,|$)", end[1]) if end else None
    if not end or not name:
        raise PackageError(
            "nicegui's chart library has another form than expected", found=distribution.version, hint=hint
        )
    script = f"{module[: end.start()]}window.echarts={name[1]};"
    return script.replace("</script", "<\\/script")

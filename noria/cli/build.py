"""`noria build`: raw text -> corpus -> tokens -> model -> evaluated -> compressed."""

from __future__ import annotations

from cyclopts import App

app = App(name="build", help="Raw text -> corpus -> tokens -> model -> evaluated -> compressed.")

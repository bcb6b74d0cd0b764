"""`noria ship`: models -> HTTP service and applications."""

from __future__ import annotations

from cyclopts import App

app = App(name="ship", help="Models -> HTTP service and applications.")

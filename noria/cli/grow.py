"""`noria grow`: usage events and market series -> growth, share, forecast, report."""

from __future__ import annotations

from cyclopts import App

app = App(name="grow", help="Usage events and market series -> growth, share, forecast, report.")

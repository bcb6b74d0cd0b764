"""`noria grow`: usage events and market series -> growth, share, forecast, promotion, report."""

from __future__ import annotations

from noria.cli.manners import Commands

from .answers import app as answers
from .forecast import forecast
from .promote import app as promote
from .report import report
from .share import share
from .users import users

app = Commands(
    name="grow",
    help="""Usage events and market series -> growth, share, forecast, promotion, report.

    Without a log the commands read the bundled CDNOW purchases, without a series the bundled chatbot shares.

    Examples::

        noria grow users runs/demo/lake                    growth accounting of a server's own users
        noria grow users purchases.csv --user customer     of any log with a user and a time
        noria grow share                                   shares and concentration
        noria grow forecast --horizon 6                    share forecast, back-tested
        noria grow promote size 0.10 --lift 0.1            how large an experiment must be
        noria grow report runs/demo/lake --out report.html
    """,
)
for command in (users, share, forecast, promote, answers, report):
    app.command(command)

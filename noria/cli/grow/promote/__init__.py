"""`noria grow promote`: experiments, whom to address, budget, and a plan."""

from __future__ import annotations

from noria.cli.manners import Commands

from .budget import budget
from .experiment import experiment
from .plan import plan
from .policy import policy
from .size import size
from .uplift import uplift

app = Commands(
    name="promote",
    help="""Experiments, whom to address, budget, and a plan that joins them.

    Examples::

        noria grow promote size 0.10 --lift 0.1               users needed to see 10 % become 11 %
        noria grow promote experiment campaign.csv            what the groups show
        noria grow promote uplift campaign.csv --features visits
        noria grow promote policy decisions.csv               what another policy would have brought
        noria grow promote budget weekly.csv --channels search --channels video
        noria grow promote plan runs/lake --experiment campaign.csv --spend weekly.csv
        noria grow promote experiment runs/lake --variant version --outcome feedback
    """,
)
for command in (size, experiment, uplift, policy, budget, plan):
    app.command(command)

"""Run `python -m noria`."""

from noria.cli.main import run

run()

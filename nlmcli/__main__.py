"""python -m nlmcli runs the command nlm."""

from nlmcli.cli.app import run

run()

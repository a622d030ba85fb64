"""python -m nlmcli: the command nlm."""

from nlmcli.cli.app import run

run()

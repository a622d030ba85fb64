"""What the tests of the command line share."""

import pytest


@pytest.fixture(autouse=True)
def no_announcement(monkeypatch):
    """That kernels are compiled is said or not, as it happens: tests of what is said do without."""
    monkeypatch.setattr("nlmcli.cli.options.announce_compiling", lambda quiet: None)

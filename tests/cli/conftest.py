"""Fixtures of the command line tests."""

import pytest


@pytest.fixture(autouse=True)
def no_announcement(monkeypatch):
    """Silence the message that kernels are being compiled: whether it appears depends on the kernel cache."""
    monkeypatch.setattr("nlmcli.cli.options.announce_compiling", lambda quiet: None)

"""A script in a separate process, such as one that compiles for another CPU."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_script(tmp_path):
    """run_script(script, **environment) -> the words that it prints. All scripts of a test share one file, and so one cache."""

    def run(script, **environment):
        path = os.pathsep.join([os.getcwd(), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        file = tmp_path / "caller.py"
        file.write_text(script)
        done = subprocess.run([sys.executable, file], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run

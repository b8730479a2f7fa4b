# SPDX-License-Identifier: Apache-2.0
"""The examples are good configurations, without an error or a lint."""
import os
import shutil

import pytest

from servers import make_password_file, run_cli

pytestmark = pytest.mark.brokerless
EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "examples")


@pytest.mark.parametrize("name", ("minimal", "quickstart"))
def test_an_example_passes_check(tmp_path, certs, name):
    folder = tmp_path / name
    shutil.copytree(os.path.join(EXAMPLES, name), folder)
    shutil.copy(certs.server[0], folder / "server.pem")
    shutil.copy(certs.server[1], folder / "server.key")
    for authority in ("devices-ca.pem", "plant-ca.pem"):
        shutil.copy(certs.fleet_ca.path, folder / authority)
    make_password_file(str(folder / "operators.passwd"), {"eva": "secret"}, tool=True)
    text = (folder / "mqward.yaml").read_text()
    text = text.replace("@BROKER_PORT@", "1883").replace("@REDIS_PORT@", "6379").replace("/var/lib/mqward", "audit")
    text = text.replace("/run/mqward", str(folder))
    text = text.replace("@RULES@", os.path.join(os.path.dirname(EXAMPLES), "rules", "library"))
    (folder / "mqward.yaml").write_text(text)
    result = run_cli("check", "-c", str(folder / "mqward.yaml"), folder=folder)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert "warning: " not in output, output

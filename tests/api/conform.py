"""Schemathesis against the daemon: generated requests, good and bad, for every operation.

    CKPTD_SEED=1 python tests/api/conform.py --daemon build/asan/ckptd [--seconds 150]

Needs Python's schemathesis, pyyaml and jsonschema. No answer may be a 5xx that the machine is not to
blame for; each must be what openapi.yaml says: status, headers, media type, body. The last line is
"N passed, N failed", counting requests, and the daemon's end, without a word of a sanitizer.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from support.checkpoints import SMALL, manifest, safetensors, small, torch_zips  # noqa: E402
from support.client import Cut  # noqa: E402
from support.contract import ROOT  # noqa: E402
from support.daemon import Daemon, DaemonError  # noqa: E402

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,"
          "response_headers_conformance,response_schema_conformance,unsupported_method")


def fill(api):
    """What the contract's examples name is there, so that generated requests get past 404."""
    base = "/v1/models/vision/resnet50/versions/"
    bodies = [safetensors({"conv1.weight": [64, 3, 7, 7]}), small(1), b"no checkpoint"]
    for path in list(torch_zips().values())[:3]:
        with open(path, "rb") as file:
            bodies.append(file.read())
    for number, body in enumerate(bodies):
        label = "epoch-%d" % (90 + number)
        response = api.put(base + label, body, wait=60, filename="model.pth")
        if response.status != 201:
            raise DaemonError("the first uploads failed: %r" % response.body[:300])
    response = api.post(base + "epoch-91/compatibility", manifest(SMALL))
    if response.json()["verdict"] != "strict":
        raise DaemonError("the first check failed: %r" % response.body[:300])


def run(port, seconds):
    """How many requests it made, and whether all went well. It works in a folder of its own: it
    leaves files where it stands."""
    command = [sys.executable, "-m", "schemathesis.cli", "run",
               os.path.join(ROOT, "openapi.yaml"),
               "--url", "http://127.0.0.1:%d" % port, "--checks", CHECKS, "--max-time", str(seconds),
               "--seed", os.environ.get("CKPTD_SEED", "1"), "--continue-on-failure",
               "--suppress-health-check", "all", "--request-timeout", "90", "--workers", "1"]
    environment = dict(os.environ, SCHEMATHESIS_HOOKS="conform_hooks", PYTHONPATH=HERE, NO_COLOR="1")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, env=environment, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, flush=True)
    made = re.search(r"(\d+) generated", done.stdout)
    return (int(made.group(1)) if made else 0), done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", default=os.path.join(ROOT, "build", "asan", "ckptd"))
    parser.add_argument("--seconds", type=int, default=150)
    arguments = parser.parse_args()
    Daemon.path = os.path.abspath(arguments.daemon)
    daemon = Daemon(flags=["--upload-bytes", "8MiB"]).start()
    made, is_good = 0, False
    try:
        fill(daemon.client)
        made, is_good = run(daemon.port, arguments.seconds)
    except (DaemonError, Cut) as error:
        print(error)
    passed, failed = (made, 0) if is_good and made > 0 else (0, 1)
    try:
        daemon.stop()
        passed += 1
    except DaemonError as error:
        print(error)
        failed += 1
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

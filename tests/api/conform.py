"""Schemathesis against the daemon: generated requests, good and bad, for every operation.

    CKPTD_SEED=1 python tests/api/conform.py --daemon build/asan/ckptd [--seconds 150]

Needs Python's schemathesis, pyyaml and jsonschema. No answer may be a 5xx that the machine is not to
blame for; each must be what openapi.yaml says: status, headers, media type, body. The last line is
"N passed, N failed", counting operations, and the sanitizers as one more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from support.checkpoints import SMALL, manifest, safetensors, small, torch_zips  # noqa: E402
from support.contract import CONTRACT, ROOT  # noqa: E402
from support.daemon import Daemon, DaemonError  # noqa: E402

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,"
          "response_headers_conformance,response_schema_conformance,unsupported_method")


def fill(api):
    """What the contract's examples name is there, so that generated requests get past 404."""
    base = "/v1/models/vision/resnet50/versions/"
    bodies = [safetensors({"conv1.weight": [64, 3, 7, 7]}), small(1), b"no checkpoint"]
    bodies += [open(path, "rb").read() for path in list(torch_zips().values())[:3]]
    for number, body in enumerate(bodies):
        label = "epoch-%d" % (90 + number)
        response = api.put(base + label, body, wait=60, filename="model.pth")
        if response.status != 201:
            raise DaemonError("the first uploads failed: %r" % response.body[:300])
    response = api.post(base + "epoch-91/compatibility", manifest(SMALL))
    if response.json()["verdict"] != "strict":
        raise DaemonError("the first check failed: %r" % response.body[:300])


def run(port, seconds, report):
    command = [sys.executable, "-m", "schemathesis.cli", "run",
               os.path.join(ROOT, "openapi.yaml"),
               "--url", "http://127.0.0.1:%d" % port, "--checks", CHECKS, "--max-time", str(seconds),
               "--seed", os.environ.get("CKPTD_SEED", "1"), "--continue-on-failure",
               "--suppress-health-check", "all", "--request-timeout", "90", "--workers", "2",
               "--report", "ndjson", "--report-ndjson-path", report]
    return subprocess.run(command, cwd=tempfile.gettempdir(), check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", default=os.path.join(ROOT, "build", "asan", "ckptd"))
    parser.add_argument("--seconds", type=int, default=150)
    arguments = parser.parse_args()
    Daemon.path = os.path.abspath(arguments.daemon)
    daemon = Daemon(flags=["--upload-bytes", "8MiB", "--wait-seconds", "5"]).start()
    passed = failed = 0
    try:
        fill(daemon.client)
        with tempfile.TemporaryDirectory() as folder:
            code = run(daemon.port, arguments.seconds, os.path.join(folder, "report.ndjson"))
    except DaemonError as error:
        print(error)
        code = 1
    operations = sum(len(set(item) - {"parameters"}) for item in CONTRACT.spec["paths"].values())
    if code == 0:
        passed += operations
    else:
        failed += 1
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

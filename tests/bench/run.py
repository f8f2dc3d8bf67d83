#!/usr/bin/env python3
"""Measures ckptd against its peers, always as a ratio within one run: machines are noisy.

    python tests/bench/run.py BUILD_DIR [--quick]

BUILD_DIR holds ckptd and tests/bench/bench_inspect of an optimised build. Needs torch in this Python,
and curl, nginx, wrk. Prints a Markdown table; the marks are those of the design. Never a test: a time
is not a thing to pass or fail by.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GIB = 1 << 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def timed(*command, **more):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **more)
    return time.perf_counter() - start


def wait_for(url, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended at once")
        try:
            return urllib.request.urlopen(url, timeout=1)
        except OSError as error:
            if hasattr(error, "code"):
                return error
            time.sleep(0.05)
    sys.exit(f"no answer at {url}")


class Daemon:
    def __init__(self, build, data):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [build / "ckptd", "serve", "--data", data, "--listen", f"127.0.0.1:{self.port}",
             "--log-level", "warning"], stderr=subprocess.DEVNULL)
        wait_for(self.url + "/livez", self.process)

    def pss_mib(self):
        """Of the daemon and all its children."""
        total, todo = 0, [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                for line in open(f"/proc/{pid}/smaps_rollup"):
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
                for task in os.listdir(f"/proc/{pid}/task"):
                    todo += map(int, open(f"/proc/{pid}/task/{task}/children").read().split())
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Nginx:
    """nginx's WebDAV PUT into a directory."""

    def __init__(self, root):
        self.port = free_port()
        self.root = root
        config = root / "nginx.conf"
        config.write_text(f"""
daemon off; worker_processes 2; pid {root}/nginx.pid; error_log /dev/null;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 64; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {root}/tmp; sendfile on;
  server {{ listen 127.0.0.1:{self.port}; root {root}/files;
    location / {{ dav_methods PUT; create_full_put_path on; }} }} }}
""")
        (root / "files").mkdir(parents=True)
        (root / "tmp").mkdir()
        self.process = subprocess.Popen(["nginx", "-c", config, "-p", root],
                                        stderr=subprocess.DEVNULL)
        wait_for(f"http://127.0.0.1:{self.port}/", self.process)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


rows = []


def row(what, ours, peer, ratio, mark):
    rows.append((what, ours, peer, ratio, mark))
    print(f"  {what}: {ours} | {peer} | {ratio} | {mark}", flush=True)


def curl_put(path, url):
    return timed("curl", "--fail-with-body", "-sS", "-T", path, url)


def bench_upload(build, directory, size, rounds, on_tmpfs):
    where = "tmpfs" if on_tmpfs else "disk"
    body = directory / "body"
    chunk = os.urandom(64 << 20)
    with open(body, "wb") as out:
        for i in range(size // len(chunk)):
            out.write(i.to_bytes(8, "little") + chunk[8:])
    (directory / "nginx").mkdir()
    nginx, daemon = Nginx(directory / "nginx"), Daemon(build, directory / "data")
    ours, plain, full, peak = [], [], [], 0.0
    for i in range(rounds):
        with open(body, "r+b") as out:  # other bytes, so that nothing is a repeat
            out.write(os.urandom(16))
        start = time.perf_counter()
        put = subprocess.Popen(["curl", "--fail-with-body", "-sS", "-o", "/dev/null", "-T", body,
                                f"{daemon.url}/v1/models/bench/upload/versions/r{i}"])
        while put.poll() is None:
            peak = max(peak, daemon.pss_mib())
            time.sleep(0.02)
        ours.append(time.perf_counter() - start)
        assert put.returncode == 0
        target = directory / "nginx" / "files" / f"r{i}"
        plain.append(curl_put(body, f"http://127.0.0.1:{nginx.port}/r{i}"))
        after = timed("sha256sum", target) if on_tmpfs else timed("sync", target)
        full.append(plain[-1] + after)
        target.unlink()
        for blob in (directory / "data" / "blobs").rglob("*"):
            if blob.is_file():
                blob.unlink()
    nginx.stop()
    daemon.stop()
    mine, theirs = statistics.median(ours), statistics.median(full)
    gib = size / GIB
    tail = "sha256sum" if on_tmpfs else "sync"
    row(f"upload of {gib:g} GiB, hashed and synced, {where}", f"{mine:.2f} s",
        f"nginx PUT, then {tail}: {theirs:.2f} s", f"{theirs / mine:.2f} ×",
        "≥ 1.0 ×" if on_tmpfs else "≥ 0.9 ×")
    if on_tmpfs:
        alone = statistics.median(plain)
        row("the same against nginx's PUT alone", f"{mine:.2f} s", f"{alone:.2f} s",
            f"{alone / mine:.2f} ×", "≥ 0.7 ×")
    row(f"peak memory (PSS) during it, {where}", f"{peak:.1f} MiB", "", "", "constant")


def bench_inspect(build, work, path, what):
    median_ns, tensors, _ = map(int, subprocess.run(
        [build / "tests" / "bench" / "bench_inspect", path], check=True, capture_output=True,
        text=True).stdout.split())
    script = ("import sys, time, torch, statistics\n"
              "times = []\n"
              "for _ in range(15):\n"
              "    start = time.perf_counter()\n"
              "    torch.load(sys.argv[1], mmap=True, weights_only=True)\n"
              "    times.append(time.perf_counter() - start)\n"
              "print(statistics.median(times))\n")
    theirs = float(subprocess.run([sys.executable, "-c", script, path], check=True,
                                  capture_output=True, text=True).stdout)
    row(f"inspection in-process, {what} ({tensors} tensors)", f"{median_ns / 1e6:.3f} ms",
        f"torch.load(mmap, weights_only): {theirs * 1e3:.1f} ms",
        f"{theirs * 1e9 / median_ns:.0f} ×", "≥ 100 ×")


WRK = """
local body = io.open("%s"):read("*a")
local vary = %s
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  n = n + 1
  if vary then
    return wrk.format(nil, nil, nil, (body:gsub('"name": "[^"]*"', '"name": "m' .. n ..
        '-' .. tostring(wrk.thread) .. '"', 1)))
  end
  return wrk.format(nil, nil, nil, body)
end
"""


def wrk(work, url, manifest, vary, seconds, connections):
    script = work / "wrk.lua"
    script.write_text(WRK % (manifest, "true" if vary else "false"))
    out = subprocess.run(["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script, url],
                         check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"wrk met errors:\n{out}")
    found = {}
    for line in out.splitlines():
        words = line.split()
        if words and words[0] in ("50%", "99%"):
            found[words[0]] = words[1]
        if line.startswith("Requests/sec:"):
            found["rate"] = float(words[1])
    return found


def bench_compatibility(build, work, checkpoint, manifest, seconds):
    (work / "compat").mkdir()
    daemon = Daemon(build, work / "compat" / "data")
    time.sleep(1)
    row("memory (PSS) after start", f"{daemon.pss_mib():.1f} MiB", "", "", "≤ 12 MiB")
    url = f"{daemon.url}/v1/models/bench/resnet50/versions/epoch-90"
    subprocess.run(["curl", "--fail-with-body", "-sS", "-o", "/dev/null", "-T", checkpoint,
                    url + "?wait=30"], check=True)
    ask = url + "/compatibility"
    once = min(timed("curl", "--fail-with-body", "-sS", "-o", "/dev/null", "--data-binary",
                     f"@{manifest}", ask) for _ in range(10))
    job = min(timed(sys.executable, HERE / "ci_job.py", checkpoint) for _ in range(3))
    row("one check, as a process (curl)", f"{once * 1e3:.1f} ms",
        f"Python imports torch, builds, loads: {job:.2f} s", f"{job / once:.0f} ×", "")
    for vary, mark in ((False, "≥ 3,000 /s, p99 ≤ 2 ms"), (True, "≥ 1,500 /s")):
        got = wrk(work, ask, manifest, vary, seconds, 4)
        row("checks a second, " + ("every manifest new" if vary else "warm cache"),
            f"{got['rate']:.0f} /s (p50 {got['50%']}, p99 {got['99%']})",
            f"the CI job: {1 / job:.2f} /s", f"{got['rate'] * job:.0f} ×", mark)
    time.sleep(60 if seconds > 3 else 5)
    row("memory (PSS) a minute after the load", f"{daemon.pss_mib():.1f} MiB", "", "", "≤ 24 MiB")
    daemon.stop()


def bench_settling(build, work, small):
    """Upload to verdict-ready, for 320 tensors: the inspector's whole way."""
    (work / "settle").mkdir()
    daemon = Daemon(build, work / "settle" / "data")
    content = bytearray(small.read_bytes())
    times = []
    for i in range(60):
        content[-1:] = bytes([i])
        path = work / "settle" / "one.safetensors"
        path.write_bytes(content)
        request = urllib.request.Request(
            f"{daemon.url}/v1/models/bench/small/versions/r{i}?wait=10", data=bytes(content),
            method="PUT")
        start = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            state = json.load(answer)["state"]
        times.append(time.perf_counter() - start)
        assert state == "ready", state
    daemon.stop()
    row("PUT to inspected, 320 tensors, median", f"{statistics.median(times) * 1e3:.1f} ms", "", "",
        "")


def make_inputs(work):
    import torch

    sys.path.insert(0, str(HERE))
    import resnet50

    torch.manual_seed(0)
    model = resnet50.build()
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    checkpoint = work / "resnet50.pth"
    torch.save({"epoch": 90, "arch": "resnet50", "state_dict": state}, checkpoint)
    manifest = work / "resnet50.json"
    manifest.write_text(subprocess.run(
        [sys.executable, ROOT / "deploy" / "client" / "ckptd.py", "manifest", "resnet50:build"],
        check=True, capture_output=True, text=True, cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}).stdout)
    big = work / "big.pth"
    subprocess.run([sys.executable, HERE / "big.py", big], check=True)
    header = {f"t{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]}
              for i in range(320)}
    text = json.dumps(header).encode()
    small = work / "small.safetensors"
    small.write_bytes(len(text).to_bytes(8, "little") + text + bytes(320))
    return checkpoint, manifest, big, small


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: a try-out")
    options = parser.parse_args()
    build = options.build.resolve()
    sys.dont_write_bytecode = True
    size, rounds, seconds = (256 << 20, 3, 2) if options.quick else (GIB, 5, 8)
    work = pathlib.Path(tempfile.mkdtemp(prefix="ckptd-bench-", dir=build))
    memory = pathlib.Path(tempfile.mkdtemp(prefix="ckptd-bench-", dir="/dev/shm"))
    try:
        checkpoint, manifest, big, small = make_inputs(work)
        bench_inspect(build, work, checkpoint, "ResNet-50")
        bench_inspect(build, work, big, "sparse 20 GB zip64")
        bench_settling(build, work, small)
        bench_compatibility(build, work, checkpoint, manifest, seconds)
        bench_upload(build, memory, size, rounds, True)
        bench_upload(build, work, size, rounds, False)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)
    print("\n| what | ckptd | peer | ratio | mark |\n| --- | --- | --- | --- | --- |")
    for line in rows:
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()

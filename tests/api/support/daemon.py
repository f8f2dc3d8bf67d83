"""Starts and stops the real daemon."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from support.client import Client

START_S, STOP_S = 30, 60
CRASH_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
               "WARNING: ThreadSanitizer")


class DaemonError(Exception):
    pass


class Daemon:
    path = None  # of the binary; run.py sets it

    def __init__(self, data=None, flags=(), environment=None):
        self.owns_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="ckptd-api-")
        self.flags = list(flags)
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.port = 0
        handle, self.log_path = tempfile.mkstemp(prefix="ckptd-api-log-")
        os.close(handle)

    def start(self):
        offset = os.path.getsize(self.log_path)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.path, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *self.flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for record in self.records(offset):
                if record.get("msg") == "listening":
                    self.port = int(record["port"])
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        text = self.log(offset)
        self.kill()
        raise DaemonError("the daemon did not start: " + text[-2000:])

    @property
    def client(self):
        return Client(self.port)

    def log(self, offset=0):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(offset)
            return file.read()

    def records(self, offset=0):
        for line in self.log(offset).splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record

    def children(self):
        """Pids of the daemon's children whose command line has this word."""
        pids = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open("/proc/%s/stat" % entry, encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == self.process.pid:
                pids.append(int(entry))
        return pids

    def zygotes(self):
        found = []
        for pid in self.children():
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as file:
                    if b"inspector-zygote" in file.read():
                        found.append(pid)
            except OSError:
                pass
        return found

    def kill(self):
        """As a power cut: no chance to tidy up."""
        if self.process is not None and self.process.poll() is None:
            for pid in self.zygotes():  # one that a test stopped could not end
                os.kill(pid, signal.SIGCONT)
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=STOP_S):
        """Its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            text = self.log()
            self.kill()
            raise DaemonError("the daemon did not stop: " + text[-2000:]) from None

    def stop(self):
        """Stop, and say what was wrong with it, if anything was."""
        try:
            code = self.process.poll()
            if code is None:
                self.terminate()
                code = self.wait()
            text = self.log()
            for mark in CRASH_MARKS:
                if mark in text:
                    at = text.index(mark)
                    raise DaemonError("the daemon's log has:\n" + text[max(0, at - 500):at + 4000])
            if code != 0:
                raise DaemonError("the daemon ended with %d:\n%s" % (code, text[-3000:]))
        finally:
            self.remove()

    def remove(self):
        self.kill()
        if os.path.exists(self.log_path):
            os.unlink(self.log_path)
        if self.owns_data:
            shutil.rmtree(self.data, ignore_errors=True)

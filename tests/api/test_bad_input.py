"""Bad input: each with its status and its message, and a daemon that goes on."""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from support.case import ApiTest
from support.checkpoints import SMALL, manifest, safetensors, small, torch_zips
from support.client import Cut, hex_digest
from support.daemon import Daemon

HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>\n"
POINTER = (b"version https://git-lfs.github.com/spec/v1\n"
           b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
           b"size 12345\n")


class Checkpoints(ApiTest):
    flags = ("--upload-bytes", "20MiB")

    def failed(self, body, *words, kind=None):
        """Its version fails, says why in these words, and its bytes can be had."""
        path = self.at(self.fresh(), "one")
        response = self.api.put(path, body, wait=30)
        self.assertEqual(response.status, 201, response.body)
        version = response.json()
        self.assertEqual(version["state"], "failed", version)
        self.assertEqual(version["safety"], "malformed")
        for word in words:
            self.assertIn(word, version["failure"]["detail"])
        if kind is not None:
            self.assertEqual(version["failure"]["type"], "/problems/" + kind)
        self.assertEqual(self.api.get(path + "/files/checkpoint").body, body)
        return version

    def test_not_a_checkpoint(self):
        self.failed(b"\x00\x01\x02\x03" * 300, kind="unrecognized-input")
        self.failed(b"epoch,loss\n1,0.5\n2,0.25\n" * 10, kind="unrecognized-input")
        self.failed(os.urandom(5000))

    def test_an_html_error_page_is_named(self):
        self.failed(HTML, "HTML", kind="unrecognized-input")

    def test_a_git_lfs_pointer_is_named(self):
        self.failed(POINTER, "git-lfs", kind="unrecognized-input")

    def test_an_empty_upload_is_refused(self):
        model = self.fresh()
        for body in (b"", []):
            response = self.api.put(self.at(model, "one"), body)
            self.assert_problem(response, 400, "bad-request", "empty")
        self.assertEqual(self.api.get(model).status, 404)
        self.assertEqual(self.api.put(self.at(model, "one"), small()).status, 201)

    def test_no_body_at_all_is_refused(self):
        response = self.api.request("PUT", self.at(self.fresh(), "one"))
        self.assertIn(response.status, (400, 411))

    def test_a_safetensors_cut_at_every_byte(self):
        body, model = small(), self.fresh()
        for length in range(1, len(body)):
            self.assertEqual(self.api.put(self.at(model, "cut-%d" % length), body[:length]).status, 201)
        for length in range(1, len(body)):
            version = self.api.get(self.at(model, "cut-%d" % length), wait=30).json()
            self.assertEqual(version["state"], "failed", length)
            self.assertTrue(version["failure"]["detail"])

    def test_a_torch_zip_cut_at_many_bytes(self):
        files = torch_zips()
        if not files:
            self.skipTest("no torch-zip cases")
        smallest = min(files.values(), key=os.path.getsize)
        with open(smallest, "rb") as file:
            body = file.read()
        model = self.fresh()
        lengths = sorted(set(range(1, len(body), max(1, len(body) // 150))) |
                         set(range(max(1, len(body) - 60), len(body))))
        for length in lengths:
            self.assertEqual(self.api.put(self.at(model, "cut-%d" % length), body[:length]).status, 201)
        for length in lengths:
            version = self.api.get(self.at(model, "cut-%d" % length), wait=30).json()
            self.assertEqual(version["state"], "failed", length)

    def test_bad_safetensors(self):
        for name, body in {
            "a header longer than the file": b"\xff" * 8 + b"{}",
            "a header that is no JSON": (5).to_bytes(8, "little") + b"{nope",
            "a tensor past the end": safetensors(SMALL)[:-8],
            "bytes left over": safetensors(SMALL) + b"\x00" * 8,
            "an unknown dtype": safetensors(SMALL).replace(b'"F32"', b'"F33"'),
            "an overlap": safetensors(SMALL).replace(b"[48, 64]", b"[40, 64]"),
        }.items():
            with self.subTest(name):
                self.failed(body)

    def test_a_deep_safetensors_header(self):
        header = b"[" * 100000
        self.failed(len(header).to_bytes(8, "little") + header)

    def test_an_oversize_body_is_refused_before_it_is_sent(self):
        path = self.at(self.fresh(), "one")
        response = self.api.early("PUT", path, (20 << 20) + 1)
        self.assert_problem(response, 413, "body-too-large", "20971520")
        self.assertIsNone(self.api.early("PUT", path, 20 << 20))

    def test_an_oversize_body_in_chunks_is_refused(self):
        model = self.fresh()
        try:
            response = self.api.put(self.at(model, "one"), (bytes(1 << 20) for _ in range(40)))
            self.assert_problem(response, 413, "body-too-large")
        except Cut:
            pass  # it may cut who goes on sending
        self.assertEqual(self.api.get(model).status, 404)

    def test_a_body_cut_half_way_leaves_nothing(self):
        model = self.fresh()
        path = self.at(model, "one")
        with self.api.connect() as connection:
            connection.head("PUT", path, [("Content-Length", "1000")])
            connection.send(b"x" * 500)
            time.sleep(0.2)
        with self.api.connect() as connection:
            connection.head("PUT", path, [("Transfer-Encoding", "chunked")])
            connection.send(b"64\r\n" + b"x" * 50)
            time.sleep(0.2)
        deadline = time.monotonic() + 20
        while self.staged() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.staged(), [])
        self.assertEqual(self.api.get(model).status, 404)
        self.assertEqual(self.api.put(path, small()).status, 201)

    def staged(self):
        return [name for _, _, names in os.walk(os.path.join(self.daemon.data, "staging"))
                for name in names if not name.endswith(".lock")]

    def test_a_bad_chunk_is_refused(self):
        path = self.at(self.fresh(), "one")
        for chunk in (b"zz\r\nabc\r\n", b"-5\r\nabc\r\n", b"ffffffffffffffffff\r\nabc\r\n",
                      b"3\r\nabcdef\r\n0\r\n\r\n"):
            with self.subTest(chunk), self.api.connect(20) as connection:
                connection.head("PUT", path, [("Transfer-Encoding", "chunked")])
                connection.send(chunk)
                try:
                    status = int(connection.line().split(" ")[1])
                    self.assertIn(status, (400, 413))
                except Cut:
                    pass
        self.assertEqual(self.api.get(path).status, 404)


class Names(ApiTest):
    def test_bad_labels(self):
        for label in ("v7", "v0", ".x", "-x", "a%20b", "x" * 129, "a%C3%A4", "%40x", "a:b", "sha256:0"):
            with self.subTest(label):
                response = self.api.put(self.fresh() + "/versions/" + label, small())
                self.assert_problem(response, 400, "bad-name")

    def test_bad_parts(self):
        for part in (".git", "a--b", "a..b", "a.", "a-", "-a", "_a", "x" * 97, "a%20b", "a%3Ab", "%2B"):
            for path in ("/v1/models/%s/b/versions/one", "/v1/models/a/%s/versions/one"):
                with self.subTest(path % part):
                    response = self.api.put(path % part, small())
                    self.assert_problem(response, 400, "bad-name")

    def test_good_names(self):
        for number, (part, label) in enumerate([("a", "1"), ("A_9", "step=1000"), ("x" * 96, "y" * 128),
                                                ("a.b-c_d", "2026-11-23T15.04+0100"), ("v7", "v7x")]):
            path = "/v1/models/good%d/%s/versions/%s" % (number, part, label)
            response = self.api.put(path, small())
            self.assertEqual(response.status, 201, response.body)
            self.assertEqual(self.api.get(path).json()["version"], label)

    def test_escapes_that_deceive_are_refused(self):
        for path in ("/v1/models/a%2Fb/c/versions/one", "/v1/models/a/b/versions/%2e%2e",
                     "/v1/models/a/../b/versions/one", "/v1/models/a/b/versions/x%00y",
                     "/v1/models/a//versions/one", "/v1/models/a/b/versions/x%zz",
                     "/v1/models/a/b/versions/x%"):
            with self.subTest(path):
                response = self.api.put(path, small())
                self.assertIn(response.status, (400, 404))
        self.assertEqual(self.api.get("/v1/models/a").status, 404)

    def test_names_that_differ_only_in_case(self):
        self.assertEqual(self.api.put("/v1/models/Case/One/versions/x", small()).status, 201)
        for path in ("/v1/models/case/One/versions/x", "/v1/models/Case/one/versions/x"):
            self.assert_problem(self.api.put(path, small()), 409, "conflict")


class BadManifests(ApiTest):
    flags = ("--manifest-bytes", "64MiB")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = "/v1/models/test/manifests/versions/one"
        cls.api.put(cls.path, small(), wait=20)

    def ask(self, body, headers=(), **parameters):
        return self.api.post(self.path + "/compatibility", body, headers, **parameters)

    def test_no_manifest(self):
        self.assert_problem(self.ask(b""), 400, "bad-request", "manifest")
        self.assert_problem(self.ask(None), 400, "bad-request", "manifest")

    def test_not_well_formed(self):
        for body in (b"{", b'{"a": [1]', b'{"a": [1]} x', b'{"a": "\xff"}', b'{"a\x00b": [1]}',
                     b'\xff\xfe{\x00', b"a: [1\n", b"a: b: c\n", b"\x00"):
            with self.subTest(body):
                self.assert_problem(self.ask(body), 400, "bad-json")

    def test_what_is_no_json_is_read_as_yaml(self):
        for body in (b'{"fc.bias": [4,]}', b"{'fc.bias': [4]}", b"{fc.bias: [4]}"):
            self.assertEqual(self.ask(body).json()["verdict"], "non_strict")
        for body in (b'{"a": [01x]}', b'{"a": NaN}'):
            self.assert_problem(self.ask(body), 422, "bad-manifest")

    def test_a_key_twice(self):
        for body in (b'{"a.b": [1], "a.b": [1]}', b'{"tensors": {"a": [1], "a": [2]}}',
                     b"a.b: [1]\na.b: [1]\n"):
            response = self.ask(body)
            self.assert_problem(response, 400, "bad-json", "twice")

    def test_well_formed_and_wrong(self):
        def schema(**members):
            return json.dumps({"schema": "ckptd/manifest/1", **members}).encode()

        for name, body in {
            "a number": b"17", "a list": b"[1, 2]", "a text": b'"manifest"', "null": b"null",
            "no tensors": schema(), "tensors as a list": schema(tensors=[]),
            "a shape of words": schema(tensors={"a": {"shape": ["x"]}}),
            "a negative dimension": schema(tensors={"a": {"shape": [-1]}}),
            "a fraction": schema(tensors={"a": {"shape": [1.5]}}),
            "an unknown dtype": schema(tensors={"a": {"shape": [1], "dtype": "float31"}}),
            "another schema": b'{"schema": "ckptd/manifest/9", "tensors": {}}',
            "a bare shape of words": b'{"a": "b"}',
            "an unknown loader": schema(tensors={"a": {"shape": [1]}}, load={"loader": "keras"}),
            "a huge dimension": b'{"a": [99999999999999999999999]}',
        }.items():
            with self.subTest(name):
                response = self.ask(body)
                self.assert_problem(response, 422, "bad-manifest")

    def test_64_mib_of_brackets(self):
        before = self.memory()
        for bracket in (b"[", b"{"):
            response = self.ask(bracket * ((64 << 20) - 1), timeout=60)
            self.assertIn(response.status, (400, 413, 422))
        self.assertLess(self.memory() - before, 512 << 20)
        self.assertEqual(self.api.get("/livez").status, 200)

    def memory(self):
        """The daemon's peak of resident memory."""
        with open("/proc/%d/status" % self.daemon.process.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10
        return 0

    def test_more_than_64_mib(self):
        response = self.api.early("POST", self.path + "/compatibility", (64 << 20) + 1)
        self.assert_problem(response, 413, "body-too-large")

    def test_deep_nesting(self):
        for depth in (17, 1000, 100000):
            response = self.ask(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")
            self.assertIn(response.status, (400, 413, 422))

    def test_yaml_that_grows(self):
        bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((98 + i,) * 2 + (97 + i,) * 9)
            for i in range(20))
        start = time.monotonic()
        self.assertIn(self.ask(bomb).status, (400, 413, 422))
        self.assertLess(time.monotonic() - start, 10)

    def test_a_bad_remap(self):
        for remap, status, kind in (("{", 400, "bad-json"), ("a.{*} => b", 422, "bad-remap"),
                                    ("a.{*} -> b.{x}", 422, "bad-remap"),
                                    ('{"schema": "ckptd/remap/1", "passes": 3}', 422, "bad-remap"),
                                    ("{*} -> same", 422, "bad-remap")):
            with self.subTest(remap):
                self.assert_problem(self.ask(manifest(SMALL), remap=remap), status, kind)


class Space(ApiTest):
    """A disk that is small, and is full before the upload's end."""

    @classmethod
    def setUpClass(cls):
        cls.folder = None
        if os.geteuid() != 0:
            raise unittest.SkipTest("a small file system needs root")
        cls.folder = tempfile.mkdtemp(prefix="ckptd-api-small-")
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "ckptd", cls.folder],
                                 stderr=subprocess.DEVNULL, check=False)
        if mounted.returncode != 0:
            os.rmdir(cls.folder)
            raise unittest.SkipTest("mounting is not allowed here")
        cls.daemon = Daemon(cls.folder, ["--reserve-bytes", "1MiB"]).start()
        cls.api = cls.daemon.client

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        subprocess.run(["umount", cls.folder], check=True)
        os.rmdir(cls.folder)

    def test_a_full_disk_refuses_and_goes_on(self):
        model = self.fresh()
        response = self.api.early("PUT", self.at(model, "large"), 100 << 20)
        self.assert_problem(response, 507, "no-space")
        try:
            response = self.api.put(self.at(model, "large"), (bytes(1 << 20) for _ in range(100)))
            self.assert_problem(response, 507, "no-space")
        except Cut:
            pass
        self.assertEqual(self.api.get(model).status, 404)
        path = self.upload(small(), model)
        self.assertEqual(self.api.get(path + "/files/checkpoint").body, small())
        fill = 0
        for fill in range(100):
            response = self.api.put(self.at(model, "fill-%d" % fill),
                                    safetensors({"w%d" % fill: [1 << 18]}, fill))
            if response.status != 201:
                break
        self.assert_problem(response, 507, "no-space")
        self.assertGreater(fill, 5)
        self.assertEqual(self.api.get(model).json()["versions"], fill + 1)
        self.assertEqual(self.api.get(path).json()["state"], "ready")


class Inspectors(ApiTest):
    flags = ("--inspection-seconds", "2")

    def test_a_killed_zygote_is_replaced(self):
        for number in range(3):
            for pid in self.daemon.zygotes():
                os.kill(pid, signal.SIGKILL)
            self.upload(safetensors({"killed%d" % number: [2]}))

    def test_a_zygote_that_hangs_does_not_hang_the_daemon(self):
        pids = self.daemon.zygotes()
        self.assertTrue(pids)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        path = self.at(self.fresh(), "one")
        response = self.api.put(path, safetensors({"hanging": [2]}))
        self.assertEqual((response.status, response.json()["state"]), (201, "pending"))
        self.assertEqual(self.api.get("/livez").status, 200)
        try:
            version = self.api.get(path, wait=60).json()
        finally:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        self.assertEqual(version["state"], "ready")  # one that hangs is replaced, too
        self.upload(safetensors({"after.hanging": [2]}))

    def test_children_killed_on_the_job_fail_the_version_or_are_retried(self):
        path = self.at(self.fresh(), "one")
        body = safetensors({"layer.%d.weight" % i: [1] for i in range(50000)})
        stop = time.monotonic() + 3
        self.api.put(path, body)
        while time.monotonic() < stop:
            for zygote in self.daemon.zygotes():
                for pid in self.children_of(zygote):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        version = self.api.get(path, wait=60).json()
        self.assertIn(version["state"], ("ready", "failed"))
        self.assertEqual(self.api.get(path + "/files/checkpoint").headers["ETag"].strip('"')[-64:],
                         hex_digest(body)[7:])
        self.upload(safetensors({"after.killing": [2]}))

    def children_of(self, parent):
        try:
            with open("/proc/%d/task/%d/children" % (parent, parent), encoding="ascii") as file:
                return [int(word) for word in file.read().split()]
        except OSError:
            return []

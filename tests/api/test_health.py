"""Health, the contract itself, what holds for every request, and the end of the daemon."""

import ctypes
import os
import threading
import time
import unittest

from support.case import ApiTest
from support.checkpoints import small
from support.client import Cut
from support.contract import CONTRACT, ROOT
from support.daemon import Daemon, DaemonError


def expected_layers():
    """What this kernel and this build have, asked without the daemon."""
    with open(Daemon.path, "rb") as file:
        is_sanitized = b"__sanitizer_" in file.read()
    # landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)
    abi = ctypes.CDLL(None, use_errno=True).syscall(444, None, ctypes.c_size_t(0), 1)
    return (["rlimits", "no_new_privs"] + (["landlock %d" % min(abi, 7)] if abi > 0 else []) +
            ([] if is_sanitized else ["seccomp"]))


class Health(ApiTest):
    def test_livez_says_live(self):
        response = self.api.get("/livez")
        self.assertEqual((response.status, response.json()), (200, {"status": "live"}))

    def test_readyz_says_ready(self):
        response = self.api.get("/readyz")
        self.assertEqual((response.status, response.json()), (200, {"status": "ready"}))

    def test_readyz_tells_more_when_asked(self):
        details = self.api.get("/readyz", verbose="true").json()
        self.assertGreater(details["free_bytes"], 0)
        self.assertEqual(details["versions"]["pending"], 0)

    def test_readyz_tells_the_sandbox_that_was_measured(self):
        layers = self.api.get("/readyz", verbose="true").json()["sandbox"].split(", ")
        self.assertEqual(layers, expected_layers())

    def test_root_leads_on(self):
        response = self.api.get("/")
        self.assertEqual(response.status, 200)
        self.assertIn("/openapi.yaml", response.text())

    def test_the_contract_is_served_as_it_is_in_the_tree(self):
        response = self.api.get("/openapi.yaml")
        with open(os.path.join(ROOT, "openapi.yaml"), "rb") as file:
            self.assertEqual(response.body, file.read())
        again = self.api.get("/openapi.yaml", {"If-None-Match": response.headers["ETag"]})
        self.assertEqual(again.status, 304)

    def test_the_client_is_served_and_is_python(self):
        response = self.api.get("/ckptd.py")
        self.assertEqual(response.status, 200)
        compile(response.text(), "ckptd.py", "exec")


class Sandbox(unittest.TestCase):
    def run_with(self, how):
        daemon = Daemon(flags=["--sandbox", how])
        try:
            daemon.start()
            details = daemon.client.get("/readyz", verbose="true").json()
            target = "/v1/models/test/sandbox/versions/one"
            self.assertEqual(daemon.client.put(target, small(), filename="m.safetensors").status,
                             201)
            state = daemon.client.get(target, wait=20).json()["state"]
            return details["sandbox"].split(", "), state, list(daemon.records())
        finally:
            daemon.remove()

    def test_off_leaves_the_limits_and_warns(self):
        layers, state, records = self.run_with("off")
        self.assertEqual((layers, state), (["rlimits", "no_new_privs"], "ready"))
        self.assertIn("landlock, seccomp", [r.get("missing") for r in records
                                            if r["level"] == "warning"])

    def test_require_serves_where_all_is_there_and_else_refuses(self):
        has_all = len(expected_layers()) == 4
        try:
            layers, state, records = self.run_with("require")
        except DaemonError as error:
            self.assertFalse(has_all)
            self.assertIn("the sandbox is required, but lacks", str(error))
            return
        self.assertTrue(has_all)
        self.assertEqual((layers, state), (expected_layers(), "ready"))
        self.assertIn(", ".join(layers), [r.get("sandbox") for r in records
                                          if r["msg"] == "listening"])


class InertGlobals(unittest.TestCase):
    """The list counts from the next start on, for what was inspected before, too."""

    def safety(self, daemon, target):
        version = daemon.client.get(target, wait=20).json()
        levels = {f["severity"] for f in version["inspection"]["findings"]
                  if f["id"] == "pickle.global-unlisted"}
        listed = daemon.client.get(target + "/findings").json()
        self.assertEqual(listed["safety"], version["safety"])
        return version["safety"], levels, version["inspection"]["weights_only"]["needs"]

    def test_a_list_counts_as_long_as_it_is_given(self):
        with open(os.path.join(ROOT, "tests/cases/torch-zip/class-as-key/input.pt"), "rb") as file:
            body = file.read()
        name = "torch.nn.modules.linear.Linear"
        target = "/v1/models/test/inert/versions/one"
        daemon = Daemon()
        try:
            daemon.start()
            self.assertEqual(daemon.client.put(target, body).status, 201)
            self.assertEqual(self.safety(daemon, target), ("unlisted", {"warning"}, [name]))
            with open(os.path.join(daemon.data, "..", "%s.txt" % os.path.basename(daemon.data)),
                      "w", encoding="ascii") as file:
                file.write("# ours\n%s\n" % name)
            for flags, want in [(["--inert-globals", file.name], ("clean", {"info"}, [name])),
                                ([], ("unlisted", {"warning"}, [name]))]:
                daemon.terminate()
                self.assertEqual(daemon.wait(), 0)
                daemon.flags = flags
                daemon.start()
                self.assertEqual(self.safety(daemon, target), want)
            os.unlink(file.name)
        finally:
            daemon.remove()


class EveryRequest(ApiTest):
    def test_head_has_the_headers_of_get(self):
        model = self.fresh()
        path = self.upload(small(), model, filename="m.safetensors")
        for target in ["/", "/livez", "/readyz", "/openapi.yaml", "/ckptd.py", "/v1/models",
                       "/v1/models/test", model, model + "/versions", path, path + "/tensors",
                       path + "/findings", path + "/files/m.safetensors",
                       path + "/tensor-data?name=fc.bias"]:
            with self.subTest(target):
                get, head = self.api.get(target), self.api.head(target)
                self.assertEqual(get.status, 200)
                self.assertEqual(head.status, 200)
                for name in ("Content-Type", "Content-Length", "ETag", "Accept-Ranges"):
                    self.assertEqual(head.headers.get(name), get.headers.get(name), name)

    def test_an_unknown_path_is_404(self):
        for path in ["/v2", "/v1", "/v1/model", "/v1/models/a/b/c", "/favicon.ico",
                     "/v1/models/a/b/versions/c/d"]:
            self.assert_problem(self.api.get(path), 404, "not-found")

    def test_a_foreign_method_is_405_and_tells_those_there_are(self):
        for method, path, allowed in [("POST", "/livez", "GET"), ("DELETE", "/v1/models", "GET"),
                                      ("PATCH", "/v1/models/a/b/versions/c", "PUT"),
                                      ("PUT", "/v1/models/a/b/versions", "POST"),
                                      ("GET", "/v1/models/a/b/versions/c/compatibility", "POST")]:
            with self.subTest(method + path):
                response = self.api.request(method, path)
                self.assert_problem(response, 405, "method-not-allowed")
                self.assertIn(allowed, response.headers["Allow"])

    def test_options_tells_the_methods(self):
        response = self.api.request("OPTIONS", "/v1/models/a/b/versions/c")
        self.assertEqual(response.status, 204)
        for method in ("GET", "HEAD", "PUT"):
            self.assertIn(method, response.headers["Allow"])

    def test_every_operation_refuses_a_parameter_it_does_not_know(self):
        for template, item in CONTRACT.spec["paths"].items():
            path = (template.replace("{ns}", "a").replace("{model}", "b").replace("{ref}", "c")
                    .replace("{path}", "d"))
            for method in set(item) - {"parameters"}:
                with self.subTest(method + " " + template):
                    response = self.api.request(method.upper(), path, b"x" if method != "get" else
                                                None, no_such_parameter="1")
                    self.assert_problem(response, 400, "bad-request", "no_such_parameter")

    def test_a_parameter_given_twice_is_400(self):
        self.assert_problem(self.api.get("/v1/models?limit=1&limit=2"), 400, "bad-request", "limit")

    def test_the_clients_request_id_is_kept_if_it_is_plausible(self):
        response = self.api.get("/livez", {"X-Request-Id": "job-17.epoch_3"})
        self.assertEqual(response.headers["X-Request-Id"], "job-17.epoch_3")
        for bad in ("a b", "x" * 500, "<script>", 'a"b'):
            response = self.api.get("/livez", {"X-Request-Id": bad})
            self.assertNotEqual(response.headers["X-Request-Id"], bad)

    def test_two_requests_have_two_ids(self):
        ids = {self.api.get("/livez").headers["X-Request-Id"] for _ in range(20)}
        self.assertEqual(len(ids), 20)

    def test_a_connection_serves_many_requests(self):
        with self.api.connect() as connection:
            for _ in range(100):
                connection.head("GET", "/livez", [])
                self.assertEqual(connection.response("GET", "/livez").status, 200)

    def test_requests_in_a_row_are_answered_in_their_order(self):
        with self.api.connect() as connection:
            for path in ("/livez", "/readyz", "/nothing"):
                connection.head("GET", path, [])
            answers = [connection.response("GET", path).status
                       for path in ("/livez", "/readyz", "/nothing")]
        self.assertEqual(answers, [200, 200, 404])

    def test_a_foreign_host_is_refused(self):
        for host in ("evil.example", "127.0.0.1.evil.example", "169.254.169.254"):
            self.assert_problem(self.api.get("/livez", {"Host": host}), 421, "misdirected-request")

    def test_loopbacks_names_are_taken(self):
        for host in ("127.0.0.1", "localhost", "127.0.0.1:%d" % self.api.port, "[::1]:8420"):
            self.assertEqual(self.api.get("/livez", {"Host": host}).status, 200, host)

    def test_another_sites_page_changes_nothing(self):
        path = self.at(self.fresh(), "one")
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
                        {"Origin": "null"}):
            with self.subTest(headers):
                self.assert_problem(self.api.put(path, small(), headers), 403, "cross-site")
        self.assertEqual(self.api.get(path).status, 404)
        own = {"Origin": "http://127.0.0.1:%d" % self.api.port, "Sec-Fetch-Site": "same-origin",
               "Host": "127.0.0.1:%d" % self.api.port}
        self.assertEqual(self.api.put(path, small(), own).status, 201)

    def test_shapes_that_smuggle_are_refused(self):
        target = self.at(self.fresh(), "one")
        for name, lines in {
            "two lengths": "Content-Length: 4\r\nContent-Length: 40",
            "length and chunks": "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "another coding": "Transfer-Encoding: gzip, chunked",
            "space before the colon": "Content-Length : 4",
            "two hosts": "Host: localhost\r\nContent-Length: 4",
            "folded": "Content-Length:\r\n 4",
        }.items():
            with self.subTest(name), self.api.connect(20) as connection:
                connection.send(("PUT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n"
                                 "abcdGET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
                                 % (target, lines)).encode())
                response = connection.response("PUT", target)
                self.assertEqual(response.status, 400)
                with self.assertRaises(Cut):
                    connection.line()
        self.assertEqual(self.api.get(target).status, 404)

    def test_too_long_a_path_or_header_is_refused(self):
        response = self.api.get("/v1/models/" + "a" * 20000)
        self.assert_problem(response, 414, "uri-too-long")
        response = self.api.get("/livez", {"X-Long": "a" * 30000})
        self.assert_problem(response, 431, "header-too-large")
        response = self.api.get("/livez", [("X-%d" % i, "a") for i in range(200)])
        self.assert_problem(response, 431, "header-too-large")


class Drain(ApiTest):
    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def test_sigterm_lets_an_upload_finish_and_refuses_new_ones(self):
        daemon = Daemon().start()
        try:
            body = small()
            with daemon.client.connect() as upload, daemon.client.connect() as idle:
                idle.head("GET", "/livez", [])
                self.assertEqual(idle.response("GET", "/livez").status, 200)
                target = "/v1/models/test/drain/versions/one"
                upload.head("PUT", target, [("Content-Length", str(len(body)))])
                upload.send(body[:20])
                time.sleep(0.3)  # so that the body has begun
                daemon.terminate()
                time.sleep(0.5)
                try:
                    idle.head("PUT", "/v1/models/test/drain/versions/two", [("Content-Length", "4")])
                    response = idle.response("PUT", "/v1/models/test/drain/versions/two")
                    self.assert_problem(response, 503, "draining")
                except (Cut, BrokenPipeError):
                    pass  # the idle connection was closed at once: that refuses as well
                upload.send(body[20:])
                response = upload.response("PUT", target)
                self.assertEqual(response.status, 201)
            self.assertEqual(daemon.wait(), 0)
            daemon.start()
            self.assertEqual(daemon.client.get(target, wait=20).json()["state"], "ready")
            daemon.terminate()
            self.assertEqual(daemon.wait(), 0)
        finally:
            daemon.remove()

    def test_an_idle_daemon_stops_at_once(self):
        daemon = Daemon().start()
        try:
            start = time.monotonic()
            daemon.terminate()
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - start, 10)
        finally:
            daemon.remove()

    def test_who_waits_is_answered_when_it_stops(self):
        daemon = Daemon().start()
        try:
            for pid in daemon.zygotes():
                os.kill(pid, 19)  # SIGSTOP: nothing gets inspected
            target = "/v1/models/test/drain/versions/one"
            self.assertEqual(daemon.client.put(target, small()).status, 201)
            answers = []
            thread = threading.Thread(
                target=lambda: answers.append(daemon.client.get(target, wait=60).json()["state"]))
            thread.start()
            time.sleep(0.5)
            start = time.monotonic()
            daemon.terminate()
            thread.join(30)
            self.assertEqual(answers, ["pending"])
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - start, 30)
        finally:
            daemon.remove()

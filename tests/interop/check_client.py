#!/usr/bin/env python3
"""deploy/client/ckptd.py with real PyTorch, and against a server of its own that answers as the daemon
does. Ends with "N passed, N failed"."""
import contextlib
import http.server
import io
import json
import os
import sys
import tempfile
import threading
import unittest

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = os.path.join(HERE, "..", "..", "deploy", "client", "ckptd.py")
sys.path.insert(0, os.path.dirname(CLIENT))
import ckptd  # noqa: E402

MODELS = '''
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.embed = nn.Embedding(5, width)
        self.head = nn.Linear(width, 5, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(width)
        self.lazy = nn.LazyLinear(2)
        self.register_module("down", None)

class NoMeta(nn.Module):
    """Its constructor looks at values, which the meta device has none of."""
    def __init__(self):
        super().__init__()
        self.steps = int(torch.linspace(0, 1, 3).sum().item())
        self.w = nn.Parameter(torch.ones(self.steps))

ready = Net(4)

def broken():
    raise ValueError("no such backbone")

def number():
    return 3
'''


class Entries(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        with open(os.path.join(self.folder.name, "zoo.py"), "w") as out:
            out.write(MODELS)

    def tearDown(self):
        self.folder.cleanup()
        sys.modules.pop("zoo", None)
        sys.path[:] = [path for path in sys.path if path != os.path.realpath(self.folder.name)]

    def run_client(self, *words):
        """In this process, as importing torch takes seconds."""
        out, err, home = io.StringIO(), io.StringIO(), os.getcwd()
        os.chdir(self.folder.name)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = ckptd.main(list(words))
        finally:
            os.chdir(home)
        return code, out.getvalue(), err.getvalue()

    def test_prints_the_same_each_time(self):
        first = self.run_client("manifest", "zoo:Net", "--kwargs", '{"width": 7}')
        self.assertEqual(first, self.run_client("manifest", "zoo:Net", "--kwargs", '{"width": 7}'))
        document = json.loads(first[1])
        self.assertEqual(document["tensors"]["embed.weight"]["shape"], [5, 7])
        self.assertEqual(document["tied"], [["embed.weight", "head.weight"]])
        self.assertEqual(document["modules"]["norm"], {"type": "torch.nn.BatchNorm1d", "version": 2})
        self.assertEqual(document["modules"]["down"], {"type": None})
        self.assertTrue(document["modules"]["lazy"]["lazy"])
        self.assertIsNone(document["tensors"]["lazy.weight"]["shape"])
        self.assertEqual(document["source"], {"entry": "zoo:Net", "kwargs": {"width": 7}})

    def test_stands_a_tensor_a_line(self):
        lines = self.run_client("manifest", "zoo:Net")[1].splitlines()
        self.assertTrue(any(line.startswith('    "norm.weight": {') for line in lines))

    def test_takes_a_module_that_is_ready(self):
        self.assertEqual(self.run_client("manifest", "zoo:ready")[0], 0)

    def test_builds_on_the_cpu_where_meta_fails(self):
        code, out, err = self.run_client("manifest", "zoo:NoMeta")
        self.assertEqual(code, 0)
        self.assertEqual(json.loads(out)["tensors"]["w"]["shape"], [1])
        self.assertIn("built on the CPU", err)
        self.assertEqual(self.run_client("manifest", "zoo:NoMeta", "--device", "meta")[0], 3)

    def test_checks_a_file(self):
        self.assertEqual(self.run_client("manifest", "zoo:Net", "-o", "net.json")[0], 0)
        self.assertEqual(self.run_client("manifest", "zoo:Net", "--check", "net.json")[:2], (0, ""))
        with open(os.path.join(self.folder.name, "net.json")) as kept:
            document = json.load(kept)
        document["expect"] = {"allow_missing": ["head.*"]}  # the author's own, no matter of the code
        with open(os.path.join(self.folder.name, "net.json"), "w") as out:
            json.dump(document, out)
        self.assertEqual(self.run_client("manifest", "zoo:Net", "--check", "net.json")[0], 0)
        code, out, _ = self.run_client("manifest", "zoo:Net", "--check", "net.json", "--kwargs", '{"width": 9}')
        self.assertEqual(code, 1)
        self.assertIn('-    "embed.weight": {"shape": [5, 3]', out)
        self.assertIn('+    "embed.weight": {"shape": [5, 9]', out)

    def test_says_what_is_wrong_with_an_entry(self):
        for words, says in [
            (["zoo:Nett"], "did you mean Net or NoMeta?"),
            (["zooo:Net"], "cannot import zooo"),
            (["zoo"], "is no entry"),
            (["zoo:nn"], "not a class"),
            (["zoo:number"], "gave int, not a torch.nn.Module"),
            (["zoo:broken"], "no such backbone"),
            (["zoo:Net", "--kwargs", "width=3"], "is not JSON"),
            (["zoo:Net", "--kwargs", "[3]"], "must be a JSON object"),
            (["zoo:Net", "--kwargs", '{"depth": 3}'], "It takes (width=3)"),
            (["zoo:Net", "--check", "nowhere.json"], "nowhere.json"),
            (["timm:resnet50"], "timm"),
        ]:
            code, out, err = self.run_client("manifest", *words)
            self.assertEqual((code, out), (3, ""), words)
            self.assertIn(says, err)
            self.assertNotIn("Traceback", err)


class Rows(unittest.TestCase):
    """The rows of "modules": what decides loading is named, and all else is left out."""

    def row(self, module):
        return ckptd.manifest(module)["modules"].get("")

    def test_plain_modules_have_none(self):
        for module in (nn.Linear(2, 2), nn.LSTM(2, 2), nn.MultiheadAttention(4, 2), nn.LayerNorm(3)):
            self.assertIsNone(self.row(module))

    def test_a_subclass_names_its_base(self):
        class Mine(nn.BatchNorm2d):
            pass

        self.assertEqual(self.row(Mine(3))["base"], "torch.nn.BatchNorm2d")

    def test_statistics_that_the_buffers_do_not_tell(self):
        module = nn.BatchNorm1d(3)
        module.track_running_stats = False
        self.assertIs(self.row(module)["track_running_stats"], False)

    def test_hooks_of_torch_are_known(self):
        new = torch.nn.utils.parametrizations
        self.assertEqual(self.row(new.weight_norm(nn.Linear(2, 2)))["weight_norm"], ["weight"])
        self.assertEqual(self.row(new.weight_norm(nn.Linear(2, 2)))["type"], "torch.nn.Linear")
        old = torch.nn.utils.spectral_norm(nn.ConvTranspose2d(2, 2, 2))
        self.assertEqual(self.row(old)["spectral_norm"], {"weight": 1})
        self.assertEqual(self.row(new.spectral_norm(nn.Linear(2, 2))), {"type": "torch.nn.Linear"})

    def test_code_of_ones_own_is_custom(self):
        class Mine(nn.Linear):
            def _load_from_state_dict(self, *args):
                super()._load_from_state_dict(*args)

        class Whole(nn.Linear):
            def load_state_dict(self, *args, **options):
                return super().load_state_dict(*args, **options)

        hooked = nn.Linear(2, 2)
        hooked.register_load_state_dict_post_hook(lambda module, keys: None)
        self.assertTrue(self.row(Mine(2, 2))["custom_load"])
        self.assertIn("Mine._load_from_state_dict", self.row(Mine(2, 2))["hooks"][0])
        self.assertTrue(self.row(Whole(2, 2))["custom_load"])
        self.assertTrue(self.row(hooked)["post_hook"])
        self.assertNotIn("custom_load", self.row(hooked))

    def test_what_is_not_saved_is_not_expected(self):
        module = nn.Module()
        module.register_buffer("cache", torch.ones(2), persistent=False)
        module.register_parameter("off", None)
        self.assertEqual(ckptd.manifest(module)["tensors"], {})

    def test_only_modules_are_taken(self):
        with self.assertRaises(ckptd.CkptdError):
            ckptd.manifest({"w": torch.ones(1)})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        status, headers, reply = self.server.replies.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *words):
        pass


class Asking(unittest.TestCase):
    def setUp(self):
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked, self.server.replies = [], []
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def tearDown(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def reply(self, status, reply, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.server.replies.append((status, headers, json.dumps(reply).encode()))

    def test_posts_the_manifest_and_returns_the_report(self):
        self.reply(200, {"verdict": "strict"}, Ckptd_Verdict="strict")
        report = ckptd.check(
            nn.Linear(2, 3), "vision/net@production", server=self.url + "/", token="t", allow_missing=["a.*", "b"]
        )
        path, headers, body = self.server.asked[0]
        self.assertEqual(report["verdict"], "strict")
        self.assertEqual(
            path,
            "/v1/models/vision/net/versions/@production/compatibility?allow_missing=a.%2A&allow_missing=b",
        )
        self.assertEqual(headers["Authorization"], "Bearer t")
        self.assertEqual(json.loads(body)["tensors"]["bias"]["shape"], [3])

    def test_an_unmet_requirement_is_a_report_too(self):
        self.reply(409, {"verdict": "partial"}, Ckptd_Verdict="partial")
        report = ckptd.check("{}", "a/b", server=self.url, require="strict")
        self.assertEqual(report["verdict"], "partial")
        self.assertIn("/versions/@latest/compatibility?require=strict", self.server.asked[0][0])

    def test_asks_again_while_the_inspection_is_pending(self):
        self.reply(503, {"title": "pending"}, Retry_After="0.1")
        self.reply(200, {"verdict": "strict"}, Ckptd_Verdict="strict")
        self.assertEqual(ckptd.check("{}", "a/b/v1", server=self.url)["verdict"], "strict")

    def test_a_problem_is_told_in_its_words(self):
        self.reply(404, {"title": "There is no such thing", "detail": "no model a/b"})
        with self.assertRaises(ckptd.CkptdError) as caught:
            ckptd.check("{}", "a/b", server=self.url)
        self.assertIn("404", str(caught.exception))
        self.assertIn("no model a/b", str(caught.exception))
        self.assertEqual(caught.exception.problem["detail"], "no model a/b")

    def test_no_server_and_no_version_are_told(self):
        with self.assertRaises(ckptd.CkptdError) as caught:
            ckptd.check("{}", "a/b", server="http://127.0.0.1:1")
        self.assertIn("--server", str(caught.exception))
        for wrong in ("a", "a/b/c/d", "a/b@", "a//c", "@x", "a/b/c@d"):
            with self.assertRaises(ckptd.CkptdError):
                ckptd.check("{}", wrong, server=self.url)

    def test_the_exit_code_is_the_verdicts(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.json")
            with open(path, "w") as out:
                out.write('{"w": [1]}')
            for verdict, status, level, code in [
                ("strict", 200, "strict", 0),
                ("strict_after_remap", 200, "strict_after_remap", 0),
                ("non_strict", 409, "strict_after_remap", 1),
                ("incompatible", 409, "partial", 1),
                ("unknown", 422, "strict", 2),
            ]:
                self.reply(status, {"verdict": verdict}, Ckptd_Verdict=verdict)
                with contextlib.redirect_stdout(io.StringIO()):
                    got = ckptd.main(["check", path, "a/b", "--server", self.url, "--require", level, "--json"])
                self.assertEqual(got, code, verdict)
            self.reply(500, {"title": "defect"})
            with contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(ckptd.main(["check", path, "a/b", "--server", self.url]), 3)


if __name__ == "__main__":
    result = unittest.TextTestRunner(stream=sys.stderr).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    )
    wrong = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - wrong, wrong))
    sys.exit(1 if wrong else 0)

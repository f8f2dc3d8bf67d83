"""The compatibility endpoint: verdicts, parameters, manifests in each form."""

import json
import os
import signal
import threading
import time

from support.case import ApiTest
from support.checkpoints import SMALL, manifest, prefixed, safetensors, small
from support.client import hex_digest, to_json

SHAPES = {"conv.weight": [8, 3, 3, 3], "conv.bias": [8], "bn.weight": [8], "bn.bias": [8],
          "fc.weight": [10, 8], "fc.bias": [10]}
WIDER = dict(SHAPES, **{"fc.weight": [12, 8], "fc.bias": [12]})


class Compatibility(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = cls.store("plain", safetensors(SHAPES))
        cls.wrapped = cls.store("wrapped", safetensors(prefixed(SHAPES, "module.")))

    @classmethod
    def store(cls, model, body):
        path = "/v1/models/test/%s/versions/one" % model
        response = cls.api.put(path, body, wait=30)
        assert response.json()["state"] == "ready", response.body
        return path

    def ask(self, path, body, headers=(), **parameters):
        return self.api.post(path + "/compatibility", body, headers, **parameters)

    def verdict(self, path, body, **parameters):
        response = self.ask(path, body, **parameters)
        self.assertEqual(response.status, 200, response.body)
        return response.json()["verdict"]


class Verdicts(Compatibility):
    def test_strict(self):
        response = self.ask(self.path, manifest(SHAPES, name="mine"))
        report = response.json()
        self.assertEqual((response.status, response.headers["Ckptd-Verdict"]), (200, "strict"))
        self.assertEqual((report["verdict"], report["as_is"]["strict"]), ("strict", True))
        self.assertEqual(report["as_is"]["counts"]["matched"], len(SHAPES))
        self.assertEqual(report["manifest"]["name"], "mine")
        version = self.api.get(self.path).json()
        self.assertEqual(report["checkpoint"], {"model": "test/plain", "ref": "one", "version": "one",
                                                "serial": 1, "digest": version["digest"]})

    def test_strict_after_remap(self):
        report = self.ask(self.wrapped, manifest(SHAPES)).json()
        self.assertEqual(report["verdict"], "strict_after_remap")
        self.assertEqual(report["as_is"]["strict"], False)
        self.assertEqual(sorted(report["as_is"]["missing"]), sorted(SHAPES))
        self.assertEqual(report["after_remap"]["strict"], True)
        rule = report["remap"]["passes"][0]["keys"][0]
        self.assertEqual((rule["from"], rule["to"], rule["count"]), ("module.{*}", "{*}", 6))

    def test_a_reports_remap_can_be_given_back(self):
        remap = self.ask(self.wrapped, manifest(SHAPES)).json()["remap"]
        report = self.ask(self.wrapped, manifest(SHAPES), remap=json.dumps(remap)).json()
        self.assertEqual(report["verdict"], "strict_after_remap")
        self.assertEqual(self.verdict(self.wrapped, manifest(SHAPES), remap="module.{*} -> {*}"),
                         "strict_after_remap")

    def test_with_a_remap_given_nothing_else_is_looked_for(self):
        self.assertNotEqual(self.verdict(self.wrapped, manifest(SHAPES), remap="other.{*} -> {*}"),
                            "strict_after_remap")
        self.assertNotEqual(self.verdict(self.wrapped, manifest(SHAPES), infer="none"),
                            "strict_after_remap")
        self.assertEqual(self.verdict(self.wrapped, manifest(SHAPES), remap="other.{*} -> {*}",
                                      infer="full"), "strict_after_remap")

    def test_non_strict(self):
        more = dict(SHAPES, **{"head.bias": [2]})
        report = self.ask(self.path, manifest(more)).json()
        self.assertEqual((report["verdict"], report["as_is"]["missing"]), ("non_strict", ["head.bias"]))

    def test_partial(self):
        report = self.ask(self.path, manifest(WIDER)).json()
        self.assertEqual(report["verdict"], "partial")
        self.assertIn({"key": "fc.weight", "expected": [12, 8], "found": [10, 8]},
                      report["as_is"]["shape_mismatch"])

    def test_incompatible(self):
        self.assertEqual(self.verdict(self.path, manifest({"a.weight": [3], "b.weight": [4, 4]})),
                         "incompatible")

    def test_a_failed_version_is_unknown(self):
        path = self.at(self.fresh(), "one")
        self.assertEqual(self.api.put(path, b"x" * 500, wait=20).json()["state"], "failed")
        response = self.ask(path, manifest(SHAPES))
        self.assertEqual((response.status, response.json()["verdict"]), (200, "unknown"))
        self.assertEqual(self.ask(path, manifest(SHAPES), require="partial").status, 422)


class Parameters(Compatibility):
    def test_require(self):
        more = dict(SHAPES, **{"head.bias": [2]})
        for expected, level, status in ((SHAPES, "strict", 200), (SHAPES, "partial", 200),
                                        (more, "strict", 409), (more, "strict_after_remap", 409),
                                        (more, "non_strict", 200), (more, "partial", 200),
                                        ({"x": [1]}, "partial", 409)):
            response = self.ask(self.path, manifest(expected), require=level)
            self.assertEqual(response.status, status, level)
            self.assertEqual(response.json()["schema"], "ckptd/report/1")
        for level in ("incompatible", "unknown", "perfect", ""):
            self.assert_problem(self.ask(self.path, manifest(SHAPES), require=level), 400,
                                "bad-request", "require")

    def test_the_text_forms_first_line_can_be_grepped(self):
        response = self.ask(self.path, manifest(WIDER, name="wide"), format="text", require="strict")
        self.assertEqual((response.status, response.headers["Content-Type"].split(";")[0]),
                         (409, "text/plain"))
        first = response.text().split("\n")[0]
        self.assertTrue(first.startswith("ckptd: FAIL partial test/plain@one vs wide (need strict): "),
                        first)
        self.assertIn("2 shape mismatches", first)
        response = self.ask(self.path, manifest(SHAPES), format="text")
        self.assertTrue(response.text().startswith("ckptd: OK strict test/plain@one vs "))

    def test_accept_chooses_the_form(self):
        for accept, kind in (("text/plain", "text/plain"), ("application/json", "application/json"),
                             ("*/*", "application/json"), ("text/plain;q=0.5, */*;q=0.1", "text/plain"),
                             ("image/png", "application/json")):
            response = self.ask(self.path, manifest(SHAPES), {"Accept": accept})
            self.assertEqual(response.headers["Content-Type"].split(";")[0], kind, accept)
        response = self.ask(self.path, manifest(SHAPES), {"Accept": "text/plain"}, format="json")
        self.assertEqual(response.headers["Content-Type"].split(";")[0], "application/json")

    def test_format_takes_no_other_word(self):
        self.assert_problem(self.ask(self.path, manifest(SHAPES), format="xml"), 400, "bad-request")

    def test_loader(self):
        for loader in ("torch", "safetensors"):
            report = self.ask(self.path, manifest(SHAPES), loader=loader).json()
            self.assertEqual((report["loader"], report["verdict"]), (loader, "strict"))
        report = self.ask(self.path, manifest(SHAPES, load={"loader": "safetensors"})).json()
        self.assertEqual(report["loader"], "safetensors")
        self.assert_problem(self.ask(self.path, manifest(SHAPES), loader="keras"), 400, "bad-request",
                            "loader")

    def test_container(self):
        self.assertEqual(self.verdict(self.path, manifest(SHAPES), container=""), "strict")
        self.assert_problem(self.ask(self.path, manifest(SHAPES), container="ema"), 400, "bad-request")

    def test_dtype(self):
        half = json.dumps({"schema": "ckptd/manifest/1", "tensors": {
            name: {"shape": shape, "dtype": "float16"} for name, shape in SHAPES.items()}}).encode()
        whole = half.replace(b"float16", b"int64")
        self.assertEqual(self.verdict(self.path, half), "strict")
        self.assertEqual(self.verdict(self.path, half, dtype="exact"), "partial")
        self.assertEqual(self.verdict(self.path, whole), "partial")
        self.assertEqual(self.verdict(self.path, whole, dtype="any"), "strict")
        self.assert_problem(self.ask(self.path, half, dtype="some"), 400, "bad-request", "dtype")

    def test_allowances(self):
        more = dict(SHAPES, **{"head.bias": [2], "head.weight": [2, 2]})
        report = self.ask(self.path, manifest(more), allow_missing="head.*").json()
        self.assertEqual(report["verdict"], "strict")
        self.assertEqual({row["key"] for row in report["allowed"]}, {"head.bias", "head.weight"})
        self.assertEqual(self.verdict(self.path, manifest(more),
                                      allow_missing=["head.bias", "head.weight"]), "strict")
        less = {name: shape for name, shape in SHAPES.items() if name[:2] != "fc"}
        self.assertEqual(self.verdict(self.path, manifest(less), allow_unexpected="fc.*"), "strict")
        self.assertIn(self.verdict(self.path, manifest(WIDER), allow_mismatch="fc.*"),
                      ("strict", "non_strict"))

    def test_min_coverage(self):
        more = dict(SHAPES, **{"head.weight": [20, 10]})
        self.assertEqual(self.verdict(self.path, manifest(more), min_coverage="0"), "non_strict")
        self.assertEqual(self.verdict(self.path, manifest(more), min_coverage="0.99"), "incompatible")
        for value in ("2", "-1", "x", "nan", ""):
            self.assert_problem(self.ask(self.path, manifest(more), min_coverage=value), 400,
                                "bad-request", "min_coverage")

    def test_limit_cuts_lists_and_not_counts(self):
        shapes = {"layer%d.weight" % i: [2] for i in range(50)}
        report = self.ask(self.path, manifest(shapes), limit=3).json()
        self.assertEqual(len(report["as_is"]["missing"]), 3)
        self.assertEqual(report["as_is"]["counts"]["missing"], 50)
        self.assertEqual(report["as_is"]["missing"], ["layer%d.weight" % i for i in range(3)])
        for limit in ("0", "100001", "x"):
            self.assert_problem(self.ask(self.path, manifest(shapes), limit=limit), 400, "bad-request")

    def test_the_mapping_is_whole(self):
        report = self.ask(self.wrapped, manifest(SHAPES), include="mapping", limit=1).json()
        rows = {row["to"]: row["from"] for row in report["mapping"]}
        self.assertEqual(rows, {name: ["module." + name] for name in SHAPES})
        self.assertNotIn("mapping", self.ask(self.wrapped, manifest(SHAPES)).json())

    def test_against_another_version(self):
        report = self.ask(self.wrapped, None, against="test/plain/one").json()
        self.assertEqual(report["verdict"], "strict_after_remap")
        self.assertEqual(self.verdict(self.path, None, against="test/plain/@latest"), "strict")
        self.assertEqual(self.verdict(self.path, None, against="test/plain/v1"), "strict")
        for value, status in (("test/plain", 400), ("test", 400), ("", 400), ("test/nothing/one", 404),
                              ("test/plain/two", 404), ("test/plain/a b", 400)):
            self.assertEqual(self.ask(self.path, None, against=value).status, status, value)
        self.assert_problem(self.ask(self.path, manifest(SHAPES), against="test/plain/one"), 400,
                            "bad-request")

    def test_against_a_failed_version_is_refused(self):
        model = self.fresh()
        self.api.put(self.at(model, "one"), b"junk junk", wait=20)
        response = self.ask(self.path, None, against=model[len("/v1/models/"):] + "/one")
        self.assertIn(response.status, (409, 422))

    def test_answers_do_not_depend_on_the_cache(self):
        first = self.ask(self.path, manifest(WIDER), require="strict")
        for _ in range(3):
            again = self.ask(self.path, manifest(WIDER), require="strict")
            self.assertEqual((again.status, again.body), (first.status, first.body))
        self.assertEqual(self.ask(self.path, manifest(WIDER)).status, 200)
        self.assertEqual(self.ask(self.path, manifest(WIDER), limit=1).json()["as_is"]["counts"],
                         first.json()["as_is"]["counts"])

    def test_many_ask_at_once(self):
        failures = []

        def work(number):
            shapes = dict(SHAPES, **{"extra.%d" % number: [1]})
            for _ in range(10):
                if self.verdict(self.path, manifest(shapes)) != "non_strict":
                    failures.append(number)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_unknown_refs_are_404(self):
        for path in ("/v1/models/test/plain/versions/two", "/v1/models/test/none/versions/one"):
            self.assert_problem(self.ask(path, manifest(SHAPES)), 404, "not-found")


class Manifests(Compatibility):
    def test_each_form_is_taken(self):
        bare = to_json(SHAPES)
        header = to_json({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
                          for name, shape in SHAPES.items()})
        yaml = "schema: ckptd/manifest/1\ntensors:\n" + "".join(
            "  %s: {shape: %s}\n" % (name, shape) for name, shape in SHAPES.items())
        bare_yaml = "# comment\n" + "".join("%s: %s\n" % row for row in SHAPES.items())
        for form, body in (("schema", manifest(SHAPES)), ("bare", bare), ("header", header),
                           ("yaml", yaml.encode()), ("bare yaml", bare_yaml.encode())):
            with self.subTest(form):
                self.assertEqual(self.verdict(self.path, body), "strict")

    def test_any_dimension_is_null(self):
        any_batch = dict(SHAPES, **{"fc.weight": [None, 8], "fc.bias": [None]})
        self.assertEqual(self.verdict(self.path, manifest(any_batch)), "strict")

    def test_the_content_type_does_not_matter(self):
        for kind in ("application/json", "text/plain", "application/octet-stream", "application/yaml",
                     "application/x-www-form-urlencoded"):
            response = self.ask(self.path, manifest(SHAPES), {"Content-Type": kind})
            self.assertEqual(response.status, 200, kind)

    def test_yaml_as_a_form_is_415_with_the_line_to_type(self):
        body = b"fc.weight: [10, 8]fc.bias: [10]"
        response = self.ask(self.path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        self.assert_problem(response, 415, "unsupported-media-type", "--data-binary")

    def test_modules_make_the_answer_exact(self):
        self.assertEqual(self.ask(self.path, manifest(SHAPES)).json()["exactness"], "inferred")
        report = self.ask(self.path, manifest(SHAPES, modules={
            "bn": {"type": "torch.nn.BatchNorm2d", "version": 2}})).json()
        self.assertEqual(report["exactness"], "exact")

    def test_the_manifests_expectations_hold(self):
        more = dict(SHAPES, **{"head.bias": [2]})
        self.assertEqual(self.verdict(self.path, manifest(more, expect={"allow_missing": ["head.*"]})),
                         "strict")

    def test_name_and_source_are_no_part_of_the_digest(self):
        digests = {self.ask(self.path, manifest(SHAPES, **members)).json()["manifest"]["digest"]
                   for members in ({}, {"name": "a"}, {"name": "b", "source": {"entry": "x:y"}})}
        self.assertEqual(len(digests), 1)


class Pending(ApiTest):
    flags = ("--inspection-seconds", "3600")

    def setUp(self):
        for pid in self.daemon.zygotes():
            os.kill(pid, signal.SIGSTOP)

    def tearDown(self):
        for pid in self.daemon.zygotes():
            os.kill(pid, signal.SIGCONT)

    def test_a_pending_version_is_503_without_a_body(self):
        path = self.at(self.fresh(), "one")
        self.assertEqual(self.api.put(path, small(1)).json()["state"], "pending")
        start = time.monotonic()
        response = self.api.post(path + "/compatibility", manifest(SMALL), wait=1)
        self.assertEqual((response.status, response.body), (503, b""))
        self.assertGreaterEqual(int(response.headers["Retry-After"]), 1)
        self.assertGreater(time.monotonic() - start, 0.9)
        for sub in ("tensors", "findings", "tensor-data?name=fc.bias"):
            response = self.api.get(path + "/" + sub)
            self.assertEqual(response.status, 503, sub)
        self.assertEqual(self.api.get(path).json()["inspection"], None)
        self.assertEqual(self.api.get(path + "/files/checkpoint").body, small(1))

    def test_a_repeat_is_answered_at_once(self):
        path, body = self.at(self.fresh(), "one"), safetensors({"pending.repeat": [2]})
        self.assertEqual(self.api.put(path, body).json()["state"], "pending")
        response = self.api.early("PUT", path, len(body), digest=hex_digest(body), wait=5)
        self.assertEqual((response.status, response.headers["Ckptd-Repeat"]), (200, "1"))

    def test_the_answer_comes_as_soon_as_the_inspection_ends(self):
        path = self.at(self.fresh(), "one")
        self.api.put(path, small(2))
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            self.api.post(path + "/compatibility", manifest(SMALL))))
        thread.start()
        time.sleep(0.5)
        self.assertEqual(answers, [])
        self.tearDown()
        thread.join(30)
        self.assertEqual(answers[0].json()["verdict"], "strict")


class ManyTensors(ApiTest):
    def test_a_large_model_is_judged(self):
        shapes = {"layer%d.block.%d.weight" % (i, j): [2, 1] for i in range(100) for j in range(100)}
        path = self.upload(safetensors(prefixed(shapes, "module.")), wait=60)
        response = self.api.post(path + "/compatibility", manifest(shapes))
        self.assertEqual(response.json()["verdict"], "strict_after_remap")
        self.assertEqual(response.json()["after_remap"]["counts"]["matched"], 10000)



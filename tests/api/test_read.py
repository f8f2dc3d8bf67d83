"""One version: by each kind of ref, its tensors, its findings."""

import threading
import time

from support.case import ApiTest
from support.checkpoints import SMALL, safetensors, small, torch_zips
from support.client import hex_digest


class Refs(ApiTest):
    def test_each_kind_of_ref_finds_the_version(self):
        model = self.fresh()
        self.upload(small(1), model, "first")
        self.upload(small(2), model, "second")
        version = self.api.get(self.at(model, "second")).json()
        for ref in ("second", "v2", "@latest", version["digest"], hex_digest(small(2))):
            found = self.api.get(self.at(model, ref))
            self.assertEqual((found.status, found.json()["version"]), (200, "second"), ref)

    def test_a_ref_that_names_nothing_is_404(self):
        model = self.fresh()
        self.upload(small(), model)
        for ref in ("two", "v9", "@production", "sha256:" + "0" * 64):
            self.assert_problem(self.api.get(self.at(model, ref)), 404, "not-found")

    def test_a_ref_that_is_none_is_400(self):
        model = self.fresh()
        self.upload(small(), model)
        for ref in ("sha256:123", "@", "-x", "a%20b", "a%2Fb", "sha256:" + "G" * 64, "x" * 129):
            response = self.api.get(model + "/versions/" + ref)
            self.assertEqual(response.status, 400, ref)

    def test_an_unknown_model_is_404(self):
        for path in ("/v1/models/test/nothing", "/v1/models/test/nothing/versions",
                     "/v1/models/test/nothing/versions/one", "/v1/models/nobody/x"):
            self.assert_problem(self.api.get(path), 404, "not-found")

    def test_names_are_matched_exactly(self):
        self.assertEqual(self.api.put("/v1/models/test/Case/versions/one", small()).status, 201)
        self.assertEqual(self.api.get("/v1/models/test/case").status, 404)


class Version(ApiTest):
    def test_tensors_are_included_when_asked(self):
        path = self.upload(small())
        self.assertNotIn("tensors", self.api.get(path).json()["inspection"])
        inspection = self.api.get(path, include="tensors").json()["inspection"]
        self.assertEqual({t["name"]: t["shape"] for t in inspection["tensors"]}, SMALL)
        self.assertEqual(inspection["containers"], [{"path": "", "kind": "weights", "tensors": 2}])
        self.assertEqual(inspection["metadata"], {"fill": "0"})

    def test_include_takes_no_other_word(self):
        self.assert_problem(self.api.get(self.upload(small()), include="all"), 400, "bad-request")

    def test_latest_is_the_newest_ready_version(self):
        model = self.fresh()
        self.upload(small(1), model, "one")
        self.upload(small(2), model, "two")
        self.api.put(self.at(model, "three"), b"no checkpoint", wait=20)
        self.assertEqual(self.api.get(model).json()["latest"], "two")
        self.assertEqual(self.api.get(self.at(model, "@latest")).json()["version"], "two")
        self.assertIn("latest", self.api.get(self.at(model, "two")).json()["aliases"])

    def test_an_etag_spares_the_body(self):
        path = self.upload(small())
        etag = self.api.get(path).headers["ETag"]
        self.assertEqual(self.api.get(path, {"If-None-Match": etag}).status, 304)
        self.assertEqual(self.api.get(path, {"If-None-Match": '"other"'}).status, 200)
        self.assert_problem(self.api.get(path, {"If-Match": '"other"'}), 412, "precondition-failed")

    def test_wait_is_a_number_of_seconds(self):
        path = self.upload(small())
        for wait in ("-1", "1.5", "x", "", "1000000"):
            self.assert_problem(self.api.get(path + "?wait=" + wait), 400, "bad-request", "wait")

    def test_a_hundred_who_wait_get_their_answer(self):
        model, answers = self.fresh(), []
        body = safetensors({"layer.%d.weight" % i: [3] for i in range(2000)})

        def wait():
            while True:
                response = self.api.get(self.at(model, "one"), wait=30)
                if response.status == 200:
                    break
                time.sleep(0.01)
            answers.append(response.json()["state"])

        threads = [threading.Thread(target=wait) for _ in range(100)]
        for thread in threads:
            thread.start()
        self.api.put(self.at(model, "one"), body)
        for thread in threads:
            thread.join(60)
        self.assertEqual(answers, ["ready"] * 100)


class Tensors(ApiTest):
    def setUp(self):
        self.names = ["layer%d.%d.weight" % (i, j) for i in range(12) for j in range(11)]
        self.shapes = {name: [i, 2] for i, name in enumerate(self.names)}
        self.path = self.upload(safetensors(self.shapes))

    def test_pages_give_all_in_natural_order(self):
        found, parameters = [], {"limit": 25}
        while True:
            page = self.api.get(self.path + "/tensors", **parameters).json()
            self.assertLessEqual(len(page["tensors"]), 25)
            found += page["tensors"]
            if page["next"] is None:
                break
            parameters["cursor"] = page["next"]
        self.assertEqual([t["name"] for t in found], self.names)
        self.assertEqual(found[7], {"name": "layer0.7.weight", "dtype": "float32", "shape": [7, 2],
                                    "bytes": 56})

    def test_the_link_header_leads_on(self):
        first = self.api.get(self.path + "/tensors", limit=100)
        target = first.headers["Link"].split(">")[0][1:]
        second = self.api.get(target)
        self.assertEqual([t["name"] for t in second.json()["tensors"]], self.names[100:])
        self.assertNotIn("Link", second.headers)

    def test_the_tree_shows_the_children_of_a_module(self):
        root = self.api.get(self.path + "/tensors", view="tree").json()
        self.assertEqual(sorted(c["name"] for c in root["children"]),
                         sorted("layer%d" % i for i in range(12)))
        self.assertEqual({c["tensors"] for c in root["children"]}, {11})
        leaf = self.api.get(self.path + "/tensors", view="tree", prefix="layer3.4").json()
        self.assertEqual([c["tensor"]["name"] for c in leaf["children"]], ["layer3.4.weight"])

    def test_a_container_that_is_not_there_is_404(self):
        response = self.api.get(self.path + "/tensors", container="ema")
        self.assert_problem(response, 404, "not-found", "ema")

    def test_bad_pages_are_400(self):
        for query in ("limit=0", "limit=1001", "limit=x", "cursor=%21%21", "cursor=AAAA",
                      "view=graph"):
            self.assert_problem(self.api.get(self.path + "/tensors?" + query), 400, "bad-request")

    def test_a_failed_version_has_none(self):
        model = self.fresh()
        self.api.put(self.at(model, "one"), b"x" * 100, wait=20)
        self.assert_problem(self.api.get(self.at(model, "one", "tensors")), 409, "not-ready")


class Findings(ApiTest):
    def test_a_plain_safetensors_has_none(self):
        findings = self.api.get(self.upload(small()) + "/findings").json()
        self.assertEqual(findings, {"safety": "clean", "weights_only": None, "findings": []})

    def test_a_failed_version_says_why(self):
        path = self.at(self.fresh(), "one")
        version = self.api.put(path, b"<html>502 Bad Gateway</html>", wait=20).json()
        self.assertEqual(version["state"], "failed")
        self.assertEqual(version["failure"]["type"], "/problems/unrecognized-input")
        findings = self.api.get(path + "/findings").json()
        self.assertEqual(findings["safety"], "malformed")
        self.assertIn("error", [f["severity"] for f in findings["findings"]])


class RealCheckpoints(ApiTest):
    def test_what_pytorch_wrote_is_read(self):
        files = torch_zips()
        if not files:
            self.skipTest("no torch-zip cases")
        for name, file_name in files.items():
            with self.subTest(name), open(file_name, "rb") as file:
                path = self.at(self.fresh(), "one")
                body = file.read()
                version = self.api.put(path, body, filename="input.pt", wait=30).json()
                self.assertIn(version["state"], ("ready", "failed"))
                if version["state"] == "ready":
                    self.assertEqual(version["inspection"]["format"][:5], "torch")
                    self.assertEqual(self.api.get(path + "/findings").json()["safety"],
                                     version["safety"])
                self.assertEqual(self.api.get(path + "/files/input.pt").body, body)

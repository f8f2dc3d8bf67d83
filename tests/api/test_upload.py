"""PUT and POST of checkpoints."""

import base64
import hashlib
import threading

from support.case import ApiTest
from support.checkpoints import safetensors, small
from support.client import hex_digest, repr_digest


def in_threads(count, work):
    """Run work(i) in threads that start together; the results in order."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(i):
        barrier.wait()
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Put(ApiTest):
    def test_a_version_is_made_and_inspected(self):
        body, model = small(), self.fresh()
        response = self.api.put(self.at(model, "epoch-90"), body)
        self.assertEqual(response.status, 201)
        self.assertEqual(response.headers["Location"], self.at(model, "epoch-90"))
        version = response.json()
        self.assertEqual(version["model"], model[len("/v1/models/"):])
        self.assertEqual((version["version"], version["serial"]), ("epoch-90", 1))
        self.assertIn(version["state"], ("pending", "ready"))
        self.assertEqual(version["files"], [{"path": "checkpoint", "size": len(body),
                                             "digest": hex_digest(body)}])
        line = "%s %d checkpoint\n" % (hex_digest(body)[7:], len(body))
        self.assertEqual(version["digest"], hex_digest(line.encode()))
        version = self.api.get(self.at(model, "epoch-90"), wait=20).json()
        self.assertEqual((version["state"], version["safety"]), ("ready", "clean"))
        self.assertEqual(version["inspection"]["format"], "safetensors")
        self.assertEqual(version["inspection"]["totals"], {"tensors": 2, "elements": 16, "bytes": 64})

    def test_wait_gives_the_inspected_version_at_once(self):
        response = self.api.put(self.at(self.fresh(), "one"), small(), wait=20)
        self.assertEqual((response.status, response.json()["state"]), (201, "ready"))
        self.assertIsNotNone(response.json()["inspection"])

    def test_serials_count_within_a_model(self):
        model = self.fresh()
        serials = [self.api.put(self.at(model, "e%d" % i), small(i)).json()["serial"]
                   for i in range(3)]
        self.assertEqual(serials, [1, 2, 3])

    def test_the_same_bytes_again_are_a_repeat(self):
        path = self.upload(small())
        response = self.api.put(path, small())
        self.assertEqual((response.status, response.headers["Ckptd-Repeat"]), (200, "1"))
        self.assertEqual(response.json()["serial"], 1)

    def test_a_repeat_applies_nothing(self):
        model = self.fresh()
        path = self.upload(small(), model, **{"filename": "a.safetensors", "meta.k": "first"})
        response = self.api.put(path, small(), **{"filename": "b.safetensors", "meta.k": "second"})
        self.assertEqual(response.status, 200)
        for version in (response.json(), self.api.get(path).json()):
            self.assertEqual(version["metadata"], {"k": "first"})
            self.assertEqual(version["files"][0]["path"], "a.safetensors")
        self.assertEqual(self.api.get(model).json()["versions"], 1)

    def test_other_bytes_under_a_taken_label_are_409(self):
        path = self.upload(small(1))
        longer = safetensors({"fc.weight": [40, 30]})
        for body in (small(2), longer):
            self.assert_problem(self.api.put(path, body), 409, "label-taken", "if_exists=new")
            self.assert_problem(self.api.put(path, [body[:40], body[40:]]), 409, "label-taken")
        self.assertEqual(self.api.get(path).json()["files"][0]["digest"], hex_digest(small(1)))

    def test_if_exists_new_takes_the_next_free_label(self):
        model = self.fresh()
        path = self.upload(small(1), model, "epoch-90")
        for fill, label in ((2, "epoch-90.2"), (3, "epoch-90.3")):
            response = self.api.put(path, small(fill), if_exists="new")
            self.assertEqual(response.status, 201)
            self.assertEqual(response.json()["version"], label)
            self.assertEqual(response.headers["Location"], self.at(model, label))
        response = self.api.put(path, small(1), if_exists="new")
        self.assertEqual((response.status, response.json()["version"]), (200, "epoch-90"))
        response = self.api.put(path, small(3), if_exists="new")
        self.assertEqual((response.status, response.json()["version"]), (200, "epoch-90.3"))
        self.assert_problem(self.api.put(path, small(4), if_exists="fail"), 409, "label-taken")
        self.assert_problem(self.api.put(path, small(4), if_exists="maybe"), 400, "bad-request",
                            "if_exists")

    def test_one_label_by_many_at_once_goes_to_one(self):
        path = self.at(self.fresh(), "one")
        answers = in_threads(12, lambda i: self.api.put(path, small(i)))
        self.assertEqual(sorted(a.status for a in answers), [201] + [409] * 11)
        winner = next(i for i, a in enumerate(answers) if a.status == 201)
        self.assertEqual(self.api.get(path).json()["files"][0]["digest"], hex_digest(small(winner)))

    def test_the_same_upload_by_many_at_once_is_made_once(self):
        model = self.fresh()
        path = self.at(model, "one")
        answers = in_threads(12, lambda i: self.api.put(path, small(), wait=20))
        self.assertEqual(sorted(a.status for a in answers), [200] * 11 + [201])
        self.assertEqual(self.api.get(model).json()["versions"], 1)

    def test_new_labels_by_many_at_once_are_all_different(self):
        path = self.at(self.fresh(), "one")
        answers = in_threads(8, lambda i: self.api.put(path, small(i), if_exists="new"))
        self.assertEqual({a.status for a in answers}, {201})
        self.assertEqual({a.json()["version"] for a in answers},
                         {"one"} | {"one.%d" % i for i in range(2, 9)})

    def test_a_body_in_chunks_is_taken(self):
        body = small(5)
        response = self.api.put(self.at(self.fresh(), "one"), [body[i:i + 7] for i in
                                                               range(0, len(body), 7)])
        self.assertEqual(response.status, 201)
        self.assertEqual(response.json()["files"][0]["digest"], hex_digest(body))

    def test_a_large_body_comes_back_as_it_was_sent(self):
        body = safetensors({"w": [4, 1024, 1024]}, fill=7)
        path = self.upload(body, filename="large.safetensors")
        response = self.api.get(path + "/files/large.safetensors")
        self.assertEqual(hashlib.sha256(response.body).digest(), hashlib.sha256(body).digest())

    def test_equal_bytes_elsewhere_are_inspected_no_second_time(self):
        body = safetensors({"only.here": [17]})
        self.upload(body)
        response = self.api.put(self.at(self.fresh(), "one"), body)
        self.assertEqual((response.status, response.json()["state"]), (201, "ready"))

    def test_metadata_is_kept_as_text(self):
        path = self.upload(small(), **{"meta.gpu_count": "8", "meta.note": 'ä "x" \\ <b>',
                                       "meta.empty": "", "meta.a.b-c": "1"})
        self.assertEqual(self.api.get(path).json()["metadata"],
                         {"gpu_count": "8", "note": 'ä "x" \\ <b>', "empty": "", "a.b-c": "1"})

    def test_bad_metadata_is_400(self):
        path = self.at(self.fresh(), "one")
        for name, value in (("meta.-x", "1"), ("meta.a b", "1"), ("meta." + "k" * 65, "1"),
                            ("meta.k", "v" * 5000)):
            self.assert_problem(self.api.put(path, small(), **{name: value}), 400, "bad-request")
        self.assert_problem(self.api.put(path + "?meta.k=%ff", small()), 400, "bad-request")
        self.assert_problem(self.api.put(path + "?meta.=1", small()), 400, "bad-request")
        many = {"meta.k%d" % i: "1" for i in range(65)}
        self.assertIn(self.api.put(path, small(), **many).status, (400, 413))
        self.assertEqual(self.api.get(path).status, 404)

    def test_the_filename_is_the_files_path(self):
        path = self.upload(small(), filename="weights/model-1.safetensors")
        self.assertEqual(self.api.get(path).json()["files"][0]["path"], "weights/model-1.safetensors")
        self.assertEqual(self.api.get(path + "/files/weights/model-1.safetensors").body, small())

    def test_a_bad_filename_is_400(self):
        path = self.at(self.fresh(), "one")
        for name in ("../x", "/etc/passwd", "a//b", "a/..", ".", "", "a\\b", "a b", "x" * 600, "a/"):
            self.assert_problem(self.api.put(path, small(), filename=name), 400, "bad-name")

    def test_an_alias_does_not_disturb(self):
        response = self.api.put(self.at(self.fresh(), "one"), small(), alias="candidate", wait=20)
        self.assertEqual((response.status, response.json()["state"]), (201, "ready"))
        self.assert_problem(self.api.put(self.at(self.fresh(), "one"), small(), alias="a b"), 400,
                            "bad-name")


class Digests(ApiTest):
    def test_the_right_digest_is_taken(self):
        body = small()
        for number, (headers, query) in enumerate([
            ({}, {"digest": hex_digest(body)}),
            ({"Repr-Digest": repr_digest(body)}, {}),
            ({"Repr-Digest": "sha-512=:AAAA:, " + repr_digest(body)}, {}),
            ({"Repr-Digest": repr_digest(body)}, {"digest": hex_digest(body)}),
        ]):
            response = self.api.put(self.at(self.fresh(), "v%d-x" % number), body, headers, **query)
            self.assertEqual(response.status, 201, (headers, query))

    def test_a_wrong_digest_keeps_nothing(self):
        body, other = small(1), small(2)
        for headers, query in (({}, {"digest": hex_digest(other)}),
                               ({"Repr-Digest": repr_digest(other)}, {})):
            model = self.fresh()
            response = self.api.put(self.at(model, "one"), body, headers, **query)
            self.assert_problem(response, 422, "digest-mismatch")
            self.assert_problem(self.api.get(model), 404, "not-found")
            self.assertEqual(self.api.put(self.at(model, "one"), body).status, 201)

    def test_other_algorithms_are_passed_over(self):
        other = {"Repr-Digest": "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:, unixsum=:MzA2Mzc=:"}
        self.assertEqual(self.api.put(self.at(self.fresh(), "one"), small(), other).status, 201)
        self.assertEqual(self.api.put(self.at(self.fresh(), "one"), small(),
                                      digest="sha512:" + "0" * 128).status, 201)

    def test_a_malformed_digest_is_400(self):
        path = self.at(self.fresh(), "one")
        short = base64.b64encode(b"short").decode()
        for headers, query in (({}, {"digest": "sha256:xyz"}), ({}, {"digest": "sha256:" + "0" * 63}),
                               ({}, {"digest": hex_digest(small())[7:]}),
                               ({}, {"digest": "SHA256:" + hex_digest(small())[7:]}),
                               ({"Repr-Digest": "sha-256=:%s:" % short}, {}),
                               ({"Repr-Digest": "sha-256=%s" % repr_digest(b"")[9:-1]}, {})):
            with self.subTest((headers, query)):
                self.assert_problem(self.api.put(path, small(), headers, **query), 400, "bad-request")

    def test_two_digests_that_differ_are_400(self):
        response = self.api.put(self.at(self.fresh(), "one"), small(),
                                {"Repr-Digest": repr_digest(small(1))}, digest=hex_digest(small(2)))
        self.assert_problem(response, 400, "bad-request")


class Early(ApiTest):
    """What is refused before the body is sent: curl's Expect saves the transfer."""

    def test_a_free_label_is_let_through(self):
        self.assertIsNone(self.api.early("PUT", self.at(self.fresh(), "one"), 1000))

    def test_a_taken_label_with_another_length_is_refused(self):
        path = self.upload(small())
        response = self.api.early("PUT", path, len(small()) + 1)
        self.assert_problem(response, 409, "label-taken")

    def test_a_taken_label_with_another_digest_is_refused(self):
        path = self.upload(small(1))
        for headers, query in (({}, {"digest": hex_digest(small(2))}),
                               ({"Repr-Digest": repr_digest(small(2))}, {})):
            response = self.api.early("PUT", path, len(small()), headers, **query)
            self.assert_problem(response, 409, "label-taken")

    def test_an_equal_digest_is_answered_at_once(self):
        path = self.upload(small())
        response = self.api.early("PUT", path, len(small()), digest=hex_digest(small()))
        self.assertEqual((response.status, response.headers["Ckptd-Repeat"]), (200, "1"))
        response = self.api.early("PUT", path, None, {"Repr-Digest": repr_digest(small())})
        self.assertEqual((response.status, response.headers["Ckptd-Repeat"]), (200, "1"))

    def test_the_same_length_without_a_digest_needs_the_body(self):
        path = self.upload(small())
        self.assertIsNone(self.api.early("PUT", path, len(small())))

    def test_bad_names_and_parameters_are_refused(self):
        for path, kind in (("/v1/models/a/b/versions/v7", "bad-name"),
                           ("/v1/models/a--b/c/versions/one", "bad-name"),
                           ("/v1/models/a/b/versions/one?wait=x", "bad-request"),
                           ("/v1/models/a/b/versions/one?filename=../x", "bad-name")):
            self.assert_problem(self.api.early("PUT", path, 1 << 30), 400, kind)

    def test_more_than_the_disk_holds_is_refused(self):
        response = self.api.early("PUT", self.at(self.fresh(), "one"), 1 << 60)
        self.assertIn(response.status, (413, 507))

    def test_an_unknown_expectation_is_417(self):
        response = self.api.put(self.at(self.fresh(), "one"), small(), {"Expect": "magic"})
        self.assert_problem(response, 417, "expectation-failed")

    def test_a_content_encoding_is_415(self):
        response = self.api.put(self.at(self.fresh(), "one"), small(), {"Content-Encoding": "gzip"})
        self.assert_problem(response, 415, "unsupported-media-type")


def form(parts, boundary="XyZ", end=True):
    """parts: [(headers of the part, content)]."""
    body = b""
    for headers, content in parts:
        body += b"--" + boundary.encode() + b"\r\n" + headers.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + (b"--" + boundary.encode() + b"--\r\n" if end else b"")


FILE = 'Content-Disposition: form-data; name="file"; filename="m.safetensors"\r\n' \
       "Content-Type: application/octet-stream"
FORM = {"Content-Type": "multipart/form-data; boundary=XyZ"}


class Post(ApiTest):
    def test_the_daemon_makes_the_label(self):
        model = self.fresh()
        for serial in (1, 2, 3):
            response = self.api.post(model + "/versions", small(serial), filename="m.safetensors")
            self.assertEqual(response.status, 201)
            self.assertEqual((response.json()["version"], response.json()["serial"]),
                             ("v%d" % serial, serial))
            self.assertEqual(response.headers["Location"], self.at(model, "v%d" % serial))
            self.assertEqual(self.api.get(response.headers["Location"]).status, 200)

    def test_a_form_is_taken(self):
        body, model = small(3), self.fresh()
        meta = 'Content-Disposition: form-data; name="meta.gpu_count"'
        response = self.api.post(model + "/versions", form([(FILE, body), (meta, b"8")]), FORM, wait=20)
        self.assertEqual(response.status, 201)
        version = response.json()
        self.assertEqual(version["state"], "ready")
        self.assertEqual(version["metadata"], {"gpu_count": "8"})
        self.assertEqual(version["files"], [{"path": "m.safetensors", "size": len(body),
                                             "digest": hex_digest(body)}])

    def test_a_form_split_anywhere_is_the_same(self):
        body = small(4) + b"\r\n--XyQ\r\n-\r\r\n--Xy"  # what is nearly a boundary
        whole = form([(FILE, body)])
        for size in (1, 2, 3, 5, 64):
            chunks = [whole[i:i + size] for i in range(0, len(whole), size)]
            response = self.api.post(self.fresh() + "/versions", chunks, FORM)
            self.assertEqual(response.status, 201, size)
            self.assertEqual(response.json()["files"][0]["digest"], hex_digest(body))

    def test_the_query_names_a_forms_file(self):
        response = self.api.post(self.fresh() + "/versions", form([(FILE, small())]), FORM,
                                 filename="other.safetensors")
        self.assertEqual(response.json()["files"][0]["path"], "other.safetensors")

    def test_folders_in_a_forms_filename_are_passed_over(self):
        part = FILE.replace("m.safe", "../a/m.safe")
        response = self.api.post(self.fresh() + "/versions", form([(part, small())]), FORM)
        self.assertEqual(response.json()["files"][0]["path"], "m.safetensors")

    def test_a_forms_digest_is_the_files(self):
        model = self.fresh()
        response = self.api.post(model + "/versions", form([(FILE, small(1))]), FORM,
                                 digest=hex_digest(small(2)))
        self.assert_problem(response, 422, "digest-mismatch")
        response = self.api.post(model + "/versions", form([(FILE, small(1))]), FORM,
                                 digest=hex_digest(small(1)))
        self.assertEqual(response.status, 201)

    def test_a_bad_form_is_400_and_keeps_nothing(self):
        model = self.fresh()
        text = 'Content-Disposition: form-data; name="note"'
        cases = {
            "no file": (form([]), FORM),
            "an unknown part": (form([(FILE, small()), (text, b"x")]), FORM),
            "two files": (form([(FILE, small(1)), (FILE, small(2))]), FORM),
            "no end": (form([(FILE, small())], end=False), FORM),
            "no boundary": (form([(FILE, small())]), {"Content-Type": "multipart/form-data"}),
            "another boundary": (form([(FILE, small())], "Other"), FORM),
            "no disposition": (form([("Content-Type: text/plain", small())]), FORM),
            "not a form at all": (small(), FORM),
        }
        for name, (body, headers) in cases.items():
            with self.subTest(name):
                response = self.api.post(model + "/versions", body, headers)
                self.assertEqual(response.status, 400, response.body)
        self.assertEqual(self.api.get(model).status, 404)

    def test_another_multipart_type_is_refused(self):
        response = self.api.post(self.fresh() + "/versions", small(),
                                 {"Content-Type": "multipart/mixed; boundary=x"})
        self.assertIn(response.status, (201, 415))

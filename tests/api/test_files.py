"""Bytes of files and tensors: ranges, conditions, HEAD."""

import struct

from support.case import ApiTest
from support.checkpoints import safetensors
from support.client import hex_digest, repr_digest

BODY = safetensors({"a": [1000], "b": ("I64", [2, 3]), "scalar": [], "none": [0, 4]}, fill=9)


class Files(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = "/v1/models/test/files/versions/one"
        cls.api.put(cls.path, BODY, filename="m.safetensors", wait=20)
        cls.file = cls.path + "/files/m.safetensors"

    def test_the_whole_file(self):
        response = self.api.get(self.file)
        self.assertEqual((response.status, response.body), (200, BODY))
        self.assertEqual(response.headers["Repr-Digest"], repr_digest(BODY))
        self.assertIn(hex_digest(BODY)[7:], response.headers["ETag"])
        self.assertEqual(response.headers["Content-Length"], str(len(BODY)))

    def test_a_browser_saves_it_and_guesses_nothing(self):
        headers = self.api.get(self.file).headers
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("attachment", headers["Content-Disposition"])

    def test_ranges(self):
        size = len(BODY)
        for text, start, end in (("0-0", 0, 1), ("0-99", 0, 100), ("10-", 10, size),
                                 ("-7", size - 7, size), ("5-999999999999", 5, size),
                                 ("-999999999999", 0, size), ("%d-" % (size - 1), size - 1, size),
                                 ("0-18446744073709551615", 0, size)):
            with self.subTest(text):
                response = self.api.get(self.file, {"Range": "bytes=" + text})
                self.assertEqual((response.status, response.body), (206, BODY[start:end]))
                self.assertEqual(response.headers["Content-Range"],
                                 "bytes %d-%d/%d" % (start, end - 1, size))

    def test_a_range_past_the_end_is_416(self):
        for text in ("%d-" % len(BODY), "99999999-100000000", "-0"):
            response = self.api.get(self.file, {"Range": "bytes=" + text})
            self.assert_problem(response, 416, "range-not-satisfiable")
            self.assertEqual(response.headers["Content-Range"], "bytes */%d" % len(BODY))

    def test_what_is_no_single_range_gives_the_whole(self):
        for text in ("bytes=0-1,5-6", "bytes=5-2", "lines=0-1", "bytes=x", "bytes", "bytes=-", ""):
            response = self.api.get(self.file, {"Range": text})
            self.assertEqual((response.status, response.body), (200, BODY), text)

    def test_if_range_guards_the_range(self):
        etag = self.api.get(self.file).headers["ETag"]
        for condition, status in ((etag, 206), ('"other"', 200), ("W/" + etag, 200),
                                  ("Wed, 21 Oct 2026 07:28:00 GMT", 200)):
            response = self.api.get(self.file, {"Range": "bytes=0-9", "If-Range": condition})
            self.assertEqual(response.status, status, condition)

    def test_conditions(self):
        etag = self.api.get(self.file).headers["ETag"]
        for value in (etag, "*", '"x", ' + etag, "W/" + etag):
            response = self.api.get(self.file, {"If-None-Match": value})
            self.assertEqual((response.status, response.body), (304, b""), value)
        self.assertEqual(self.api.get(self.file, {"If-None-Match": '"x"'}).status, 200)
        self.assertEqual(self.api.get(self.file, {"If-Match": etag}).status, 200)
        self.assert_problem(self.api.get(self.file, {"If-Match": '"x"'}), 412, "precondition-failed")

    def test_head_takes_no_range(self):
        response = self.api.head(self.file, {"Range": "bytes=0-9"})
        self.assertEqual((response.status, response.headers["Content-Length"]), (200, str(len(BODY))))

    def test_a_file_that_is_not_there_is_404(self):
        for path in ("other", "m.safetensors/x", "M.safetensors"):
            self.assert_problem(self.api.get(self.path + "/files/" + path), 404, "not-found")

    def test_a_path_that_climbs_is_refused(self):
        for path in ("..%2f..%2fckptd.db", "..", "%2e%2e", "a/../m.safetensors", "m%00", "//m"):
            response = self.api.get(self.path + "/files/" + path)
            self.assertIn(response.status, (400, 404), path)

    def test_by_digest_it_never_changes(self):
        path = self.path.rsplit("/", 1)[0] + "/" + hex_digest(BODY) + "/files/m.safetensors"
        response = self.api.get(path)
        self.assertEqual(response.body, BODY)
        self.assertIn("immutable", response.headers["Cache-Control"])
        self.assertNotIn("immutable", self.api.get(self.file).headers["Cache-Control"])

    def test_many_ranges_on_one_connection(self):
        with self.api.connect() as connection:
            for i in range(0, len(BODY), 97):
                connection.head("GET", self.file, [("Range", "bytes=%d-%d" % (i, i + 96))])
                self.assertEqual(connection.response("GET", self.file).body, BODY[i:i + 97])

    def test_a_client_that_goes_away_harms_nobody(self):
        for _ in range(20):
            with self.api.connect() as connection:
                connection.head("GET", self.file, [])
        self.assertEqual(self.api.get(self.file).status, 200)


class TensorData(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = "/v1/models/test/data/versions/one"
        cls.api.put(cls.path, BODY, filename="m.safetensors", wait=20)

    def data(self, name, headers=(), **parameters):
        return self.api.get(self.path + "/tensor-data", headers, name=name, **parameters)

    def test_a_tensors_bytes(self):
        response = self.data("a")
        self.assertEqual((response.status, response.body), (200, b"\x09" * 4000))
        self.assertEqual((response.headers["Ckptd-Dtype"], response.headers["Ckptd-Shape"]),
                         ("float32", "[1000]"))
        response = self.data("b")
        self.assertEqual(struct.unpack("<6q", response.body), (0x0909090909090909,) * 6)
        self.assertEqual(response.headers["Ckptd-Shape"].replace(" ", ""), "[2,3]")

    def test_a_scalar_and_an_empty_tensor(self):
        response = self.data("scalar")
        self.assertEqual((response.body, response.headers["Ckptd-Shape"]), (b"\x09" * 4, "[]"))
        response = self.data("none")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_ranges_and_conditions(self):
        whole = self.data("a")
        response = self.data("a", {"Range": "bytes=8-15"})
        self.assertEqual((response.status, response.body), (206, whole.body[8:16]))
        self.assertEqual(response.headers["Content-Range"], "bytes 8-15/4000")
        self.assertEqual(self.data("a", {"If-None-Match": whole.headers["ETag"]}).status, 304)
        self.assertEqual(self.data("a", {"Range": "bytes=4000-"}).status, 416)
        self.assertNotEqual(self.data("b").headers["ETag"], whole.headers["ETag"])

    def test_what_is_not_there_is_404(self):
        self.assert_problem(self.data("c"), 404, "not-found", "c")
        self.assert_problem(self.data("a", container="ema"), 404, "not-found")
        self.assertEqual(self.data("a", container="").status, 200)

    def test_a_name_is_needed(self):
        self.assert_problem(self.api.get(self.path + "/tensor-data"), 400, "bad-request", "name")

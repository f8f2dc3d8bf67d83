"""Versions of several files: PUT …/files/{path} one by one, POST …/commit, expiry."""

import hashlib
import json
import os
import select
import threading
import time

from support.case import ApiTest
from support.checkpoints import manifest, safetensors, small, SMALL
from support.client import Cut, hex_digest, repr_digest, to_json
from support.daemon import Daemon
from test_restart import blob_files, staged_files
from test_upload import in_threads


def version_text(files):
    """design.md §1, of {path: bytes}: what a version's digest is the digest of."""
    lines = ["%s %d %s\n" % (hashlib.sha256(files[path]).hexdigest(), len(files[path]), path)
             for path in sorted(files)]
    return "".join(lines).encode()


def version_digest(files):
    return hex_digest(version_text(files))


def listed(files):
    return [{"path": path, "size": len(files[path]), "digest": hex_digest(files[path])}
            for path in sorted(files)]


class MultiTest(ApiTest):
    def put(self, version, path, body, headers=(), **parameters):
        return self.api.put(version + "/files/" + path, body, headers, **parameters)

    def commit(self, version, body, **parameters):
        return self.api.post(version + "/commit", to_json(body), **parameters)

    def open_with(self, files, version=None):
        version = version or self.at(self.fresh(), "one")
        for path, body in files.items():
            response = self.put(version, path, body)
            self.assertEqual(response.status, 201, response.body[:500])
        return version

    def committed(self, files):
        version = self.open_with(files)
        response = self.commit(version, {"files": len(files)}, wait=20)
        self.assertEqual(response.status, 201, response.body[:500])
        return version


FILES = {"b.safetensors": small(1), "a.safetensors": small(2), "sub/config.json": b"{}"}


class Adding(MultiTest):
    def test_the_first_file_makes_an_open_version(self):
        model = self.fresh()
        version = self.at(model, "epoch-90")
        response = self.put(version, "sub/m.safetensors", small())
        self.assertEqual(response.status, 201)
        self.assertEqual(response.headers["Location"], version + "/files/sub/m.safetensors")
        told = response.json()
        self.assertEqual((told["path"], told["size"], told["digest"], told["state"], told["files"]),
                         ("sub/m.safetensors", len(small()), hex_digest(small()), "open", 1))
        read = self.api.get(version).json()
        self.assertEqual((read["state"], read["digest"], read["serial"], read["expires_at"]),
                         ("open", None, 1, told["expires_at"]))
        self.assertEqual(read["files"], listed({"sub/m.safetensors": small()}))
        self.assertEqual((read["inspection"], read["safety"], read["aliases"]), (None, None, []))
        rows = self.api.get(model + "/versions").json()["versions"]
        self.assertEqual([row["state"] for row in rows], ["open"])

    def test_each_file_puts_the_end_off(self):
        version = self.open_with({"a": b"1"})
        first = self.api.get(version).json()["expires_at"]
        second = self.put(version, "b", b"2").json()
        self.assertGreater(second["expires_at"], first)
        self.assertEqual(second["files"], 2)

    def test_a_file_that_is_there_is_a_repeat(self):
        version = self.open_with({"a": b"12345", "b": b"1"})
        for headers, parameters in (((), {}), ({"Repr-Digest": repr_digest(b"12345")}, {}),
                                    ((), {"digest": hex_digest(b"12345")})):
            response = self.put(version, "a", b"12345", headers, **parameters)
            self.assertEqual((response.status, response.headers.get("Ckptd-Repeat")), (200, "1"))
            self.assertEqual((response.json()["files"], response.json()["digest"]),
                             (2, hex_digest(b"12345")))
        self.assertEqual(self.put(version, "a", [b"123", b"45"]).status, 200)

    def test_a_repeat_with_a_digest_is_answered_before_the_body(self):
        version = self.open_with({"a": b"12345"})
        early = self.api.early("PUT", version + "/files/a", 5, digest=hex_digest(b"12345"))
        self.assertEqual((early.status, early.headers["Ckptd-Repeat"]), (200, "1"))

    def test_other_bytes_under_a_path_are_refused(self):
        version = self.open_with({"a": b"12345"})
        wrong = version + "/files/a"
        self.assert_problem(self.put(version, "a", b"54321"), 409, "conflict", "never replaced")
        self.assert_problem(self.put(version, "a", [b"5", b"4"]), 409, "conflict")
        early = self.api.early("PUT", wrong, 6)
        self.assert_problem(early, 409, "conflict")
        early = self.api.early("PUT", wrong, 5, digest=hex_digest(b"54321"))
        self.assert_problem(early, 409, "conflict")
        self.assertEqual(self.api.get(version).json()["files"], listed({"a": b"12345"}))
        self.assertNotIn(hashlib.sha256(b"54321").hexdigest(), blob_files(self.daemon.data))

    def test_paths_that_cannot_stand_beside_each_other(self):
        version = self.open_with({"dir/Model.bin": b"1"})
        self.assert_problem(self.put(version, "dir/model.bin", b"2"), 409, "conflict", "case")
        self.assert_problem(self.put(version, "DIR", b"2"), 409, "conflict", "folder")
        self.assert_problem(self.put(version, "dir/model.BIN/x", b"2"), 409, "conflict", "folder")
        self.assert_problem(self.api.early("PUT", version + "/files/dir", 10), 409, "conflict")
        for fine in ("dir0", "dir.bin", "dir-x/model.bin", "dir/model.bin.txt", "di"):
            self.assertEqual(self.put(version, fine, b"2").status, 201, fine)

    def test_paths_that_break_the_rules(self):
        version = self.at(self.fresh(), "one")
        for path in ("a%20b", "a:b", "x" * 513, "%C3%A9"):
            response = self.put(version, path, b"1")
            self.assert_problem(response, 400, "bad-name")
        for path in ("../a", "a/../b", "a//b", "a%2Fb", "%2e%2e/a", "a%00"):
            self.assertIn(self.put(version, path, b"1").status, (400, 404), path)
        self.assertEqual(self.api.get(version).status, 404)

    def test_labels_that_break_the_rules(self):
        model = self.fresh()
        for label in ("v7", "@latest", "sha256:" + "0" * 64):
            response = self.put(self.at(model, label), "a", b"1")
            self.assert_problem(response, 400, "bad-name")

    def test_an_announced_digest_is_held(self):
        version = self.at(self.fresh(), "one")
        response = self.put(version, "a", b"1", digest=hex_digest(b"2"))
        self.assert_problem(response, 422, "digest-mismatch")
        self.assert_problem(self.put(version, "a", b""), 400, "bad-request", "empty")
        self.assert_problem(self.put(version, "a", [b""][:0]), 400, "bad-request", "empty")
        self.assertEqual(self.api.get(version).status, 404)

    def test_an_open_label_takes_no_whole_upload(self):
        version = self.open_with({"a": small()})
        self.assert_problem(self.api.put(version, small()), 409, "label-taken", "open", "commit")
        self.assert_problem(self.api.early("PUT", version, 100), 409, "label-taken", "open")
        zeros = self.api.early("PUT", version, 100, digest="sha256:" + "0" * 64)
        self.assert_problem(zeros, 409, "label-taken", "open")
        response = self.api.put(version, small(3), if_exists="new")
        self.assertEqual((response.status, response.json()["version"]), (201, "one.2"))

    def test_a_label_of_a_whole_upload_takes_no_file(self):
        version = self.upload(small(), filename="m.safetensors")
        self.assert_problem(self.put(version, "other", b"1"), 409, "label-taken", "committed")
        self.assert_problem(self.put(version, "m.safetensors", small(1)), 409, "label-taken")
        again = self.put(version, "m.safetensors", small())
        self.assertEqual((again.status, again.headers["Ckptd-Repeat"]), (200, "1"))
        self.assertEqual((again.json()["state"], again.json()["expires_at"]), ("ready", None))

    def test_an_open_version_gives_nothing_yet(self):
        version = self.open_with({"m.safetensors": small()})
        check = self.api.post(version + "/compatibility", manifest(SMALL))
        self.assert_problem(check, 409, "not-ready", "open")
        self.assert_problem(self.api.get(version + "/files/m.safetensors"), 409, "not-ready", "open")
        self.assert_problem(self.api.get(version + "/tensors"), 409, "not-ready", "open")
        self.assert_problem(self.api.get(version + "/findings"), 409, "not-ready", "open")
        latest = self.api.get(version.rsplit("/", 1)[0] + "/@latest")
        self.assert_problem(latest, 404, "not-found")

    def test_twenty_files_at_once(self):
        version = self.at(self.fresh(), "one")
        files = {"part/%d.bin" % i: bytes([i]) * (1000 * i + 1) for i in range(20)}
        paths = list(files)
        responses = in_threads(20, lambda i: self.put(version, paths[i], files[paths[i]]))
        self.assertEqual([r.status for r in responses], [201] * 20)
        self.assertEqual(sorted(r.json()["files"] for r in responses), list(range(1, 21)))
        response = self.commit(version, {"files": listed(files)})
        self.assertEqual(response.status, 201, response.body[:500])
        self.assertEqual(response.json()["digest"], version_digest(files))

    def test_one_path_from_many_threads(self):
        version = self.at(self.fresh(), "one")
        same = in_threads(8, lambda i: self.put(version, "a", [b"x" * 5000]).status)
        self.assertEqual(sorted(same), [200] * 7 + [201])
        mixed = in_threads(8, lambda i: self.put(version, "b", [bytes([i]) * 5000]).status)
        self.assertEqual(sorted(mixed), [201] + [409] * 7)
        self.assertEqual(self.api.get(version).json()["state"], "open")


class Committing(MultiTest):
    def test_by_count(self):
        version = self.open_with(FILES)
        response = self.commit(version, {"files": 3})
        self.assertEqual((response.status, response.headers["Location"]), (201, version))
        told = response.json()
        self.assertEqual((told["digest"], told["expires_at"]), (version_digest(FILES), None))
        self.assertEqual(told["files"], listed(FILES))
        self.assertIn(told["state"], ("pending", "ready", "failed"))

    def test_by_list_in_any_order(self):
        version = self.open_with(FILES)
        wanted = listed(FILES)[::-1]
        del wanted[0]["size"], wanted[1]["digest"], wanted[2]["digest"], wanted[2]["size"]
        self.assertEqual(self.commit(version, {"files": wanted}).status, 201)

    def test_it_is_found_by_its_digest(self):
        version = self.committed(FILES)
        by_digest = version.rsplit("/", 1)[0] + "/" + version_digest(FILES)
        self.assertEqual(self.api.get(by_digest).json()["version"], "one")

    def test_waits_for_the_inspection_and_applies_what_is_asked(self):
        version = self.open_with({"model.safetensors": small()})
        response = self.commit(version, {"files": 1, "metadata": {"gpu_count": "8"}}, wait=20,
                               alias="candidate", **{"meta.host": "n01"})
        told = response.json()
        self.assertEqual((response.status, told["state"]), (201, "ready"))
        self.assertEqual(told["metadata"], {"gpu_count": "8", "host": "n01"})
        self.assertEqual(sorted(told["aliases"]), ["candidate", "latest"])
        self.assertEqual(told["inspection"]["totals"]["tensors"], 2)
        check = self.api.post(version + "/compatibility", manifest(SMALL))
        self.assertEqual(check.json()["verdict"], "strict")

    def test_alias_in_the_body(self):
        version = self.open_with({"model.safetensors": small()})
        response = self.commit(version, {"files": 1, "alias": "candidate"}, wait=20)
        self.assertIn("candidate", response.json()["aliases"])

    def test_one_file_is_read_as_the_upload_of_one(self):
        body = small(77)
        whole = self.api.get(self.upload(body)).json()
        version = self.open_with({"model.safetensors": body})
        told = self.commit(version, {"files": 1}).json()
        self.assertEqual(told["state"], "ready")  # equal bytes were read: nothing to wait for
        self.assertEqual(told["inspection"], whole["inspection"])
        by_file = self.api.get(version.rsplit("/", 1)[0] + "/" + hex_digest(body)).json()
        self.assertEqual(by_file["version"], "one")

    def test_one_file_reads_the_same_whatever_its_name(self):
        body = small(900)
        shard, plain = [
            self.api.put(self.at(self.fresh(), "one"), body, filename=name, wait=20).json()
            for name in ("model-00001-of-00002.safetensors", "model.safetensors")]
        self.assertEqual(plain["inspection"], shard["inspection"])
        self.assertEqual(plain["inspection"]["containers"][0]["kind"], "weights")
        self.assertEqual(plain["inspection"]["findings"], [])

    def test_equal_sets_are_read_once(self):
        first = self.committed(FILES)
        version = self.open_with(FILES)
        told = self.commit(version, {"files": 3}).json()
        self.assertEqual(told["state"], self.api.get(first).json()["state"])
        self.assertNotEqual(told["state"], "pending")

    def test_a_file_of_the_text_behind_the_digest_is_another_thing(self):
        """It has the version's digest: neither speaks for the other, whichever comes first."""
        files = {"a.safetensors": small(501), "b.safetensors": small(502)}
        text = self.api.put(self.at(self.fresh(), "text"), version_text(files), wait=20).json()
        self.assertEqual(text["state"], "failed")
        told = self.commit(self.open_with(files), {"files": 2}, wait=20).json()
        self.assertEqual((told["state"], told["safety"]), ("ready", "clean"))
        files = {"a.safetensors": small(503), "b.safetensors": small(504)}
        version = self.committed(files)
        text = self.api.put(self.at(self.fresh(), "text"), version_text(files), wait=20).json()
        self.assertEqual(text["state"], "failed")
        self.assert_problem(self.api.put(version, [version_text(files)]), 409, "label-taken")
        early = self.api.early("PUT", version, None, digest=version_digest(files))
        self.assert_problem(early, 409, "label-taken")

    def test_again_is_a_repeat(self):
        version = self.committed(FILES)
        for body in ({"files": 3}, {"files": listed(FILES)}):
            response = self.commit(version, body, **{"meta.late": "1"})
            self.assertEqual((response.status, response.headers["Ckptd-Repeat"]), (200, "1"))
            self.assertEqual(response.json()["metadata"], {})
        other = self.commit(version, {"files": 4})
        self.assert_problem(other, 409, "files-differ", "committed already", "another label")
        self.assertEqual(self.put(version, "a.safetensors", FILES["a.safetensors"]).status, 200)
        self.assert_problem(self.put(version, "new", b"1"), 409, "label-taken", "committed")

    def test_the_difference_is_told_and_nothing_is_lost(self):
        version = self.open_with(FILES)
        wanted = listed(dict(FILES, more=b"1"))
        wanted[0]["digest"] = hex_digest(b"")
        wanted[1]["size"] += 1
        wanted = [row for row in wanted if row["path"] != "sub/config.json"]
        response = self.commit(version, {"files": wanted})
        self.assert_problem(response, 409, "files-differ", "1 are missing", "taken back")
        problem = response.json()
        self.assertEqual((problem["missing"], problem["unexpected"]), (["more"], ["sub/config.json"]))
        self.assertEqual(problem["different"], listed(FILES)[:2])
        self.assertEqual(problem["counts"],
                         {"files": 3, "missing": 1, "unexpected": 1, "different": 2})
        self.assertEqual(self.api.get(version).json()["state"], "open")
        missing = self.commit(version, {"files": listed(dict(FILES, more=b"1"))})
        self.assert_problem(missing, 409, "files-differ", "send what is missing")
        self.assertEqual(self.put(version, "more", b"1").status, 201)
        self.assertEqual(self.commit(version, {"files": listed(dict(FILES, more=b"1"))}).status, 201)

    def test_a_wrong_count(self):
        version = self.open_with(FILES)
        response = self.commit(version, {"files": 5})
        self.assert_problem(response, 409, "files-differ", "3 files", "5 are expected")
        self.assertEqual(response.json()["counts"],
                         {"files": 3, "missing": 2, "unexpected": 0, "different": 0})
        self.assertEqual(response.json()["missing"], [])
        response = self.commit(version, {"files": 2})
        self.assertEqual(response.json()["counts"]["unexpected"], 1)

    def test_long_lists_are_cut_and_counted_whole(self):
        version = self.open_with({"a": b"1"})
        wanted = [{"path": "x" * 400 + "/%05d" % i} for i in range(1500)]
        problem = self.commit(version, {"files": wanted}).json()
        self.assertEqual((len(problem["missing"]), problem["counts"]["missing"]), (1000, 1500))
        self.assertEqual(problem["missing"][0], wanted[0]["path"])

    def test_nothing_to_commit(self):
        version = self.at(self.fresh(), "one")
        self.assert_problem(self.commit(version, {"files": 1}), 404, "not-found")
        self.upload(small(), version.rsplit("/versions", 1)[0], "two")
        self.assert_problem(self.commit(version, {"files": 1}), 404, "not-found", "first file")

    def test_bodies_that_are_wrong(self):
        version = self.open_with({"a": b"1"})
        for body, words in (({}, "files"), ({"files": 0}, "one file"), ({"files": []}, "one file"),
                            ({"file": 1}, "not file"), ({"files": [{"paths": "a"}]}, "paths"),
                            ({"files": [{"size": 1}]}, "no path"),
                            ({"files": [{"path": "a"}, {"path": "a"}]}, "twice"),
                            ({"files": [{"path": "a", "digest": "md5:0"}]}, "sha256"),
                            ({"files": 1, "metadata": {"!": "1"}}, "metadata key")):
            self.assert_problem(self.commit(version, body), 400, "bad-request", words)
        for body in ({"files": [{"path": "../a"}]}, {"files": 1, "alias": "latest"},
                     {"files": 1, "alias": "a b"}):
            self.assert_problem(self.commit(version, body), 400, "bad-name")
        for body in ({"files": "1"}, {"files": -1}, {"files": 1.5}, {"files": ["a"]}, [], 3,
                     {"files": 1, "metadata": {"a": 1}}):
            self.assertIn(self.commit(version, body).status, (400,), body)
        for text in (b"{", b'{"files":1,"files":1}', b"\xff", b'{"files":1} x'):
            self.assert_problem(self.api.post(version + "/commit", text), 400, "bad-json")
        self.assert_problem(self.api.post(version + "/commit", b""), 400, "bad-request", "empty")
        self.assert_problem(self.commit(version, {"files": 1, "alias": "x"}, alias="y"), 400,
                            "bad-request", "which")
        self.assertEqual(self.api.get(version).json()["state"], "open")

    def test_bodies_that_wait_have_a_limit_together(self):
        version, connections = self.open_with({"a": b"1"}), []
        target, size = version + "/commit", 16 << 20
        try:
            for _ in range(18):  # 256 MiB are 16 of them
                connections.append(self.api.connect(20))
                connections[-1].head("POST", target, [("Content-Length", str(size))])
                try:
                    connections[-1].send(b" " * (size - 1))
                except (BrokenPipeError, ConnectionResetError):
                    pass
            answered = select.select([c.socket for c in connections], [], [], 20)[0]
            self.assertGreater(len(answered), 0)
            refused = [c for c in connections if c.socket in answered][0].response("POST", target)
            self.assert_problem(refused, 503, "busy", "long lists")
        finally:
            for connection in connections:
                connection.close()
        self.assertEqual(self.commit(version, {"files": 1}).status, 201)

    def test_two_that_race(self):
        for _ in range(10):
            version = self.open_with({"a": b"1", "b": b"2"})
            statuses = in_threads(4, lambda i: self.commit(version, {"files": 2}).status)
            self.assertEqual(sorted(statuses), [200, 200, 200, 201])

    def test_a_commit_and_a_late_file_race(self):
        for _ in range(10):
            version = self.open_with({"a": b"1"})
            work = (lambda: self.commit(version, {"files": 1}), lambda: self.put(version, "b", b"2"))
            commit, put = in_threads(2, lambda i: work[i]())
            if commit.status == 201:
                self.assertEqual(put.status, 409)
                self.assertEqual(len(self.api.get(version).json()["files"]), 1)
            else:
                self.assertEqual((commit.status, put.status), (409, 201))
                self.assertEqual(self.commit(version, {"files": 2}).status, 201)

    def test_files_are_served(self):
        version = self.committed(FILES)
        for path, body in FILES.items():
            response = self.api.get(version + "/files/" + path)
            self.assertEqual((response.status, response.body), (200, body))
            self.assertEqual(response.headers["Repr-Digest"], repr_digest(body))
        part = self.api.get(version + "/files/a.safetensors", {"Range": "bytes=3-9"})
        self.assertEqual((part.status, part.body), (206, FILES["a.safetensors"][3:10]))
        self.assertIn('filename="config.json"',
                      self.api.get(version + "/files/sub/config.json").headers["Content-Disposition"])
        self.assert_problem(self.api.get(version + "/files/sub"), 404, "not-found", "and others")


class ManyFiles(MultiTest):
    COUNT = 2000

    def test_two_thousand_files_are_inspected(self):
        version, files = self.at(self.fresh(), "one"), {}
        files["00.safetensors"] = safetensors({"w": [4]})
        for i in range(1, self.COUNT):
            files["part/%05d.bin" % i] = b"%d" % i
        paths = list(files)

        def send(first):
            for path in paths[first::4]:
                self.assertEqual(self.put(version, path, files[path]).status, 201)

        in_threads(4, send)
        told = self.commit(version, {"files": listed(files)}, wait=60).json()
        self.assertEqual(told["digest"], version_digest(files))
        self.assertNotEqual(told["state"], "pending")
        if told["failure"] is not None:  # what the bytes are is the readers' matter, not the machine's
            self.assertIn(told["failure"]["type"].rsplit("/", 1)[1],
                          ("unrecognized-input", "malformed-input", "unsupported-input"))


class Limits(MultiTest):
    flags = ("--version-files", "3")

    def test_files_of_one_version(self):
        version = self.open_with({"a": b"1", "b": b"2", "c": b"3"})
        self.assert_problem(self.put(version, "d", b"4"), 413, "limit-exceeded", "--version-files")
        self.assert_problem(self.api.early("PUT", version + "/files/d", 9), 413, "limit-exceeded")
        self.assertEqual(self.put(version, "c", b"3").status, 200)
        four = self.commit(version, {"files": [{"path": name} for name in "abcd"]})
        self.assert_problem(four, 413, "limit-exceeded", "--version-files")
        self.assertEqual(self.commit(version, {"files": 3}).status, 201)


class Expiry(MultiTest):
    flags = ("--open-seconds", "2")

    def wait_until(self, holds, what, seconds=30):
        deadline = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.2)

    def test_what_nobody_commits_goes(self):
        shared, alone = b"shared bytes", b"bytes that one version has"
        kept = self.committed({"s": shared})
        model = self.fresh()
        version = self.open_with({"s": shared, "a": alone}, self.at(model, "one"))
        self.wait_until(lambda: self.api.get(version).status == 404, "it stayed")
        name = hashlib.sha256(alone).hexdigest()
        self.wait_until(lambda: name not in blob_files(self.daemon.data), "its bytes stayed")
        self.assertEqual(self.api.get(kept + "/files/s").body, shared)
        self.assertEqual(self.api.get(model).json()["versions"], 0)
        self.assert_problem(self.commit(version, {"files": 2}), 404, "not-found")
        self.assertEqual(self.put(version, "a", alone).status, 201)  # the label is free again
        told = self.commit(version, {"files": 1}).json()
        self.assertEqual((told["serial"], told["expires_at"]), (2, None))
        self.assertEqual(self.api.get(version + "/files/a").body, alone)

    def test_a_slow_upload_keeps_it_open(self):
        version = self.open_with({"a": b"1"})

        def slowly():
            for _ in range(16):
                yield b"x" * 200000  # few bytes wait in memory, and tell the store nothing
                time.sleep(0.5)

        self.assertEqual(self.put(version, "b", slowly()).status, 201)
        self.assertEqual(self.commit(version, {"files": 2}).status, 201)
        version = self.at(self.fresh(), "two")  # the same where it began before there was a version
        slow = threading.Thread(target=lambda: self.put(version, "b", slowly()))
        slow.start()
        time.sleep(0.5)
        self.assertEqual(self.put(version, "a", b"1").status, 201)
        slow.join()
        self.assertEqual(self.commit(version, {"files": 2}).status, 201)

    def test_what_is_committed_stays(self):
        version = self.committed({"a": b"1"})
        time.sleep(8)
        self.assertEqual(self.api.get(version + "/files/a").body, b"1")

    def test_uploads_of_what_is_expiring(self):
        """Bytes that come and go and come: each commit has all of its own."""
        stop, wrong = time.monotonic() + 9, []

        def work(i):
            number = 0
            while time.monotonic() < stop:
                number += 1
                version = self.at("/v1/models/test/expiring", "w%d-%d" % (i, number))
                body = b"content %d" % (number % 3)
                if self.put(version, "a", body).status != 201:
                    wrong.append("put")
                if number % 4 == 0:
                    response = self.commit(version, {"files": 1})
                    if response.status != 201 or \
                            self.api.get(version + "/files/a").body != body:
                        wrong.append(response.status)
                time.sleep(0.02)

        in_threads(3, work)
        self.assertEqual(wrong, [])


class Killed(MultiTest):
    """kill -9 while files of one version come: those that were acknowledged are in it afterwards."""

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def test_files_that_were_acknowledged_stay(self):
        self.daemon = Daemon().start()
        self.addCleanup(self.daemon.remove)
        version, acknowledged, sent = "/v1/models/test/killed/versions/one", {}, {}

        def send(worker, generation):
            number = 0
            while True:
                number += 1
                path = "g%d/w%d/%d" % (generation, worker, number)
                sent[path] = os.urandom(1 + number * 37 % 5000)
                try:
                    status = self.daemon.client.put(version + "/files/" + path, sent[path]).status
                except (Cut, OSError):
                    return
                if status == 201:
                    acknowledged[path] = sent[path]

        for generation in range(4):
            threads = [threading.Thread(target=send, args=(i, generation)) for i in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.1 + 0.15 * generation)
            self.daemon.kill()
            for thread in threads:
                thread.join()
            self.daemon.start()
            self.assertEqual(staged_files(self.daemon.data), [])
        self.assertGreater(len(acknowledged), 20)
        self.api = self.daemon.client
        read = self.api.get(version).json()
        there = {row["path"]: row["digest"] for row in read["files"]}
        self.assertEqual(read["state"], "open")
        for path, body in acknowledged.items():
            self.assertEqual(there.get(path), hex_digest(body), path)
        files = {path: sent[path] for path in there}  # one may be there that no answer told of
        self.assertEqual(self.commit(version, {"files": listed(files)}).status, 201)
        for path in list(files)[:50]:
            self.assertEqual(self.api.get(version + "/files/" + path).body, files[path])

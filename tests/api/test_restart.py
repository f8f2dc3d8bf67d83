"""A daemon that is killed: what it acknowledged is there after the restart, and nothing else."""

import hashlib
import os
import random
import signal
import threading
import time

from support.case import ApiTest
from support.checkpoints import safetensors, small
from support.client import Cut, hex_digest
from support.daemon import Daemon

ROUNDS = {"core": 8, "all": 50, "deep": 200}


def blob_files(data):
    return {name for _, _, names in os.walk(os.path.join(data, "blobs")) for name in names}


def staged_files(data):
    return [os.path.join(folder, name)
            for folder, _, names in os.walk(os.path.join(data, "staging"))
            for name in names if not name.endswith(".lock")]


class Restart(ApiTest):
    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.daemon = Daemon().start()
        self.addCleanup(self.daemon.remove)

    def restart(self):
        self.daemon.kill()
        self.daemon.start()
        return self.daemon.client

    def test_a_pending_version_is_inspected_after_the_restart(self):
        for pid in self.daemon.zygotes():
            os.kill(pid, signal.SIGSTOP)
        path = "/v1/models/test/restart/versions/one"
        response = self.daemon.client.put(path, small())
        self.assertEqual(response.json()["state"], "pending")
        version = self.restart().get(path, wait=60).json()
        self.assertEqual(version["state"], "ready")

    def test_trouble_of_the_machine_fails_no_version(self):
        for pid in self.daemon.zygotes():
            os.kill(pid, signal.SIGSTOP)
        path = "/v1/models/test/restart/versions/one"
        api = self.daemon.client
        self.assertEqual(api.put(path, small()).json()["state"], "pending")
        digest = hashlib.sha256(small()).hexdigest()
        blob = os.path.join(self.daemon.data, "blobs", digest[:2], digest)
        time.sleep(0.5)  # the first try has opened it
        os.rename(blob, blob + ".aside")
        os.symlink("nowhere", blob)  # cannot be opened, though it is not gone
        for pid in self.daemon.zygotes():
            os.kill(pid, signal.SIGKILL)
        time.sleep(2.5)  # the second and the third
        self.assertEqual(api.get(path).json()["state"], "pending")
        os.rename(blob + ".aside", blob)
        self.assertEqual(api.get(path, wait=30).json()["state"], "ready")

    def test_ready_versions_answer_as_before(self):
        path = "/v1/models/test/restart/versions/one"
        self.daemon.client.put(path, small(), wait=20, **{"meta.k": "v"})
        before = self.daemon.client.get(path, include="tensors").json()
        api = self.restart()
        self.assertEqual(api.get(path, include="tensors").json(), before)
        self.assertEqual(api.get(path + "/files/checkpoint").body, small())
        self.assertEqual(api.put(path, small()).status, 200)

    def test_an_upload_under_way_leaves_nothing(self):
        with self.daemon.client.connect() as connection:
            connection.head("PUT", "/v1/models/test/restart/versions/one",
                            [("Content-Length", "1000000")])
            connection.send(b"x" * 500000)
            time.sleep(0.3)
            api = self.restart()
        self.assertEqual(api.get("/v1/models/test/restart").status, 404)
        self.assertEqual(staged_files(self.daemon.data), [])

    def upload_until_it_dies(self, round_number, worker, acknowledged, sent):
        api, number = self.daemon.client, 0
        while True:
            number += 1
            label = "r%d-w%d-%d" % (round_number, worker, number)
            body = safetensors({label: [random.randrange(1, 3000)]}, number)
            sent[label] = body
            try:
                response = api.put("/v1/models/test/killed/versions/" + label, body)
            except (Cut, OSError):
                return
            if response.status == 201:
                acknowledged[label] = hex_digest(body)

    def test_what_was_acknowledged_survives_kill_9(self):
        random.seed(int(os.environ.get("CKPTD_SEED", "1")))
        acknowledged, sent = {}, {}
        for round_number in range(ROUNDS[os.environ.get("CKPTD_LEVEL", "core")]):
            threads = [threading.Thread(target=self.upload_until_it_dies,
                                        args=(round_number, worker, acknowledged, sent))
                       for worker in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(random.uniform(0.02, 0.4))
            self.daemon.kill()
            for thread in threads:
                thread.join()
            self.daemon.start()
            self.assertEqual(staged_files(self.daemon.data), [])
        self.assertTrue(acknowledged)
        self.check_all(acknowledged, sent)

    def check_all(self, acknowledged, sent):
        api, rows, parameters = self.daemon.client, {}, {"limit": 1000}
        while True:
            page = api.get("/v1/models/test/killed/versions", **parameters).json()
            rows.update({row["version"]: row for row in page["versions"]})
            if page["next"] is None:
                break
            parameters["cursor"] = page["next"]
        for label, digest in acknowledged.items():
            self.assertIn(label, rows)
            self.assertEqual(rows[label]["files"][0]["digest"], digest)
        for label in rows:
            target = "/v1/models/test/killed/versions/" + label
            self.assertEqual(api.get(target, wait=60).json()["state"], "ready", label)
            self.assertEqual(api.get(target + "/files/checkpoint").body, sent[label])
        known = {row["files"][0]["digest"][7:] for row in rows.values()}
        deadline = time.monotonic() + 20
        while blob_files(self.daemon.data) - known and time.monotonic() < deadline:
            time.sleep(0.5)
        self.assertEqual(blob_files(self.daemon.data) - known, set(), "orphans stayed")

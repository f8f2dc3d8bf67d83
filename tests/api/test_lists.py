"""Lists of models and versions, page by page, also while they grow."""

import threading

from support.case import ApiTest
from support.checkpoints import small


class Lists(ApiTest):
    def pages(self, target, member, limit):
        """All rows of all pages, and how many pages there were."""
        rows, pages, parameters = [], 0, {"limit": limit}
        while True:
            response = self.api.get(target, **parameters)
            self.assertEqual(response.status, 200, response.body)
            page = response.json()
            self.assertLessEqual(len(page[member]), limit)
            rows += page[member]
            pages += 1
            if page["next"] is None:
                self.assertNotIn("Link", response.headers)
                return rows, pages
            link = response.headers["Link"].split(">")[0][1:]
            self.assertEqual(self.api.get(link).status, 200)
            parameters["cursor"] = page["next"]

    def test_versions_come_newest_first(self):
        model = self.fresh()
        for i in range(7):
            self.api.put(self.at(model, "e%d" % i), small(i))
        rows, pages = self.pages(model + "/versions", "versions", 3)
        self.assertEqual([row["version"] for row in rows], ["e%d" % i for i in reversed(range(7))])
        self.assertEqual(pages, 3)
        rows, pages = self.pages(model + "/versions", "versions", 7)
        self.assertEqual((len(rows), pages), (7, 1))

    def test_rows_that_come_meanwhile_shift_nothing(self):
        model = self.fresh()
        for i in range(30):
            self.api.put(self.at(model, "old-%d" % i), small(i))
        stop = threading.Event()

        def grow():
            number = 0
            while not stop.is_set():
                self.api.put(self.at(model, "new-%d" % number), small(number % 30))
                number += 1

        thread = threading.Thread(target=grow)
        thread.start()
        try:
            for _ in range(5):
                rows, _ = self.pages(model + "/versions", "versions", 4)
                serials = [row["serial"] for row in rows]
                self.assertEqual(serials, sorted(set(serials), reverse=True))
                old = [row["version"] for row in rows if row["version"].startswith("old-")]
                self.assertEqual(old, ["old-%d" % i for i in reversed(range(30))])
        finally:
            stop.set()
            thread.join()

    def test_models_come_by_name(self):
        names = ["b", "a", "B2", "a.x", "a-x", "z_"]
        for name in names:
            self.api.put("/v1/models/ordered/%s/versions/one" % name, small())
            self.api.put("/v1/models/ordered-too/%s/versions/one" % name, small())
        rows, _ = self.pages("/v1/models/ordered", "models", 2)
        self.assertEqual([row["model"] for row in rows], ["ordered/" + n for n in sorted(names)])
        rows, _ = self.pages("/v1/models", "models", 4)
        found = [row["model"] for row in rows]
        self.assertEqual(found, sorted(found, key=lambda name: name.split("/")))
        self.assertLessEqual({"ordered/a", "ordered-too/a"}, set(found))

    def test_a_model_tells_of_its_versions(self):
        model = self.fresh()
        self.upload(small(1), model, "one")
        self.upload(small(2), model, "two")
        row = self.api.get(model).json()
        self.assertEqual((row["model"], row["versions"], row["latest"]),
                         (model[len("/v1/models/"):], 2, "two"))
        self.assertLessEqual(row["created_at"], row["updated_at"])

    def test_an_unknown_namespace_is_404(self):
        self.assert_problem(self.api.get("/v1/models/nobody-here"), 404, "not-found")

    def test_bad_pages_are_400(self):
        model = self.fresh()
        self.upload(small(), model)
        for target in ("/v1/models", model + "/versions"):
            for query in ("limit=0", "limit=1001", "limit=-1", "limit=ten", "limit=",
                          "cursor=not-a-cursor", "cursor=%00"):
                with self.subTest(target + query):
                    self.assertEqual(self.api.get(target + "?" + query).status, 400)

    def test_a_cursor_of_another_list_is_400(self):
        model = self.fresh()
        for i in range(3):
            self.api.put(self.at(model, "e%d" % i), small(i))
        cursor = self.api.get(model + "/versions", limit=1).json()["next"]
        self.assert_problem(self.api.get("/v1/models", cursor=cursor), 400, "bad-request")


class Empty(ApiTest):
    def test_a_new_daemon_has_no_models(self):
        response = self.api.get("/v1/models")
        self.assertEqual(response.json(), {"models": [], "next": None})

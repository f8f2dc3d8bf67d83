"""The base of the API tests: one daemon for all tests of a class."""

import itertools
import unittest

from support.client import quote
from support.daemon import Daemon


class ApiTest(unittest.TestCase):
    flags = ()
    maxDiff = 4000
    numbers = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(flags=cls.flags).start()
        cls.api = cls.daemon.client

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def fresh(self):
        """The path of a model that no other test has."""
        return "/v1/models/test/model-%d" % next(self.numbers)

    def at(self, model, ref, *rest):
        return "/".join([model, "versions", quote(ref).replace("%40", "@").replace("%3A", ":"), *rest])

    def upload(self, body, model=None, label="one", wait=20, **parameters):
        """Upload and wait for the inspection; gives the version's path."""
        target = self.at(model or self.fresh(), label)
        response = self.api.put(target, body, wait=wait, **parameters)
        self.assertEqual(response.status, 201, response.body[:500])
        return target

    def assert_problem(self, response, status, kind, *words):
        """A problem of that kind, whose detail has these words."""
        self.assertEqual((response.status, response.headers.get("Content-Type")),
                         (status, "application/problem+json"), response.body[:800])
        problem = response.json()
        self.assertEqual(problem["type"], "/problems/" + kind, problem)
        for word in words:
            self.assertIn(word, problem["detail"])

#!/usr/bin/python3
"""The API tests: the real daemon, requests over TCP, every response held against openapi.yaml.

    python3 tests/api/run.py [--daemon PATH] [-v] [PATTERN…]

A pattern picks the tests whose full name (test_upload.Upload.test_…) contains it. Debian: python3-yaml,
python3-jsonschema.
"""

import argparse
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True


class Result(unittest.TestResult):
    """Counts; a class that could not start or stop counts as one failure."""

    def __init__(self, verbose):
        super().__init__()
        self.verbose = verbose
        self.passed = 0
        self.started_at = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.started_at = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        if self.verbose:
            print("ok   %s (%.2f s)" % (test.id(), time.monotonic() - self.started_at), flush=True)

    def tell(self, word, test, error):
        print("%s %s\n%s" % (word, test.id(), self._exc_info_to_string(error, test)), flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell("FAIL", test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.tell("FAIL", test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.tell("FAIL", subtest, error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print("skip %s: %s" % (test.id(), reason), flush=True)


def each_test(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from each_test(item)
        else:
            yield item


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", default=os.environ.get("CKPTD", ""), help="the binary")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each test")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    arguments = parser.parse_args()
    from support.contract import CONTRACT, ROOT
    from support.daemon import Daemon

    Daemon.path = os.path.abspath(arguments.daemon or os.path.join(ROOT, "build", "dev", "ckptd"))
    if not os.access(Daemon.path, os.X_OK):
        print("there is no daemon at %s" % Daemon.path)
        print("0 passed, 1 failed")
        return 1
    found = unittest.defaultTestLoader.discover(HERE, pattern="test_*.py", top_level_dir=HERE)
    chosen = unittest.TestSuite(
        test for test in each_test(found)
        if not arguments.patterns or any(pattern in test.id() for pattern in arguments.patterns))
    result = Result(arguments.verbose)
    chosen.run(result)
    failed = len(result.failures) + len(result.errors)
    if not arguments.patterns:
        statuses = sorted(status for name, status in CONTRACT.seen)
        print("%d pairs of operation and status were seen" % len(statuses))
    if result.passed == 0 and failed == 0:
        print("no test was run")
        failed = 1
    print("%d passed, %d failed" % (result.passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

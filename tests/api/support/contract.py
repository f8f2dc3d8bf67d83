"""Holds each response against openapi.yaml: status, headers, content type, body."""

import json
import os
import re

import jsonschema
import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


class Violation(AssertionError):
    """A response that the contract does not know."""


def unique_keys(pairs):
    keys = [key for key, _ in pairs]
    doubles = {key for key in keys if keys.count(key) > 1}
    if doubles:
        raise Violation("the JSON has %s twice" % ", ".join(sorted(doubles)))
    return dict(pairs)


def parse_json(body):
    return json.loads(body.decode("utf-8"), object_pairs_hook=unique_keys)


def deepest(errors):
    """The error that says most: of those below alternatives and allOf, too."""
    every = list(errors)
    for error in every:
        every += error.context or []
    return max(every, key=lambda e: (e.validator != "unevaluatedProperties", len(e.absolute_path)))


class Contract:
    def __init__(self, path=os.path.join(ROOT, "openapi.yaml")):
        with open(path, encoding="utf-8") as file:
            self.spec = yaml.safe_load(file)
        self.validators = {}
        self.seen = set()  # (operationId, status)
        self.routes = []
        for template, item in self.spec["paths"].items():
            parts = re.split(r"(\{[a-z]+\})", template)
            pattern = "".join(
                "(.+)" if part == "{path}" else "([^/]+)" if part[:1] == "{" else re.escape(part)
                for part in parts
            )
            literal = template.count("/") * 10 - template.count("{")
            self.routes.append((literal, re.compile(pattern + r"\Z"), item))
        self.routes.sort(key=lambda route: -route[0])

    def resolve(self, node):
        while "$ref" in node:
            target = self.spec
            for part in node["$ref"][2:].split("/"):
                target = target[part]
            node = target
        return node

    def operation(self, method, path):
        """The operation, and whether there is such a path at all."""
        method = "get" if method == "HEAD" else method.lower()
        for _, pattern, item in self.routes:
            if pattern.match(path):
                return item.get(method), True
        return None, False

    def validate(self, schema, value, what):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(
                {"allOf": [schema], "components": self.spec["components"]}
            )
        errors = list(self.validators[key].iter_errors(value))
        if errors:
            error = deepest(errors)
            at = "/".join(str(part) for part in error.absolute_path)
            raise Violation("%s: at /%s: %s" % (what, at, error.message[:600]))

    def check_headers(self, documented, response, what):
        for name, header in documented.items():
            header = self.resolve(header)
            value = response.headers.get(name)
            if value is None:
                if header.get("required"):
                    raise Violation("%s: the header %s is missing" % (what, name))
                continue
            self.validate(header["schema"], value, "%s: header %s" % (what, name))

    def check_problem(self, response, what):
        problem = parse_json(response.body)
        self.validate({"$ref": "#/components/schemas/Problem"}, problem, what)
        if problem["status"] != response.status:
            raise Violation("%s: the problem says status %s" % (what, problem["status"]))
        if problem.get("request_id") != response.headers.get("X-Request-Id"):
            raise Violation("%s: the problem has another request id than the header" % what)

    def check_body(self, content, response, what):
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind not in content:
            raise Violation("%s: content type %r is not one of %s" % (what, kind, sorted(content)))
        if kind.endswith("json"):
            value = parse_json(response.body)
        elif kind == "application/octet-stream":
            return
        else:
            value = response.body.decode("utf-8")
        self.validate(content[kind]["schema"], value, what)

    def check(self, method, target, response):
        path = target.split("?")[0]
        operation, is_path = self.operation(method, path)
        what = "%s %s -> %d" % (method, target[:200], response.status)
        kind = response.headers.get("Content-Type", "").split(";")[0]
        if "X-Request-Id" not in response.headers:
            raise Violation("%s: no X-Request-Id" % what)
        if kind == "application/problem+json" and method != "HEAD":
            self.check_problem(response, what)
        if method == "OPTIONS":
            if response.status < 400 and "Allow" not in response.headers:
                raise Violation("%s: no Allow" % what)
            return
        if operation is None:
            if response.status < 400:
                raise Violation("%s: no such operation is in the contract" % what)
            if is_path and response.status == 405 and "Allow" not in response.headers:
                raise Violation("%s: no Allow" % what)
            return
        responses = operation["responses"]
        status = str(response.status)
        if status not in responses and response.status < 400:
            raise Violation("%s: %s does not list that status" % (what, operation["operationId"]))
        documented = self.resolve(responses.get(status, responses["default"]))
        self.seen.add((operation["operationId"], status if status in responses else "default"))
        headers = documented.get("headers", {})
        if kind == "application/problem+json":
            headers = {k: v for k, v in headers.items() if not k.startswith("Ckptd-")}
        self.check_headers(headers, response, what)
        content = documented.get("content")
        if method == "HEAD" or content is None:
            if response.body:
                raise Violation("%s: there is a body" % what)
            return
        if not response.body and kind == "":
            if not (response.status == 503 and operation["operationId"] == "versions_compatibility"):
                raise Violation("%s: there is no body" % what)
            return
        self.check_body(content, response, what)
        if kind in ("application/json", "text/plain") and "Ckptd-Verdict" in headers:
            if "Ckptd-Verdict" not in response.headers:
                raise Violation("%s: the header Ckptd-Verdict is missing" % what)
            if kind == "application/json":
                verdict = parse_json(response.body)["verdict"]
                if verdict != response.headers["Ckptd-Verdict"]:
                    raise Violation("%s: Ckptd-Verdict differs from the report's" % what)


CONTRACT = Contract()

"""routes.c, the handlers and openapi.yaml say the same. Called by routes.sh with the tree's root."""

import os
import re
import sys

import yaml

ROOT = sys.argv[1]


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as file:
        return file.read()


def without_comments(code):
    return re.sub(r"/\*.*?\*/", "", code, flags=re.S)


def text_of(expression, macros):
    """A C string made of literals and macros."""
    parts = re.findall(r'"([^"]*)"|([A-Z_]+)', expression)
    return "".join(literal or (macros[name] if name else "") for literal, name in parts)


def field(row, name, pattern):
    found = re.search(r"\." + name + r"\s*=\s*(" + pattern + ")", row, flags=re.S)
    return found.group(1) if found else ""


def routes_of(code):
    code = without_comments(code)
    macros = dict(re.findall(r'#define\s+([A-Z_]+)\s+"([^"]*)"', code))
    strings = r'(?:"[^"]*"|[A-Z_]+|\s)+'
    for row in re.findall(r"\{\s*\.method.*?\},?\s*(?=\{|\};)", code, flags=re.S):
        yield {
            "method": field(row, "method", r"\w+").replace("METHOD_", "").lower(),
            "path": text_of(field(row, "pattern", strings), macros).replace("...}", "}"),
            "name": field(row, "name", strings).strip().strip('"'),
            "handler": field(row, "(?:handler|upload)", r"&?\w+").split("=")[-1].strip(" &")
            or re.search(r"\.(?:handler|upload)\s*=\s*&?(\w+)", row).group(1),
            "query": set(text_of(field(row, "query", strings), macros).split()),
            "has_body": field(row, "body", r"\w+") not in ("", "BODY_NONE"),
        }


def resolve(spec, node):
    while "$ref" in node:
        target = spec
        for part in node["$ref"][2:].split("/"):
            target = target[part]
        node = target
    return node


def query_of(spec, item, operation):
    """As a route spells it: "name", "name+" for one that repeats, "name.*" for a family."""
    for parameter in item.get("parameters", []) + operation.get("parameters", []):
        parameter = resolve(spec, parameter)
        if parameter["in"] == "query":
            kind = resolve(spec, parameter["schema"]).get("type")
            yield parameter["name"] + {"array": "+", "object": ".*"}.get(kind, "")


def operations_of(spec):
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield {"method": method, "path": path, "name": operation.get("operationId"),
                       "query": set(query_of(spec, item, operation)),
                       "has_body": "requestBody" in operation}


def compare(route, operation):
    where = "%s %s" % (route["method"].upper(), route["path"])
    if route["name"] != operation["name"]:
        yield "%s is %s in routes.c, %s in openapi.yaml" % (where, route["name"], operation["name"])
    if route["handler"] != route["name"]:
        yield "%s: the handler is called %s, not %s" % (where, route["handler"], route["name"])
    for name in sorted(route["query"] - operation["query"]):
        yield "%s takes ?%s=, which openapi.yaml does not know" % (where, name)
    for name in sorted(operation["query"] - route["query"]):
        yield "%s has ?%s= in openapi.yaml, which routes.c refuses" % (where, name)
    if route["has_body"] != operation["has_body"]:
        yield "%s: only one of routes.c and openapi.yaml knows a body" % where


def check_routes(spec):
    routes = {(r["method"], r["path"]): r for r in routes_of(read("server", "api", "routes.c"))}
    operations = {(o["method"], o["path"]): o for o in operations_of(spec)}
    if not routes:
        yield "server/api/routes.c has no rows that can be read"
    for key in sorted(routes.keys() - operations.keys()):
        yield "openapi.yaml lacks %s %s" % (key[0].upper(), key[1])
    for key in sorted(operations.keys() - routes.keys()):
        yield "routes.c lacks %s %s" % (key[0].upper(), key[1])
    for key in sorted(routes.keys() & operations.keys()):
        yield from compare(routes[key], operations[key])
    yield from check_handlers({name.rstrip("+") for r in routes.values() for name in r["query"]})


def check_handlers(known):
    """No handler asks for a parameter that the gate would never let through."""
    folder = os.path.join(ROOT, "server", "api")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".c"):
            code = without_comments(read("server", "api", name))
            for asked in re.findall(r'request_(?:has_)?query\w*\(\s*[\w>.-]+,\s*"([^"]+)"', code):
                if asked not in known:
                    yield "server/api/%s asks for ?%s=, which no route takes" % (name, asked)


def check_types(spec):
    rows = re.findall(r'^ERR\(\w+,\s*\d+,\s*"([^"]+)"', read("common", "base", "err_table.h"), re.M)
    schemas = spec.get("components", {}).get("schemas", {})
    types = set(schemas.get("ProblemType", {}).get("enum", []))
    for row in rows:
        if "/problems/" + row not in types:
            yield "openapi.yaml's ProblemType lacks /problems/" + row
    for one in sorted(types - {"/problems/" + row for row in rows}):
        yield "openapi.yaml's ProblemType has %s, which is no error of ours" % one
    refused = schemas.get("RefusedProblem", {}).get("properties", {}).get("type", {}).get("enum", [])
    for one in sorted(set(refused) - types):
        yield "openapi.yaml's RefusedProblem has %s, which ProblemType lacks" % one


def main():
    spec = yaml.safe_load(read("openapi.yaml"))
    findings = [*check_routes(spec), *check_types(spec)]
    for finding in findings:
        print(finding)


main()

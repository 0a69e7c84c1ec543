#!/usr/bin/env python3
"""Makes smithy.json of the protocol tests in a clone of https://github.com/smithy-lang/smithy (Apache-2.0):

    python3 smithy.py SMITHY > smithy.json

The tests of the operations in OPERATIONS are kept whole; of the others only the ids, so that smithy_test.go can account for
each. Tests for clients alone are left out.
"""
import json
import re
import subprocess
import sys

# By protocol: what smithy_test.go has a row for.
OPERATIONS = {
    "restJson1": """
        MalformedBlob MalformedBoolean MalformedDouble MalformedFloat MalformedInteger MalformedList MalformedLong MalformedMap
        MalformedRequestBody MalformedUnion
        MalformedEnum MalformedLength MalformedLengthOverride MalformedLengthQueryString MalformedPattern
        MalformedPatternOverride MalformedRange MalformedRangeOverride MalformedRequired RecursiveStructures SensitiveValidation
        AcceptHeaderStarService ContentTypeParameters DocumentType DocumentTypeAsMapValue EmptyInputAndEmptyOutput
        HttpPayloadTraits HttpPayloadTraitsWithMediaType HttpRequestWithRegexLiteral HttpResponseCode
        IgnoreQueryParamsInResponse JsonBlobs JsonEnums JsonIntEnums JsonMaps JsonUnions NoInputAndNoOutput NoInputAndOutput
        OmitsNullSerializesEmptyString PostPlayerAction PostUnionWithJsonName RecursiveShapes ResponseCodeHttpFallback
        ResponseCodeRequired SimpleScalarProperties StreamingTraits StreamingTraitsRequireLength StreamingTraitsWithMediaType
        TestBodyStructure TestGetNoInputNoPayload TestGetNoPayload TestPayloadBlob TestPostNoInputNoPayload TestPostNoPayload
        UnitInputAndOutput""",
    "awsJson1_1": """
        ContentTypeParameters EmptyOperation InvalidGreeting JsonEnums JsonIntEnums JsonUnions KitchenSinkOperation NullOperation
        OperationWithOptionalInputOutput PutAndGetInlineDocuments""",
}

TOKEN = re.compile(r'''//[^\n]*|"""\n(?P<block>(?:\\.|[^\\])*?)"""|"(?P<text>(?:\\.|[^"\\])*)"|(?P<number>-?\d+(?:\.\d+)?)'''
                   r'''|(?P<name>[A-Za-z_][\w.#$]*)|(?P<mark>[{}\[\]:])|.|\n''', re.S)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def unescape(s):
    def one(m):
        if m[1][0] == "u":
            return chr(int(m[1][1:], 16))
        return "" if m[1] == "\n" else ESCAPES.get(m[1], m[1])
    return re.sub(r"\\(u[0-9a-fA-F]{4}|.|\n)", one, s, flags=re.S)


def dedent(s):
    lines = s.split("\n")
    indent = min(len(l) - len(l.lstrip(" ")) for i, l in enumerate(lines) if l.strip() or i == len(lines) - 1)
    return "\n".join(l[indent:].rstrip(" ") for l in lines)


class Node:
    """A reader of node values: https://smithy.io/2.0/spec/idl.html#node-values."""

    def __init__(self, text):
        self.tokens = [(m.lastgroup, m[m.lastgroup], m.end()) for m in TOKEN.finditer(text) if m.lastgroup]
        self.i = 0

    def next(self):
        self.i += 1
        return self.tokens[self.i - 1]

    def closes(self, mark):
        if self.tokens[self.i][:2] == ("mark", mark):
            self.i += 1
            return True
        return False

    def value(self):
        kind, text, _ = self.next()
        if kind == "block":
            return unescape(dedent(text))
        if kind == "text":
            return unescape(text)
        if kind == "number":
            return json.loads(text)
        if kind == "name":
            return {"true": True, "false": False, "null": None}.get(text, text)
        if text == "[":
            out = []
            while not self.closes("]"):
                out.append(self.value())
            return out
        out = {}
        while not self.closes("}"):
            kind, key, _ = self.next()
            assert self.next()[1] == ":"
            out[unescape(key) if kind == "text" else key] = self.value()
        return out


def tests(text):
    """Yields (kind, operation, test) of one .smithy file."""
    for m in re.finditer(r"@(httpMalformedRequest|httpRequest|httpResponse)Tests\(\[", text):
        node = Node(text[m.end() - 1:])
        found = node.value()
        applied = re.search(r"apply (\w+)\s*$", text[:m.start()])
        if not applied:  # a trait of the shape that follows
            rest = text[m.end() - 1 + node.tokens[node.i - 1][2]:]
            applied = re.search(r"^(?:operation|structure) (\w+)", rest, re.M)
        for test in found:
            if test.get("appliesTo") != "client":
                yield {"httpMalformedRequest": "malformed", "httpRequest": "request", "httpResponse": "response"}[m[1]], applied[1], test


def kept(protocol, kind, operation, test):
    request, response = test.get("request", test), test.get("response", test)
    out = {"protocol": protocol, "test": kind, "operation": operation, "id": test["id"]}
    if kind != "response":
        out |= {"method": request["method"], "uri": request["uri"], "query": request.get("queryParams"), "headers": request.get("headers"),
                "body": request.get("body")}
    if kind != "request":
        body = response.get("body")
        if kind == "malformed" and body:
            body = body["assertion"]["contents"]
        out |= {"code": response["code"], "answerHeaders": response.get("headers"), "answer": body}
    if kind != "malformed":
        out |= {"params": test.get("params", {})}
    out |= {"values": test.get("testParameters")}
    return {k: v for k, v in out.items() if v is not None}


def main(repository):
    git = lambda *args: subprocess.check_output(["git", "-C", repository, *args], text=True)
    print('{"version":%s,"commit":%s,"cases":[' % tuple(json.dumps(git(*a).strip()) for a in (("show", "HEAD:VERSION"), ("rev-parse", "HEAD"))))
    lines, others = [], []
    for protocol, operations in OPERATIONS.items():
        for path in git("ls-tree", "-r", "--name-only", "HEAD", "smithy-aws-protocol-tests/model/" + protocol).split():
            if not path.endswith(".smithy"):
                continue
            for kind, operation, test in tests(git("show", "HEAD:" + path)):
                if operation in operations.split():
                    lines.append(json.dumps(kept(protocol, kind, operation, test), ensure_ascii=False, separators=(",", ":")))
                else:
                    others.append(json.dumps([protocol, operation, test["id"]], separators=(",", ":")))
    print(",\n".join(lines) + '],\n"others":[' + ",\n".join(others) + "]}")


main(sys.argv[1])

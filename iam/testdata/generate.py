#!/usr/bin/env python3
"""Makes requests.json: requests signed by botocore at one fixed time, as they go on the wire.

Run it with a Python that has botocore:  python3 iam/testdata/generate.py > iam/testdata/requests.json

Cases named client-* are what botocore's own clients send; the others are signed by botocore's SigV4Auth over forms
that other clients send. botocore is Apache-2.0, https://github.com/boto/botocore.
"""
import base64
import datetime
import json
import sys

import botocore
import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 23, 11, 35, 12, tzinfo=datetime.timezone.utc)
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:4141"
ENDPOINT = "http://" + HOST
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef123456"

botocore.auth.get_current_datetime = lambda *a, **k: NOW

cases = []


def record(name, method, url, headers, body, region="us-east-1", service="bedrock", token=False):
    if isinstance(body, str):
        body = body.encode()
    target = url[len(ENDPOINT):]
    cases.append({
        "name": name,
        "method": method,
        "target": target,
        "headers": [[k, v.decode() if isinstance(v, bytes) else v] for k, v in headers],
        "body": base64.b64encode(body or b"").decode(),
        "region": region,
        "service": service,
        "token": token,
    })


def client(name, service, call, params, region="us-east-1", token=None):
    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET, token)
    c = session.create_client(service, region_name=region, endpoint_url=ENDPOINT,
                              config=Config(retries={"total_max_attempts": 1}))

    def send(request, **kwargs):
        # Not signed, and not the same on every run.
        headers = [(k, v) for k, v in request.headers.items() if k not in ("amz-sdk-invocation-id", "User-Agent")]
        body = request.body
        if hasattr(body, "read"):
            body = body.read()
        record(name, request.method, request.url, headers, body, region,
               c.meta.service_model.signing_name, token is not None)
        raise Sent()

    c.meta.events.register("before-send", send)
    try:
        c._make_api_call(call, params)
    except Sent:
        return
    raise SystemExit(name + ": nothing was sent")


class Sent(Exception):
    pass


class Authority(botocore.auth.SigV4Auth):
    """Signs :authority, as the JavaScript SDK does over HTTP/2."""

    def headers_to_sign(self, request):
        headers = super().headers_to_sign(request)
        host = headers["host"]
        del headers["host"]
        headers[":authority"] = host
        return headers


def signed(name, method, path, headers=(), body=b"", region="us-east-1", service="bedrock", token=None,
           auth=botocore.auth.SigV4Auth):
    request = AWSRequest(method=method, url=ENDPOINT + path, data=body, headers=dict(headers))
    auth(Credentials(KEY, SECRET, token), service, region).add_auth(request)
    record(name, method, ENDPOINT + path, list(request.headers.items()), body, region, service, token is not None)


converse = {"messages": [{"role": "user", "content": [{"text": "Ünïcode, please"}]}]}
client("client-converse-arn", "bedrock-runtime", "Converse", {"modelId": PROFILE, **converse})
client("client-converse-id", "bedrock-runtime", "Converse", {"modelId": "us.anthropic.claude-3-haiku-20240307-v1:0", **converse}, region="us-gov-west-1")
client("client-converse-stream", "bedrock-runtime", "ConverseStream", {"modelId": PROFILE, **converse})
client("client-invoke", "bedrock-runtime", "InvokeModel", {"modelId": "anthropic.claude-3-haiku-20240307-v1:0", "body": b"{\"x\":1}", "trace": "ENABLED", "guardrailIdentifier": "abc", "guardrailVersion": "1", "accept": "application/json", "contentType": "application/json"})
client("client-create", "bedrock", "CreateInferenceProfile", {"inferenceProfileName": "team-a", "clientRequestToken": "t1", "modelSource": {"copyFrom": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"}, "tags": [{"key": "Project", "value": "Alpha"}]})
client("client-list", "bedrock", "ListInferenceProfiles", {"typeEquals": "APPLICATION", "maxResults": 10, "nextToken": "a+b/c=="})
client("client-get-arn", "bedrock", "GetInferenceProfile", {"inferenceProfileIdentifier": PROFILE})
client("client-delete", "bedrock", "DeleteInferenceProfile", {"inferenceProfileIdentifier": "abcdef123456"})
client("client-ce", "ce", "GetCostAndUsage", {"TimePeriod": {"Start": "2026-11-01", "End": "2026-12-01"}, "Granularity": "MONTHLY", "Metrics": ["UnblendedCost"]})
client("client-sts", "sts", "GetCallerIdentity", {})
client("client-token", "bedrock", "ListInferenceProfiles", {}, token="IQoJb3JpZ2luX2VjEXAMPLE//////////")

# The model id with raw colons, as the Anthropic SDK sends it, and encoded twice.
signed("raw-colons", "POST", "/model/" + PROFILE.replace("/", "%2F") + "/invoke", {"Content-Type": "application/json"}, b"{}")
signed("raw-slash", "POST", "/model/" + PROFILE + "/invoke", {"Content-Type": "application/json"}, b"{}")
signed("encoded-twice", "POST", "/model/" + PROFILE.replace(":", "%253A").replace("/", "%252F") + "/invoke", {}, b"{}")
signed("lower-case-escapes", "POST", "/model/" + PROFILE.replace(":", "%3a").replace("/", "%2f") + "/invoke", {}, b"{}")
signed("dots-and-slashes", "GET", "/a/./b/..//inference-profiles/")
signed("root-without-body", "POST", "/")
signed("query-repeated", "GET", "/inference-profiles?b=2&a=3&a=1&a-b=0&c=&a=2")
signed("query-empty-values", "GET", "/inference-profiles?type=&nextToken=&z=")
signed("query-escapes", "GET", "/inference-profiles?nextToken=%2B%2F%3D%20x&k%C3%A9y=%E1%88%B4")
signed("header-spaces", "POST", "/", {"X-Amz-Note": "  a   b\t ", "X-Other": "c"}, b"x")
signed("date-header", "POST", "/", {"Date": "set by the signer"}, b"x")
signed("content-length", "POST", "/", {"Content-Length": "3"}, b"abc")
signed("content-sha256", "POST", "/", {"X-Amz-Content-SHA256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}, b"abc")
signed("authority", "POST", "/model/x/converse", {"Content-Type": "application/json"}, b"{}", auth=Authority)
signed("body-1k", "POST", "/model/x/invoke", {"Content-Type": "application/json"}, b"0123456789abcdef" * 64)
signed("long-body", "POST", "/model/x/invoke", {}, b"0123456789abcdef" * 6400)
signed("other-region", "POST", "/", {"X-Amz-Target": "AWSInsightsIndexService.GetTags"}, b"{}", region="ap-northeast-1", service="ce")

json.dump({
    "made_with": "botocore " + botocore.__version__,
    "access_key_id": KEY,
    "secret_access_key": SECRET,
    "host": HOST,
    "time": NOW.strftime("%Y%m%dT%H%M%SZ"),
    "cases": cases,
}, sys.stdout, indent=1, ensure_ascii=False)
sys.stdout.write("\n")

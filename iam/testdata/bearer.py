#!/usr/bin/env python3
"""Makes bearer.json: short-term API keys of AWS's own generators, made at one fixed time.

    pip install aws-bedrock-token-generator==1.1.0
    npm install @aws/bedrock-token-generator@1.1.0
    python3 iam/testdata/bearer.py > iam/testdata/bearer.json

Both generators are Apache-2.0: https://github.com/aws/aws-bedrock-token-generator-python and -js.
"""
import datetime
import json
import subprocess
import sys

import botocore.auth
import botocore.compat
from aws_bedrock_token_generator import __version__, provide_token
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 23, 11, 35, 12, tzinfo=datetime.timezone.utc)
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SESSION = "IQoJb3JpZ2luX2VjEXAMPLE+a/b==//////////"

botocore.auth.get_current_datetime = lambda *a, **k: NOW

JAVASCRIPT = """
const now = new Date(%d);
globalThis.Date = class extends Date { constructor(...a) { a.length ? super(...a) : super(now); } static now() { return now.getTime(); } };
const { getToken } = require("@aws/bedrock-token-generator");
const { region, expires, session } = JSON.parse(process.argv[1]);
getToken({ credentials: { accessKeyId: %s, secretAccessKey: %s, sessionToken: session || undefined }, region, expiresInSeconds: expires })
  .then(t => process.stdout.write(t));
""" % (NOW.timestamp() * 1000, json.dumps(KEY), json.dumps(SECRET))


class Fixed:
    def __init__(self, session):
        self.session = session

    def load(self):
        return Credentials(KEY, SECRET, self.session or None)


def python(region, expires, session):
    return provide_token(region, Fixed(session), datetime.timedelta(seconds=expires))


def javascript(region, expires, session):
    args = json.dumps({"region": region, "expires": expires, "session": session})
    return subprocess.run(["node", "-e", JAVASCRIPT, args], check=True, capture_output=True, text=True).stdout


cases = []
for name, make in (("python", python), ("javascript", javascript)):
    for kind, region, expires, session in (("12h", "us-east-1", 43200, ""), ("15m", "eu-west-1", 900, ""), ("session", "us-east-1", 3600, SESSION)):
        cases.append({"name": name + "-" + kind, "region": region, "expires": expires, "session": session != "", "key": make(region, expires, session)})

json.dump({
    "made_with": "the Python and JavaScript generators " + __version__,
    "access_key_id": KEY,
    "secret_access_key": SECRET,
    "time": NOW.strftime("%Y%m%dT%H%M%SZ"),
    "cases": cases,
}, sys.stdout, indent=1)
sys.stdout.write("\n")

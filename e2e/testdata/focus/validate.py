"""Reads exports as other tools do: python validate.py FOLDER prints as JSON what the files in it add up to, by DuckDB, and what
focus-validator says of those that are FOCUS."""
import json
import os
import re
import subprocess
import sys
import sysconfig

import duckdb

folder = sys.argv[1]
db = duckdb.connect()


def rows(sql):
    return [[str(v) for v in row] for row in db.execute(sql).fetchall()]


focus = f"read_parquet('{folder}/focus/data/*/*.parquet', hive_partitioning=true)"
as_csv = f"read_csv('{folder}/focus-csv/data/*/*.csv.gz', hive_partitioning=true)"
cur = f"read_parquet('{folder}/cur/data/*/*.parquet', hive_partitioning=true)"
sums = {
    "focus": rows(f"SELECT COALESCE(Tags::JSON ->> '$.Project', ''), SUM(BilledCost) FROM {focus} GROUP BY 1"),
    "focus-csv": rows(f"SELECT COALESCE(Tags::JSON ->> '$.Project', ''), SUM(BilledCost::DECIMAL(18,9)) FROM {as_csv} GROUP BY 1"),
    "cur": rows(f"SELECT COALESCE(resource_tags['user_project'], ''), SUM(line_item_unblended_cost::DECIMAL(18,9)) FROM {cur} GROUP BY 1"),
    "usage types": rows(f"SELECT line_item_usage_type, SUM(line_item_unblended_cost::DECIMAL(18,9)) FROM {cur} WHERE line_item_product_code = 'AmazonBedrock' AND line_item_line_item_type = 'Usage' GROUP BY 1"),
    "callers": rows(f"SELECT line_item_iam_principal, SUM(line_item_unblended_cost::DECIMAL(18,9)) FROM {cur} WHERE product_product_family = 'Amazon Bedrock' AND product['model'] IS NOT NULL GROUP BY 1"),
}

one = os.path.join(folder, "one.parquet")
db.execute(f"COPY (SELECT * EXCLUDE (BILLING_PERIOD) FROM {focus}) TO '{one}' (FORMAT parquet)")
# Every criterion but commitments and reserved capacity, which a gateway does not have.
criteria = [
    "ACCOUNT_NAMING_SUPPORTED", "AVAILABILITY_ZONE_SUPPORTED", "MULTIPLE_PRICING_CATEGORIES_SUPPORTED", "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED", "NEGOTIATED_PRICING_SUPPORTED", "PUBLIC_PRICE_LIST_SUPPORTED", "USAGE_MEASUREMENT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED", "SUB_ACCOUNT_SUPPORTED", "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED", "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED", "VIRTUAL_CURRENCY_SUPPORTED", "REGION_SUPPORTED", "TAGGING_SUPPORTED",
]
# It reads its list of currencies from the working directory.
said = subprocess.run(
    [sys.executable, "-m", "focus_validator.main", "--block-download", "--validate-version", "1.2.0.1", "--output-type", "console",
     "--applicability-criteria", ",".join(criteria), "--data-file", one],
    cwd=sysconfig.get_paths()["purelib"], capture_output=True, text=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"},
)
verdicts = re.findall(r"^\S+ ([A-Za-z]+-[A-Z]-[0-9]+-[A-Z]): (PASS|FAIL|SKIPPED) ", said.stdout, re.M)
json.dump({
    "sums": sums,
    "passed": [rule for rule, verdict in verdicts if verdict == "PASS"],
    "failed": [rule for rule, verdict in verdicts if verdict == "FAIL"],
    "output": (said.stdout + said.stderr)[-3000:],
}, sys.stdout)

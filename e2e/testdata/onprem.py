"""boto3 with a geography of the operator's own (onprem.yaml): listed, copied, called and paid for like AWS's."""
import datetime
import decimal
import time

import boto3
from botocore.exceptions import ClientError

REGION = 'onprem-tokyo-1'
LLAMA = 'meta.llama3-1-8b-instruct-v1:0'
ACME = 'acme.chat-v1:0'
bedrock = boto3.client('bedrock', region_name=REGION)
runtime = boto3.client('bedrock-runtime', region_name=REGION)
ce = boto3.client('ce', region_name=REGION)

listed = {p['inferenceProfileId']: p for p in bedrock.list_inference_profiles(typeEquals='SYSTEM_DEFINED')['inferenceProfileSummaries']}
assert set(listed) == {f'onprem.{LLAMA}', f'onprem.{ACME}'}, listed
p = bedrock.get_inference_profile(inferenceProfileIdentifier=f'onprem.{LLAMA}')
account = p['inferenceProfileArn'].split(':')[4]
assert p['inferenceProfileArn'] == f'arn:aws:bedrock:{REGION}:{account}:inference-profile/onprem.{LLAMA}', p
assert p['inferenceProfileName'] == 'On-premises Meta Llama 3.1 8B Instruct' and p['type'] == 'SYSTEM_DEFINED', p
assert p['description'] == 'Routes requests to Meta Llama 3.1 8B Instruct in onprem-tokyo-1 and onprem-osaka-1.', p
models = [{'modelArn': f'arn:aws:bedrock:{r}::foundation-model/{LLAMA}'} for r in ('onprem-tokyo-1', 'onprem-osaka-1')]
assert p['models'] == models, p
model = bedrock.get_foundation_model(modelIdentifier=ACME)['modelDetails']
assert model['modelName'] == 'Acme Chat' and model['inferenceTypesSupported'] == ['INFERENCE_PROFILE'], model

# From a Region of AWS that is a source, the same destinations; AWS's own profiles stand beside it.
tokyo = boto3.client('bedrock', region_name='ap-northeast-1')
ids = [p['inferenceProfileId'] for p in tokyo.list_inference_profiles(typeEquals='SYSTEM_DEFINED')['inferenceProfileSummaries']]
assert f'onprem.{LLAMA}' in ids and any(i.startswith('apac.') for i in ids), ids
try:
    boto3.client('bedrock', region_name='onprem-osaka-1').get_inference_profile(inferenceProfileIdentifier=f'onprem.{LLAMA}')
    raise AssertionError('a Region that is no source offers the profile')
except ClientError as e:
    assert e.response['Error']['Code'] == 'ResourceNotFoundException', e.response

arn = bedrock.create_inference_profile(inferenceProfileName='edge llama', modelSource={'copyFrom': p['inferenceProfileArn']}, tags=[{'key': 'Project', 'value': 'Edge'}])['inferenceProfileArn']
got = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
assert got['models'] == models and got['type'] == 'APPLICATION', got
assert bedrock.list_tags_for_resource(resourceARN=arn)['tags'] == [{'key': 'Project', 'value': 'Edge'}]
acme = bedrock.create_inference_profile(inferenceProfileName='edge acme', modelSource={'copyFrom': listed[f'onprem.{ACME}']['inferenceProfileArn']}, tags=[{'key': 'Project', 'value': 'Unpriced'}])['inferenceProfileArn']

# What no upstream serves is told when it is made, not when it is called.
try:
    tokyo.create_inference_profile(inferenceProfileName='nowhere', modelSource={'copyFrom': f'arn:aws:bedrock:ap-northeast-1:{account}:inference-profile/apac.amazon.nova-lite-v1:0'})
    raise AssertionError('a profile was made that nothing can serve')
except ClientError as e:
    assert e.response['Error']['Code'] == 'ValidationException' and 'no upstream for amazon.nova-lite-v1:0' in e.response['Error']['Message'], e.response

hello = [{'role': 'user', 'content': [{'text': 'Say hello.'}]}]
usage = [runtime.converse(modelId=m, messages=hello)['usage'] for m in (arn, 'edge llama')]
for event in runtime.converse_stream(modelId=arn, messages=hello)['stream']:
    if 'metadata' in event:
        usage.append(event['metadata']['usage'])
runtime.converse(modelId=acme, messages=hello)
boto3.client('bedrock-runtime', region_name='ap-northeast-1').converse(modelId=f'onprem.{LLAMA}', messages=hello)
cost = sum(u['inputTokens'] * decimal.Decimal('0.03') + u['outputTokens'] * decimal.Decimal('0.05') for u in usage) / 1000000

today = datetime.datetime.now(datetime.timezone.utc).date()
period = {'Start': str(today - datetime.timedelta(days=1)), 'End': str(today + datetime.timedelta(days=1))}
for _ in range(100):
    results = ce.get_cost_and_usage(TimePeriod=period, Granularity='MONTHLY', Metrics=['UnblendedCost'], GroupBy=[{'Type': 'TAG', 'Key': 'Project'}])['ResultsByTime']
    spent = {}
    for group in (g for r in results for g in r['Groups']):
        spent[group['Keys'][0]] = spent.get(group['Keys'][0], 0) + decimal.Decimal(group['Metrics']['UnblendedCost']['Amount'])
    if spent.get('Project$Edge') == cost and 'Project$Unpriced' in spent and 'Project$' in spent:
        break
    time.sleep(0.1)
assert len(usage) == 3 and spent['Project$Edge'] == cost > 0, (spent, cost)
assert spent['Project$Unpriced'] == 0, spent
regions = {g['Keys'][0] for r in ce.get_cost_and_usage(TimePeriod=period, Granularity='MONTHLY', Metrics=['UsageQuantity'], GroupBy=[{'Type': 'DIMENSION', 'Key': 'REGION'}])['ResultsByTime'] for g in r['Groups']}
assert regions == {'onprem-tokyo-1', 'ap-northeast-1'}, regions

"""boto3 over the rest of the surface: pages, streams, tools both ways, raw bodies and their headers, typed errors."""
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = 'us-east-1'
MODEL = 'anthropic.claude-3-haiku-20240307-v1:0'
once = Config(retries={'max_attempts': 1, 'mode': 'standard'})
bedrock = boto3.client('bedrock', region_name=REGION, config=once)
runtime = boto3.client('bedrock-runtime', region_name=REGION, config=once)


def refused(code, call, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as e:
        assert e.response['Error']['Code'] == code, e.response
        return e.response['Error']['Message']
    raise AssertionError(f'{code} expected, got {answer}')


source = {'copyFrom': f'arn:aws:bedrock:{REGION}::foundation-model/{MODEL}'}
arns = [bedrock.create_inference_profile(inferenceProfileName=f'surface {i}', modelSource=source, tags=[{'key': 'n', 'value': str(i)}])['inferenceProfileArn'] for i in range(5)]
pages = list(bedrock.get_paginator('list_inference_profiles').paginate(typeEquals='APPLICATION', PaginationConfig={'PageSize': 2}))
seen = [p['inferenceProfileArn'] for page in pages for p in page['inferenceProfileSummaries']]
assert len(pages) == 3 and sorted(seen) == sorted(arns), seen
arn = arns[0]

first = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
assert 'description' not in first and first['createdAt'] == bedrock.get_inference_profile(inferenceProfileIdentifier=arn)['createdAt'], first

messages = [{'role': 'user', 'content': [{'text': 'Say hello.'}]}]
for model in (arn, 'surface 1', MODEL, 'us.' + MODEL, f'arn:aws:bedrock:{REGION}::foundation-model/{MODEL}'):
    if ' ' in model:
        continue  # botocore's own pattern lets no blank through
    answer = runtime.converse(modelId=model, messages=messages, inferenceConfig={'maxTokens': 64})
    assert answer['output']['message']['content'][0]['text'] and answer['metrics']['latencyMs'] >= 0, answer

events = list(runtime.converse_stream(modelId=arn, messages=messages)['stream'])
kinds = [next(iter(e)) for e in events]
assert kinds[0] == 'messageStart' and 'contentBlockStart' not in kinds and kinds[-3:] == ['contentBlockStop', 'messageStop', 'metadata'], kinds
assert events[-1]['metadata']['usage']['totalTokens'] > 0, events[-1]

tools = {'tools': [{'toolSpec': {'name': 'get_weather', 'description': 'Weather for a city', 'inputSchema': {'json': {
    'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}}}}], 'toolChoice': {'any': {}}}
question = [{'role': 'user', 'content': [{'text': 'What is the weather in Paris?'}]}]
answer = runtime.converse(modelId=arn, messages=question, toolConfig=tools)
use = next(c['toolUse'] for c in answer['output']['message']['content'] if 'toolUse' in c)
assert answer['stopReason'] == 'tool_use' and use['name'] == 'get_weather' and isinstance(use['input']['city'], str), answer
result = {'role': 'user', 'content': [{'toolResult': {'toolUseId': use['toolUseId'], 'content': [{'json': {'celsius': 20}}]}}]}
answer = runtime.converse(modelId=arn, messages=question + [answer['output']['message'], result], toolConfig={'tools': tools['tools']})
assert any('text' in c for c in answer['output']['message']['content']), answer
events = list(runtime.converse_stream(modelId=arn, messages=question, toolConfig=tools)['stream'])
pieces = [e['contentBlockDelta']['delta']['toolUse']['input'] for e in events if 'toolUse' in e.get('contentBlockDelta', {}).get('delta', {})]
assert isinstance(json.loads(''.join(pieces))['city'], str), pieces

body = json.dumps({'anthropic_version': 'bedrock-2023-05-31', 'max_tokens': 64, 'messages': [{'role': 'user', 'content': 'Say hello.'}]})
answer = runtime.invoke_model(modelId=arn, body=body)
message = json.loads(answer['body'].read())
headers = answer['ResponseMetadata']['HTTPHeaders']
assert message['type'] == 'message' and answer['contentType'] == 'application/json', message
assert headers['x-amzn-bedrock-input-token-count'] == str(message['usage']['input_tokens']), headers
assert headers['x-amzn-bedrock-output-token-count'] == str(message['usage']['output_tokens']), headers
assert int(headers['x-amzn-bedrock-invocation-latency']) >= 0, headers
chunks = [json.loads(e['chunk']['bytes']) for e in runtime.invoke_model_with_response_stream(modelId=arn, body=body)['body']]
assert chunks[0]['type'] == 'message_start' and chunks[-1]['type'] == 'message_stop', chunks
assert chunks[-1]['amazon-bedrock-invocationMetrics']['outputTokenCount'] > 0, chunks[-1]

refused('ResourceNotFoundException', bedrock.get_inference_profile, inferenceProfileIdentifier='doesnotexist')
refused('ValidationException', runtime.converse, modelId='nonsense-model', messages=messages)
refused('TooManyTagsException', bedrock.tag_resource, resourceARN=arn, tags=[{'key': f'k{i}', 'value': 'v'} for i in range(50)])
wrong = boto3.client('bedrock', region_name=REGION, config=once, aws_access_key_id='AKIANOBODYKNOWSTHIS0', aws_secret_access_key='wrong')
refused('UnrecognizedClientException', wrong.list_inference_profiles)

for a in arns:
    bedrock.delete_inference_profile(inferenceProfileIdentifier=a)

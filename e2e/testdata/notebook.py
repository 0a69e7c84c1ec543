"""A notebook on inference profiles, sections 1 to 8, run as a script: the cells as they are printed, but for three lines
marked "not as printed". What it expects stands between the cells, in assert."""
import os

# In [1]
import boto3
import json
import time

REGION = 'us-east-1'
bedrock = boto3.client('bedrock', region_name=REGION)
bedrock_runtime = boto3.client('bedrock-runtime', region_name=REGION)

print(f"Region: {REGION}")

ACCOUNT = boto3.client('sts', region_name=REGION).get_caller_identity()['Account']  # not as printed: the author's account

# 1. List System-Defined Inference Profiles
response = bedrock.list_inference_profiles()

print("System-Defined Inference Profiles:\n")
for profile in response['inferenceProfileSummaries']:
    if profile['type'] == 'SYSTEM_DEFINED':
        print(f"Name: {profile['inferenceProfileName']}")
        print(f"ARN: {profile['inferenceProfileArn']}")
        print(f"ID: {profile['inferenceProfileId']}")
        print(f"Type: {profile['type']}")
        print(f"Status: {profile['status']}")
        print(f"Models: {profile.get('models', [])}")
        print("-" * 80)

listed = {p['inferenceProfileId']: p for p in response['inferenceProfileSummaries']}
sonnet = listed['us.anthropic.claude-3-sonnet-20240229-v1:0']
assert sonnet['inferenceProfileName'] == 'US Anthropic Claude 3 Sonnet', sonnet
assert sonnet['inferenceProfileArn'] == f'arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.anthropic.claude-3-sonnet-20240229-v1:0', sonnet
assert sonnet['models'] == [
    {'modelArn': 'arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0'},
    {'modelArn': 'arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0'}], sonnet
opus = listed['us.anthropic.claude-3-opus-20240229-v1:0']
assert opus['inferenceProfileName'] == 'US Anthropic Claude 3 Opus', opus

# 2. Understanding System-Defined Profiles
system_profiles = [p for p in response['inferenceProfileSummaries'] if p['type'] == 'SYSTEM_DEFINED']

if system_profiles:
    profile_id = system_profiles[10]['inferenceProfileId']

    detail = bedrock.get_inference_profile(inferenceProfileIdentifier=profile_id)

    print("System Profile Details:\n")
    print(json.dumps(detail, indent=2, default=str))

metadata = detail['ResponseMetadata']
assert metadata['RequestId'] == metadata['HTTPHeaders']['x-amzn-requestid'], metadata
assert metadata['HTTPHeaders']['content-type'] == 'application/json', metadata
llama = bedrock.get_inference_profile(inferenceProfileIdentifier='us.meta.llama3-1-70b-instruct-v1:0')
assert llama['inferenceProfileName'] == 'US Meta Llama 3.1 70B Instruct', llama
assert llama['description'] == 'Routes requests to Meta Llama 3.1 70B Instruct in us-east-1, us-east-2 and us-west-2.', llama
assert [m['modelArn'] for m in llama['models']] == [f'arn:aws:bedrock:{r}::foundation-model/meta.llama3-1-70b-instruct-v1:0' for r in ('us-east-1', 'us-east-2', 'us-west-2')], llama

# 3. Test System-Defined Profile
SYSTEM_PROFILE_ID = 'us.amazon.nova-2-lite-v1:0'  # Cross-region profile

response = bedrock_runtime.converse(
    modelId=SYSTEM_PROFILE_ID,
    messages=[{
        'role': 'user',
        'content': [{'text': 'Explain inference profiles in one sentence'}]
    }]
)

print("System Profile Response:")
print(response['output']['message']['content'][0]['text'])
print(f"\nStop Reason: {response['stopReason']}")
print(f"Usage: {response['usage']}")

assert response['stopReason'] == 'end_turn', response
assert response['usage']['totalTokens'] == response['usage']['inputTokens'] + response['usage']['outputTokens'] > 0, response

# 4. Create Application Inference Profile
APP_PROFILE_NAME = 'my-app-profile'

try:
    response = bedrock.create_inference_profile(
        inferenceProfileName=APP_PROFILE_NAME,
        description='Custom profile for my application',
        modelSource={
            'copyFrom': f'arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.amazon.nova-2-lite-v1:0'  # not as printed: the author's account
        },
        tags=[  # not as printed: a dict, which boto3 refuses

        ]
    )

    APP_PROFILE_ARN = response['inferenceProfileArn']
    print(f"✓ Created application profile: {APP_PROFILE_ARN}")
except bedrock.exceptions.ValidationException as e:
    print(f"Note: {e}")
    # List existing app profiles
    profiles = bedrock.list_inference_profiles()['inferenceProfileSummaries']
    app_profiles = [p for p in profiles if p['type'] == 'APPLICATION']
    if app_profiles:
        APP_PROFILE_ARN = app_profiles[0]['inferenceProfileArn']
        print(f"Using existing profile: {APP_PROFILE_ARN}")

assert APP_PROFILE_ARN.startswith(f'arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/'), APP_PROFILE_ARN

# 5. Understanding Application Inference Profiles
response = bedrock.list_inference_profiles()

print("Application Inference Profiles:\n")
for profile in response['inferenceProfileSummaries']:
    if profile['type'] == 'APPLICATION':
        print(f"Name: {profile['inferenceProfileName']}")
        print(f"ARN: {profile['inferenceProfileArn']}")
        print(f"Type: {profile['type']}")
        print(f"Status: {profile['status']}")
        print("-" * 80)

mine = [p for p in response['inferenceProfileSummaries'] if p['inferenceProfileArn'] == APP_PROFILE_ARN]
assert len(mine) == 1 and mine[0]['models'] == listed['us.amazon.nova-2-lite-v1:0']['models'], mine

# 6. Compare System vs Application Profiles prints a table of its own.

# 7. Test Application Profile
try:
    response = bedrock_runtime.converse(
        modelId=APP_PROFILE_ARN,
        messages=[{
            'role': 'user',
            'content': [{'text': 'What are the benefits of application inference profiles?'}]
        }]
    )

    print("Application Profile Response:")
    print(response['output']['message']['content'][0]['text'])
    print(f"\nUsage tracked under: {APP_PROFILE_ARN}")
except Exception as e:
    print(f"Note: {e}")
    print("Application profiles may not be available in all regions")
    raise  # not as printed: here it must work

# 8. Cost Tracking Example
team_profiles = [
    {'name': 'team-a-profile', 'description': 'Team A - Customer Service'},
    {'name': 'team-b-profile', 'description': 'Team B - Analytics'},
    {'name': 'team-c-profile', 'description': 'Team C - Marketing'}
]

print("Multi-Team Setup Example:\n")
for team in team_profiles:
    print(f"Profile: {team['name']}")
    print(f"Purpose: {team['description']}")
    print(f"Benefit: Separate cost tracking and usage metrics")
    print("-" * 80)

# What the example means: a profile and a cost for each team.
for team in team_profiles:
    team['arn'] = bedrock.create_inference_profile(
        inferenceProfileName=team['name'], description=team['description'], tags=[{'key': 'team', 'value': team['name']}],
        modelSource={'copyFrom': f'arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.amazon.nova-2-lite-v1:0'},
    )['inferenceProfileArn']
    bedrock_runtime.converse(modelId=team['arn'], messages=[{'role': 'user', 'content': [{'text': team['description']}]}])
ce = boto3.client('ce', region_name=REGION)
day = 24 * 60 * 60
period = {'Start': time.strftime('%Y-%m-%d', time.gmtime(time.time() - day)), 'End': time.strftime('%Y-%m-%d', time.gmtime(time.time() + 2 * day))}
until = time.monotonic() + 30
while True:
    result = ce.get_cost_and_usage(TimePeriod=period, Granularity='MONTHLY', Metrics=['UnblendedCost'], GroupBy=[{'Type': 'TAG', 'Key': 'team'}])
    costs = {g['Keys'][0]: float(g['Metrics']['UnblendedCost']['Amount']) for r in result['ResultsByTime'] for g in r['Groups']}
    if set(costs) == {'team$', 'team$team-a-profile', 'team$team-b-profile', 'team$team-c-profile'} and min(costs.values()) > 0:
        break
    assert time.monotonic() < until, costs
    time.sleep(0.05)

for arn in [APP_PROFILE_ARN] + [team['arn'] for team in team_profiles]:
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
try:
    bedrock.get_inference_profile(inferenceProfileIdentifier=APP_PROFILE_ARN)
    raise AssertionError('a deleted profile is still there')
except bedrock.exceptions.ResourceNotFoundException:
    pass

"""The code of an article on application inference profiles, which names its credentials and endpoint in a configuration
file. It is as printed, but for the lines marked "not as printed". What it expects stands in assert."""
import boto3
import botocore.exceptions

session = boto3.Session(profile_name='YOUR_AWS_PROFILE')
bedrock = session.client('bedrock')
bedrock_runtime = session.client('bedrock-runtime')

# As printed, the model is a placeholder: refused by the server, in a way that the client can name.
try:
    bedrock.create_inference_profile(inferenceProfileName='Titan-Premier-Inf-Profile',
                                     modelSource={'copyFrom': 'arn:aws:bedrock:region::foundation-model/fm-identifier'})
    raise AssertionError('a placeholder was copied')
except (bedrock.exceptions.ValidationException, bedrock.exceptions.ResourceNotFoundException) as e:
    print(e)

inference_profile_arn = bedrock.create_inference_profile(
    inferenceProfileName='Titan-Premier-Inf-Profile',
    description='App inference profile for Titan Premier clients',
    modelSource={
        'copyFrom': 'arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-premier-v1:0'  # not as printed: a placeholder
    },
    tags=[
        {
            'key': 'owner',
            'value': 'Someone'
        },
        {
            'key': 'project-id',
            'value': 'ABC123'
        }
    ]
)['inferenceProfileArn']  # not as printed: the whole answer, which boto3 refuses as modelId

mine = bedrock.list_inference_profiles(typeEquals='APPLICATION')['inferenceProfileSummaries']
assert [p['inferenceProfileArn'] for p in mine] == [inference_profile_arn], mine
assert len(bedrock.list_inference_profiles()['inferenceProfileSummaries']) > len(mine)

# use the ARN in your inference request
response = bedrock_runtime.converse(
    modelId=inference_profile_arn,
    system=[
        {
            "text": "You are a helpful AI assistant."
        }
    ],
    messages=[
        {
            "role":"user",
            "content": [
                {"text": "List 3 differences between Japanese and American baseball."}  # not as printed: no braces
            ]
        }
    ]
)

print(response)
assert response['output']['message']['content'][0]['text'], response

for identifier in (inference_profile_arn, inference_profile_arn.rsplit('/', 1)[1]):
    assert bedrock.get_inference_profile(inferenceProfileIdentifier=identifier)['inferenceProfileArn'] == inference_profile_arn
tags = bedrock.list_tags_for_resource(resourceARN=inference_profile_arn)['tags']
assert sorted((t['key'], t['value']) for t in tags) == [('owner', 'Someone'), ('project-id', 'ABC123')], tags
bedrock.delete_inference_profile(inferenceProfileIdentifier=inference_profile_arn)

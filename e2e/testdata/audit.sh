# The audit record of a morning with the AWS CLI: CloudTrail's events of what was changed, read and refused.
set -eu
PATH="$AWS:$PATH"
eval "$("$OUTCROP" env --data "$DATA" --region us-east-1)"
arn=$(aws bedrock create-inference-profile --inference-profile-name watched --description 'quarterly numbers' \
  --model-source copyFrom=arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0 --query inferenceProfileArn --output text)
aws bedrock tag-resource --resource-arn "$arn" --tags key=Project,value=Beta
aws bedrock list-inference-profiles > list.json
AWS_SECRET_ACCESS_KEY=wrong aws bedrock list-inference-profiles 2> refused.txt && exit 1
aws cloudtrail lookup-events --lookup-attributes AttributeKey=ReadOnly,AttributeValue=false > changes.json
aws cloudtrail lookup-events --lookup-attributes AttributeKey=ResourceName,AttributeValue="$arn" --start-time "$YESTERDAY" --end-time "$OVERMORROW" > resource.json
aws cloudtrail lookup-events --page-size 1 --max-items 3 --lookup-attributes AttributeKey=EventSource,AttributeValue=bedrock.amazonaws.com > paged.json
aws cloudtrail lookup-events --region eu-west-1 > elsewhere.json
aws cloudtrail lookup-events --max-results 60 2> most.txt && exit 1
aws cloudtrail lookup-events --lookup-attributes AttributeKey=Username,AttributeValue=root --query 'Events[?EventName==`TagResource`].CloudTrailEvent' --output text > tag.json

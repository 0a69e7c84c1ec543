# The commands of the guides to application inference profiles for the AWS CLI, as they are printed there. What each
# prints is kept in a file for the test to read. In the environment: OUTCROP, the program; DATA, the server's data folder;
# AWS, the folder of the aws command; YESTERDAY and OVERMORROW, the days around today in UTC.
set -eu
PATH="$AWS:$PATH"

# The guides' shell stands in Tokyo.
eval "$("$OUTCROP" env --data "$DATA" --region ap-northeast-1)"

aws bedrock create-inference-profile --region 'ap-northeast-1' \
  --inference-profile-name 'custom-bedrock-profile' \
  --description 'custom-bedrock-profile' \
  --model-source '{"copyFrom": "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0"}' \
  --tags '[{"key": "CostAllocateTag","value": "custom"}]' > create-custom.json

aws bedrock create-inference-profile --region 'ap-northeast-1' \
  --inference-profile-name 'project-alpha-claude-sonnet' \
  --description 'Project Alpha - Claude 3.5 Sonnet' \
  --model-source '{"copyFrom": "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0"}' \
  --tags '[
    {"key": "Project", "value": "Alpha"},
    {"key": "Department", "value": "Engineering"},
    {"key": "CostCenter", "value": "CC-1001"},
    {"key": "Environment", "value": "Production"}
  ]' > create-project.json

aws bedrock create-inference-profile --region 'ap-northeast-1' \
  --inference-profile-name 'marketing-team-claude-haiku' \
  --description 'Marketing Team - Claude 3 Haiku for content generation' \
  --model-source '{"copyFrom": "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"}' \
  --tags '[
    {"key": "Department", "value": "Marketing"},
    {"key": "UseCase", "value": "ContentGeneration"},
    {"key": "CostCenter", "value": "CC-2001"}
  ]' > create-department.json

aws bedrock create-inference-profile \
  --inference-profile-name 'dev-claude-haiku' \
  --model-source '{"copyFrom": "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"}' \
  --tags '[{"key": "Environment", "value": "Development"}, {"key": "CostOptimized", "value": "true"}]' > create-dev.json

aws bedrock create-inference-profile \
  --inference-profile-name 'prod-claude-sonnet' \
  --model-source '{"copyFrom": "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0"}' \
  --tags '[{"key": "Environment", "value": "Production"}, {"key": "HighPerformance", "value": "true"}]' > create-prod.json

aws bedrock list-inference-profiles --region 'ap-northeast-1' \
  --type-equals 'APPLICATION' > list.json

aws bedrock get-inference-profile --region 'ap-northeast-1' \
  --inference-profile-identifier 'custom-bedrock-profile' > get-by-name.json

# The guides name this command only; and one with the ARN, as AWS documents it.
arn=$(aws bedrock get-inference-profile --region ap-northeast-1 --inference-profile-identifier project-alpha-claude-sonnet \
  --query inferenceProfileArn --output text)
aws bedrock get-inference-profile --region ap-northeast-1 --inference-profile-identifier "$arn" > get-by-arn.json
aws bedrock list-tags-for-resource --region ap-northeast-1 --resource-arn "$arn" > tags.json
aws bedrock tag-resource --region ap-northeast-1 --resource-arn "$arn" --tags key=Project,value=Beta key=owner,value=me > tag.out
aws bedrock untag-resource --region ap-northeast-1 --resource-arn "$arn" --tag-keys Department CostCenter Environment > untag.out
aws bedrock list-tags-for-resource --region ap-northeast-1 --resource-arn "$arn" > tags-after.json

aws bedrock-runtime converse --region ap-northeast-1 --model-id "$arn" \
  --messages '[{"role":"user","content":[{"text":"Say hello."}]}]' > converse.json
printf '%s' '{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"Say hello."}]}' > body.json
scheme=file
case "$(aws --version 2>&1)" in aws-cli/2*) scheme=fileb ;; esac
aws bedrock-runtime invoke-model --region ap-northeast-1 --model-id marketing-team-claude-haiku --content-type application/json \
  --body "$scheme://body.json" invoke-answer.json > invoke.json

# The monthly report. The guide does not print its filter.
printf '%s' '{"Dimensions": {"Key": "SERVICE", "Values": ["Amazon Bedrock"]}}' > bedrock-filter.json
aws ce get-cost-and-usage \
  --time-period Start=2024-01-01,End=2024-01-31 \
  --granularity MONTHLY \
  --metrics BlendedCost \
  --group-by Type=DIMENSION,Key=SERVICE Type=TAG,Key=Project \
  --filter file://bedrock-filter.json > costs-then.json

# The same of these days.
aws ce get-cost-and-usage \
  --time-period "Start=$YESTERDAY,End=$OVERMORROW" \
  --granularity MONTHLY \
  --metrics BlendedCost \
  --group-by Type=DIMENSION,Key=SERVICE Type=TAG,Key=Project \
  --filter file://bedrock-filter.json > costs-now.json

# By profile, as AWS has it for 14 days; which tags count; what is spoken of when there is not enough to foretell from.
aws ce get-cost-and-usage-with-resources --time-period "Start=$YESTERDAY,End=$OVERMORROW" --granularity MONTHLY --metrics BlendedCost \
  --group-by Type=DIMENSION,Key=RESOURCE_ID --filter file://bedrock-filter.json > costs-resources.json
aws ce get-cost-forecast --time-period "Start=$YESTERDAY,End=$OVERMORROW" --granularity DAILY --metric UNBLENDED_COST 2> forecast.txt && exit 1
aws ce list-cost-allocation-tags --status Active --tag-keys Project outcrop:model > cost-tags.json
aws ce update-cost-allocation-tags-status --cost-allocation-tags-status TagKey=Project,Status=Inactive TagKey=tagC,Status=Active > cost-tags-update.json
aws ce get-tags --time-period "Start=$YESTERDAY,End=$OVERMORROW" > tags-inactive.json
aws ce update-cost-allocation-tags-status --cost-allocation-tags-status TagKey=Project,Status=Active > cost-tags-again.json
aws bedrock tag-resource --region ap-northeast-1 --resource-arn "$arn" --tags key=Project,value=Gamma >> tag.out
aws ce get-tags --time-period "Start=$YESTERDAY,End=$OVERMORROW" --tag-key Project --billing-view-arn arn:aws:billing::000000000000:billingview/tagged-now > tags-now.json

for name in custom-bedrock-profile project-alpha-claude-sonnet marketing-team-claude-haiku dev-claude-haiku prod-claude-sonnet; do
  aws bedrock delete-inference-profile --region ap-northeast-1 --inference-profile-identifier "$name"
done > delete.out
aws bedrock list-inference-profiles --region ap-northeast-1 --type-equals APPLICATION > list-after.json
if aws bedrock get-inference-profile --region ap-northeast-1 --inference-profile-identifier "$arn" 2> gone.txt; then
  echo 'a deleted profile is still there' >&2
  exit 1
fi

# Roles and their sessions with the AWS CLI, as Terraform and the CDK use them: a role is made, assumed with session tags, and calls
# a model through the profile whose tag matches. In the environment: OUTCROP, the program; DATA, the server's data folder; AWS, the
# folder of the aws command.
set -eu
PATH="$AWS:$PATH"
eval "$("$OUTCROP" env --data "$DATA" --region us-east-1)"
MODEL=arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0
ASK='[{"role":"user","content":[{"text":"Hi"}]}]'

for team in growth ops; do
  aws bedrock create-inference-profile --inference-profile-name "$team" --model-source copyFrom=$MODEL --tags key=Team,value=$team \
    --query inferenceProfileArn --output text > $team.arn
done

aws iam create-role --role-name caller --max-session-duration 7200 --assume-role-policy-document '{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": ["sts:AssumeRole", "sts:TagSession"],
    "Condition": {"StringEquals": {"sts:ExternalId": "e-7"}, "StringLike": {"aws:RequestTag/Team": "*"}}
  }]
}' --query Role.Arn --output text > role.arn
aws iam create-policy --policy-name own-team --policy-document '{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": "arn:aws:bedrock:*:*:application-inference-profile/*",
     "Condition": {"StringEquals": {"aws:ResourceTag/Team": "${aws:PrincipalTag/Team}"}}},
    {"Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": "arn:aws:bedrock:*::foundation-model/*",
     "Condition": {"ArnLike": {"bedrock:InferenceProfileArn": "arn:aws:bedrock:*:*:application-inference-profile/*"}}}
  ]
}' --query Policy.Arn --output text > policy.arn
aws iam attach-role-policy --role-name caller --policy-arn "$(cat policy.arn)"

# Root may assume no role: a user does.
aws sts assume-role --role-arn "$(cat role.arn)" --role-session-name root 2> root.txt && exit 1
aws iam create-user --user-name ci > user.json
aws iam put-user-policy --user-name ci --policy-name roles --policy-document '{
  "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"}]
}'
aws iam create-access-key --user-name ci > key.json
ROOT_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET=$AWS_SECRET_ACCESS_KEY

member() { sed -n 's/.*"'"$2"'": "\(.*\)".*/\1/p' "$1"; }
be() { AWS_ACCESS_KEY_ID=$(member "$1" AccessKeyId) AWS_SECRET_ACCESS_KEY=$(member "$1" SecretAccessKey) AWS_SESSION_TOKEN=$(member "$1" SessionToken); export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN; }

be key.json
unset AWS_SESSION_TOKEN
aws sts assume-role --role-arn "$(cat role.arn)" --role-session-name ci-7 --tags Key=Team,Value=growth 2> external.txt && exit 1
aws sts assume-role --role-arn "$(cat role.arn)" --role-session-name ci-7 --external-id e-7 2> untagged.txt && exit 1
aws sts assume-role --role-arn "$(cat role.arn)" --role-session-name ci-7 --external-id e-7 --duration-seconds 7201 --tags Key=Team,Value=growth 2> long.txt && exit 1
aws sts assume-role --role-arn "$(cat role.arn)" --role-session-name ci-7 --external-id e-7 --duration-seconds 7200 --tags Key=Team,Value=growth > session.json
aws sts get-session-token --duration-seconds 900 > own.json

be session.json
aws sts get-caller-identity > identity.json
aws bedrock-runtime converse --model-id "$(cat growth.arn)" --messages "$ASK" > converse.json
aws bedrock-runtime converse --model-id "$(cat ops.arn)" --messages "$ASK" 2> other-team.txt && exit 1
aws bedrock-runtime converse --model-id $MODEL --messages "$ASK" 2> bare.txt && exit 1
aws iam list-users 2> iam.txt && exit 1
AWS_SESSION_TOKEN=${AWS_SESSION_TOKEN%????}AAAA aws sts get-caller-identity 2> forged.txt && exit 1

be own.json
aws sts get-caller-identity > own-identity.json
aws iam list-access-keys 2> own-iam.txt && exit 1

# A guardrail holds for whoever is in the account; a session ends with its role.
printf '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*"}}' > guardrail.json
"$OUTCROP" accounts guardrail put no-calls guardrail.json --data "$DATA"
sleep 1
be session.json
aws bedrock-runtime converse --model-id "$(cat growth.arn)" --messages "$ASK" 2> guardrail.txt && exit 1
export AWS_ACCESS_KEY_ID=$ROOT_KEY AWS_SECRET_ACCESS_KEY=$ROOT_SECRET
unset AWS_SESSION_TOKEN
aws bedrock-runtime converse --model-id "$(cat growth.arn)" --messages "$ASK" 2> root-guardrail.txt && exit 1
"$OUTCROP" accounts guardrail list --data "$DATA" > guardrails.txt
"$OUTCROP" accounts guardrail delete no-calls --data "$DATA"
aws resourcegroupstaggingapi get-resources --tag-filters Key=Team,Values=growth > tagged.json
aws resourcegroupstaggingapi tag-resources --resource-arn-list "$(cat growth.arn)" --tags env=prod > tag.json
aws resourcegroupstaggingapi get-tag-keys > keys.json
aws iam get-role --role-name caller --query Role.RoleLastUsed > used.json
# Terraform asks for instance profiles before it deletes any role.
aws iam list-instance-profiles-for-role --role-name caller > instance-profiles.json
aws ce get-tags --time-period "Start=$YESTERDAY,End=$OVERMORROW" --tag-key iamPrincipal/Team > team-values.json
aws ce get-cost-and-usage --time-period "Start=$YESTERDAY,End=$OVERMORROW" --granularity MONTHLY --metrics UnblendedCost \
  --group-by Type=TAG,Key=iamPrincipal/Team Type=TAG,Key=outcrop:sessionName > who.json
"$OUTCROP" costs --by session --by caller-tag:Team --since 7d --csv --data "$DATA" > who.csv
aws iam detach-role-policy --role-name caller --policy-arn "$(cat policy.arn)"
aws iam delete-role --role-name caller
be session.json
aws sts get-caller-identity 2> gone.txt && exit 1
exit 0

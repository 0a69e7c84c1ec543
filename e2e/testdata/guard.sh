# A team that may call models through its profiles only, with the AWS CLI. In the environment: OUTCROP, the program; DATA, the
# server's data folder; AWS, the folder of the aws command; NOTEBOOK, a policy that does not do what it means.
set -eu
PATH="$AWS:$PATH"
eval "$("$OUTCROP" env --data "$DATA" --region us-east-1)"
model=arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0
create() {
  aws bedrock create-inference-profile --inference-profile-name "$1" --model-source copyFrom=$model --tags key=team,value="$2" \
    --query inferenceProfileArn --output text
}
mine=$(create my-app-profile growth)
other=$(create other-profile risk)

# What is wrong in the policy, from the server and from the program, and what it should be.
aws accessanalyzer validate-policy --policy-type IDENTITY_POLICY --policy-document "file://$NOTEBOOK" > findings.json
"$OUTCROP" policy lint --json --data "$DATA" "$NOTEBOOK" > corrected.json && exit 1

user() {
  aws iam create-user --user-name "$1" --tags Key=team,Value=growth > /dev/null
  aws iam create-access-key --user-name "$1" > "$1.json"
}
as() { # a user, what it is called with, and the file that what is said goes to
  AWS_ACCESS_KEY_ID=$(sed -n 's/.*"AccessKeyId": "\(.*\)".*/\1/p' "$1.json") \
  AWS_SECRET_ACCESS_KEY=$(sed -n 's/.*"SecretAccessKey": "\(.*\)".*/\1/p' "$1.json") \
    aws bedrock-runtime converse --model-id "$2" --messages '[{"role":"user","content":[{"text":"Hi"}]}]' > "$3" 2>&1 || echo "denied" >> "$3"
}
for name in named tagged bound; do user $name; done

# By name, as a policy document for the AWS CLI.
"$OUTCROP" guard my-app-profile --data "$DATA" > named-policy.json
aws iam create-policy --policy-name Named --policy-document file://named-policy.json --query Policy.Arn --output text > named-arn.txt
aws iam attach-user-policy --user-name named --policy-arn "$(cat named-arn.txt)"
# By tag, made and attached at once; and as a boundary of somebody who may do everything.
"$OUTCROP" guard --tag team --create Tagged --attach user/tagged --data "$DATA" > tagged-arn.txt
"$OUTCROP" guard --tag team --type boundary --create Bound --attach user/bound --data "$DATA" > bound-arn.txt
aws iam attach-user-policy --user-name bound --policy-arn arn:aws:iam::aws:policy/AdministratorAccess
"$OUTCROP" guard --tag team --type scp --data "$DATA" > scp.json
aws accessanalyzer validate-policy --policy-type SERVICE_CONTROL_POLICY --policy-document file://scp.json --query 'length(findings)' > scp-findings.txt

# The server notices in a moment what other processes have changed: the last was the boundary.
bare=anthropic.claude-3-haiku-20240307-v1:0
for _ in 1 2 3 4 5 6 7 8 9 10; do
  as bound $bare noticed.txt
  ! grep -q denied noticed.txt || break
done
for name in named tagged bound; do
  as $name "$mine" $name-mine.txt
  as $name "$other" $name-other.txt
  as $name $bare $name-bare.txt
  as $name us.anthropic.claude-3-haiku-20240307-v1:0 $name-system.txt
done

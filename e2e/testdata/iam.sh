# What the AWS CLI's guides do with users, policies and keys. In the environment: OUTCROP, the program; DATA, the server's data
# folder; AWS, the folder of the aws command.
set -eu
PATH="$AWS:$PATH"
eval "$("$OUTCROP" env --data "$DATA" --region us-east-1)"

aws iam create-user --user-name alice --tags Key=team,Value=growth > user.json
aws iam create-access-key --user-name alice > key.json
aws iam attach-user-policy --user-name alice --policy-arn arn:aws:iam::aws:policy/AmazonBedrockLimitedAccess
aws iam put-user-policy --user-name alice --policy-name own-keys --policy-document '{
  "Version": "2012-10-17",
  "Statement": [{"Effect": "Allow", "Action": "iam:*AccessKey*", "Resource": "arn:aws:iam::*:user/${aws:username}"}]
}'
aws iam get-user-policy --user-name alice --policy-name own-keys > policy.json
aws iam list-policies --scope AWS --query 'Policies[].PolicyName' > aws.json
aws iam create-service-specific-credential --user-name alice --service-name bedrock.amazonaws.com --credential-age-days 30 > credential.json
"$OUTCROP" users list --data "$DATA" > users.txt

AWS_ACCESS_KEY_ID=$(sed -n 's/.*"AccessKeyId": "\(.*\)".*/\1/p' key.json)
AWS_SECRET_ACCESS_KEY=$(sed -n 's/.*"SecretAccessKey": "\(.*\)".*/\1/p' key.json)
aws iam list-access-keys > keys.json
aws bedrock-runtime converse --model-id anthropic.claude-3-haiku-20240307-v1:0 --messages '[{"role":"user","content":[{"text":"Hi"}]}]' > converse.json
aws iam list-users 2> denied.txt && exit 1
exit 0

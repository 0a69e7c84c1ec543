# The AWS CLI in a Region of the operator's own (onprem.yaml). In the environment: OUTCROP, the program; DATA, the server's
# data folder; AWS, the folder of the aws command; YESTERDAY and OVERMORROW, the days around today in UTC.
set -eu
PATH="$AWS:$PATH"

eval "$("$OUTCROP" env --data "$DATA" --region onprem-tokyo-1)"

aws bedrock list-inference-profiles --type-equals SYSTEM_DEFINED > list.json
aws bedrock create-inference-profile --inference-profile-name edge-llama \
  --model-source copyFrom=arn:aws:bedrock:onprem-tokyo-1:000000000000:inference-profile/onprem.meta.llama3-1-8b-instruct-v1:0 \
  --tags key=Project,value=Edge > create.json
aws bedrock get-inference-profile --inference-profile-identifier edge-llama > get.json
aws bedrock-runtime converse --model-id edge-llama --messages '[{"role":"user","content":[{"text":"Say hello."}]}]' > converse.json
sleep 1
aws ce get-cost-and-usage --time-period Start="$YESTERDAY",End="$OVERMORROW" --granularity MONTHLY --metrics UnblendedCost \
  --group-by Type=TAG,Key=Project > cost.json

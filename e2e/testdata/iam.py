# Users, groups, policies and keys through boto3's iam client, and what the users may then do.
import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

region, haiku = "us-east-1", "anthropic.claude-3-haiku-20240307-v1:0"
root = boto3.client("iam", region_name=region)


def refused(code, call, **params):
    try:
        call(**params)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        assert e.response["ResponseMetadata"]["RequestId"], e
        return e.response["Error"]["Message"]
    raise AssertionError(f"{call} was not refused")


def as_user(key, service):
    return boto3.client(service, region_name=region, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def hello(client, **params):
    return client.converse(modelId=haiku, messages=[{"role": "user", "content": [{"text": "Hello"}]}], **params)


allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}}
user = root.create_user(UserName="Ada", Path="/eng/", Tags=[{"Key": "team", "Value": ""}])["User"]
assert user["Arn"].endswith(":user/eng/Ada") and user["Tags"] == [{"Key": "team", "Value": ""}], user
assert isinstance(root.exceptions.EntityAlreadyExistsException, type)
refused("EntityAlreadyExists", root.create_user, UserName="ada")
refused("MalformedPolicyDocument", root.put_user_policy, UserName="Ada", PolicyName="p", PolicyDocument="{")
key = root.create_access_key(UserName="Ada")["AccessKey"]
ada = as_user(key, "bedrock-runtime")
assert "no identity-based policy allows" in refused("AccessDeniedException", lambda: hello(ada))

# A group's managed policy reaches its users at once, and so does another version of it.
policy = root.create_policy(PolicyName="models", PolicyDocument=json.dumps(allow), Description="call models")["Policy"]
root.create_group(GroupName="callers")
root.attach_group_policy(GroupName="callers", PolicyArn=policy["Arn"])
root.add_user_to_group(GroupName="callers", UserName="Ada")
assert hello(ada)["output"]["message"]["content"][0]["text"]
deny = json.loads(json.dumps(allow).replace("Allow", "Deny"))
root.create_policy_version(PolicyArn=policy["Arn"], PolicyDocument=json.dumps(deny), SetAsDefault=True)
assert "explicit deny in an identity-based policy" in refused("AccessDeniedException", lambda: hello(ada))
assert root.get_policy_version(PolicyArn=policy["Arn"], VersionId="v2")["PolicyVersion"]["Document"] == deny
root.set_default_policy_version(PolicyArn=policy["Arn"], VersionId="v1")
hello(ada)

# A boundary bounds; AWS's policies are there.
root.put_user_permissions_boundary(UserName="Ada", PermissionsBoundary="arn:aws:iam::aws:policy/AmazonBedrockReadOnly")
assert "no permissions boundary allows" in refused("AccessDeniedException", lambda: hello(ada))
root.delete_user_permissions_boundary(UserName="Ada")
simulated = root.simulate_principal_policy(PolicySourceArn=user["Arn"], ActionNames=["bedrock:InvokeModel", "iam:GetUser"])["EvaluationResults"]
assert [r["EvalDecision"] for r in simulated] == ["allowed", "implicitDeny"], simulated
assert simulated[0]["MatchedStatements"][0]["SourcePolicyId"] == "models", simulated

# A user with what AWS calls full access manages itself no users.
root.attach_user_policy(UserName="Ada", PolicyArn="arn:aws:iam::aws:policy/AmazonBedrockFullAccess")
refused("AccessDenied", as_user(key, "iam").list_users)
assert as_user(key, "sts").get_caller_identity()["Arn"] == user["Arn"]

# Long-term API keys.
credential = root.create_service_specific_credential(UserName="Ada", ServiceName="bedrock.amazonaws.com", CredentialAgeDays=7)["ServiceSpecificCredential"]
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = credential["ServiceCredentialSecret"]
hello(boto3.client("bedrock-runtime", region_name=region))
reset = root.reset_service_specific_credential(UserName="Ada", ServiceSpecificCredentialId=credential["ServiceSpecificCredentialId"])["ServiceSpecificCredential"]
refused("AccessDeniedException", lambda: hello(boto3.client("bedrock-runtime", region_name=region, config=Config(retries={"max_attempts": 1}))))
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = reset["ServiceCredentialSecret"]
hello(boto3.client("bedrock-runtime", region_name=region))
del os.environ["AWS_BEARER_TOKEN_BEDROCK"]

# Roles are there to be assumed.
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "sts:AssumeRole"}]}
root.create_role(RoleName="deploy", AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=7200)
assert root.get_role(RoleName="deploy")["Role"]["AssumeRolePolicyDocument"] == trust
root.update_role(RoleName="deploy", Description="deploys")

# Pages, waiters and everything at once.
for n in range(5):
    root.create_user(UserName=f"user-{n}")
names = [u["UserName"] for p in root.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2}) for u in p["Users"]]
assert names == ["Ada"] + [f"user-{n}" for n in range(5)], names
root.get_waiter("user_exists").wait(UserName="Ada")
root.get_waiter("policy_exists").wait(PolicyArn=policy["Arn"])
details = root.get_paginator("get_account_authorization_details").paginate(Filter=["User", "LocalManagedPolicy"], PaginationConfig={"PageSize": 3}).build_full_result()
assert len(details["UserDetailList"]) == 6 and details["UserDetailList"][0]["GroupList"] == ["callers"], details
assert details["Policies"][0]["PolicyVersionList"][0]["Document"] in (allow, deny), details
assert root.get_account_summary()["SummaryMap"]["Users"] == 6

used = root.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
assert used["UserName"] == "Ada" and used["AccessKeyLastUsed"]["ServiceName"] in ("bedrock", "iam", "sts"), used

# A key that was taken away, and the end.
root.update_access_key(UserName="Ada", AccessKeyId=key["AccessKeyId"], Status="Inactive")
refused("UnrecognizedClientException", lambda: hello(ada))
assert "must delete access keys first" in refused("DeleteConflict", root.delete_user, UserName="Ada")

# What Terraform does to delete a user with all that the user has (force_destroy).
for group in root.list_groups_for_user(UserName="Ada")["Groups"]:
    root.remove_user_from_group(GroupName=group["GroupName"], UserName="Ada")
for k in root.list_access_keys(UserName="Ada")["AccessKeyMetadata"]:
    root.delete_access_key(UserName="Ada", AccessKeyId=k["AccessKeyId"])
assert root.list_ssh_public_keys(UserName="Ada")["SSHPublicKeys"] == []
assert root.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"] == []
assert root.list_mfa_devices(UserName="Ada")["MFADevices"] == []
refused("NoSuchEntity", root.delete_login_profile, UserName="Ada")
assert root.list_signing_certificates(UserName="Ada")["Certificates"] == []
for c in root.list_service_specific_credentials(UserName="Ada")["ServiceSpecificCredentials"]:
    root.delete_service_specific_credential(UserName="Ada", ServiceSpecificCredentialId=c["ServiceSpecificCredentialId"])
for p in root.list_attached_user_policies(UserName="Ada")["AttachedPolicies"]:
    root.detach_user_policy(UserName="Ada", PolicyArn=p["PolicyArn"])
root.delete_user(UserName="Ada")

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"outcrop/iam"
	"outcrop/profile"
	"outcrop/wire"
)

// TestIsolation tries every operation of every service with what another account has: whatever is there reads, byte for byte, as
// what is nowhere.
//
// What the bytes show the time shows, because both ways are one: an id, a name or an ARN is looked for in what the caller's own account
// has (profile.Service by account and Region, iam.Directory by the account's Roster, the ledger's and the audit record's index by
// account), so that another account's is not found there as any other that is not there, and never compared with. An ARN of another
// account is refused by the digits of the account (iam.Guard), before anything is looked for. AssumeRole alone looks into the other
// account; trust policies are read before anybody asks, and a role that is not found has one that trusts nobody (iam.Directory.MayAssume).

// A request is what a case asks of an operation: the value of the one label of its path with the query string behind a question mark,
// and after the first space the body. Of a service of the query protocol it is the form, of JSON 1.1 the body. «name» stands for
// something of the other account's.
type request string

// mentions are the requests that name what the other account has.
var mentions = map[string][]request{
	"accessanalyzer.ValidatePolicy": {` {"policyType":"IDENTITY_POLICY","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"bedrock:InvokeModel\",\"Resource\":\"«profile.arn»\"}}"}`},

	"bedrock.CreateInferenceProfile": {
		` {"inferenceProfileName":"«profile»","modelSource":{"copyFrom":"` + haikuARN + `"}}`,
		` {"inferenceProfileName":"own","clientRequestToken":"«token»","modelSource":{"copyFrom":"` + haikuARN + `"}}`,
		` {"inferenceProfileName":"own","modelSource":{"copyFrom":"arn:aws:bedrock:us-east-1:«account»:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"}}`,
	},
	"bedrock.GetInferenceProfile":    {"«profile.arn»", "«profile.id»", "«profile»", "arn:aws:bedrock:us-east-1:«account»:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"},
	"bedrock.DeleteInferenceProfile": {"«profile.arn»", "«profile.id»", "«profile»"},
	"bedrock.TagResource":            {` {"resourceARN":"«profile.arn»","tags":[{"key":"a","value":"b"}]}`, ` {"resourceARN":"arn:aws:bedrock:us-east-1:«own»:application-inference-profile/«profile.id»","tags":[{"key":"a","value":"b"}]}`},
	"bedrock.UntagResource":          {` {"resourceARN":"«profile.arn»","tagKeys":["«tag.key»"]}`, ` {"resourceARN":"arn:aws:bedrock:us-east-1:«own»:application-inference-profile/«profile.id»","tagKeys":["a"]}`},
	"bedrock.ListTagsForResource":    {` {"resourceARN":"«profile.arn»"}`, ` {"resourceARN":"arn:aws:bedrock:us-east-1:«own»:application-inference-profile/«profile.id»"}`},
	"bedrock.GetFoundationModel":     {"«profile.arn»", "«profile»"},

	"bedrockruntime.Converse":                      {"«profile.arn» " + hello, "«profile.id» " + hello, "«profile» " + hello},
	"bedrockruntime.ConverseStream":                {"«profile.arn» " + hello, "«profile.id» " + hello, "«profile» " + hello},
	"bedrockruntime.InvokeModel":                   {"«profile.arn» " + helloClaude, "«profile.id» " + helloClaude, "«profile» " + helloClaude},
	"bedrockruntime.InvokeModelWithResponseStream": {"«profile.arn» " + helloClaude, "«profile.id» " + helloClaude, "«profile» " + helloClaude},
	"bedrockruntime.CountTokens":                   {`«profile.arn» {"input":{"converse":` + hello + `}}`, `«profile.id» {"input":{"converse":` + hello + `}}`, `«profile» {"input":{"converse":` + hello + `}}`},

	"cloudtrail.LookupEvents": {
		`{"LookupAttributes":[{"AttributeKey":"ResourceName","AttributeValue":"«profile.arn»"}]}`, `{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"«user»"}]}`,
		`{"LookupAttributes":[{"AttributeKey":"AccessKeyId","AttributeValue":"«key»"}]}`, `{"LookupAttributes":[{"AttributeKey":"EventId","AttributeValue":"«event»"}]}`,
	},

	"costexplorer.GetCostAndUsage": {
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost","UsageQuantity"],"GroupBy":[{"Type":"DIMENSION","Key":"RESOURCE_ID"}],"Filter":{"Dimensions":{"Key":"RESOURCE_ID","Values":["«profile.arn»"]}}}`,
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"Filter":{"Dimensions":{"Key":"LINKED_ACCOUNT","Values":["«account»"]}}}`,
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"Filter":{"Tags":{"Key":"«tag.key»","Values":["«tag.value»"]}}}`,
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"BillingViewArn":"arn:aws:billing::«account»:billingview/primary"}`,
	},
	"costexplorer.GetTags": {`{` + month + `,"TagKey":"«tag.key»"}`, `{` + month + `,"SearchString":"«tag.value»","TagKey":"team"}`, `{` + month + `,"BillingViewArn":"arn:aws:billing::«account»:billingview/primary"}`},
	"costexplorer.GetCostAndUsageWithResources": {
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"GroupBy":[{"Type":"DIMENSION","Key":"RESOURCE_ID"}],"Filter":{"Dimensions":{"Key":"RESOURCE_ID","Values":["«profile.arn»"]}}}`,
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"Filter":{"Tags":{"Key":"outcrop:principal","Values":["«user.arn»"]}}}`,
		`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"Filter":{"Not":{"Tags":{}}},"BillingViewArn":"arn:aws:billing::«account»:billingview/tagged-now"}`,
	},
	"costexplorer.GetCostForecast":                {`{` + coming + `,"Granularity":"DAILY","Metric":"UNBLENDED_COST","Filter":{"Dimensions":{"Key":"RESOURCE_ID","Values":["«profile.arn»"]}}}`, `{` + coming + `,"Granularity":"DAILY","Metric":"UNBLENDED_COST","BillingViewArn":"arn:aws:billing::«account»:billingview/primary"}`},
	"costexplorer.GetUsageForecast":               {`{` + coming + `,"Granularity":"DAILY","Metric":"USAGE_QUANTITY","Filter":{"Tags":{"Key":"«tag.key»","Values":["«tag.value»"]}}}`},
	"costexplorer.GetCostCategories":              {`{` + month + `,"CostCategoryName":"«tag.key»"}`, `{` + month + `,"BillingViewArn":"arn:aws:billing::«account»:billingview/primary"}`},
	"costexplorer.ListCostAllocationTags":         {`{"TagKeys":["«tag.key»"]}`},
	"costexplorer.UpdateCostAllocationTagsStatus": {`{"CostAllocationTagsStatus":[{"TagKey":"«tag.key»","Status":"Inactive"}]}`},
	"costexplorer.GetDimensionValues":             {`{` + month + `,"Dimension":"RESOURCE_ID","SearchString":"«profile.id»"}`, `{` + month + `,"Dimension":"LINKED_ACCOUNT","SearchString":"«account»"}`, `{` + month + `,"Dimension":"SERVICE","BillingViewArn":"arn:aws:billing::«account»:billingview/primary"}`},

	"iam.CreateUser":             {"UserName=«user»", "UserName=own2&PermissionsBoundary=«policy.arn»"},
	"iam.GetUser":                {"UserName=«user»"},
	"iam.UpdateUser":             {"UserName=«user»&NewUserName=x", "UserName=«user»&NewPath=/x/"},
	"iam.DeleteUser":             {"UserName=«user»"},
	"iam.ListUsers":              {"PathPrefix=/«path»/"},
	"iam.CreateGroup":            {"GroupName=«group»"},
	"iam.GetGroup":               {"GroupName=«group»"},
	"iam.UpdateGroup":            {"GroupName=«group»&NewGroupName=x"},
	"iam.DeleteGroup":            {"GroupName=«group»"},
	"iam.ListGroups":             {"PathPrefix=/«path»/"},
	"iam.AddUserToGroup":         {"GroupName=«group»&UserName=own", "GroupName=own&UserName=«user»"},
	"iam.RemoveUserFromGroup":    {"GroupName=«group»&UserName=«user»", "GroupName=own&UserName=«user»"},
	"iam.ListGroupsForUser":      {"UserName=«user»"},
	"iam.CreateRole":             {"RoleName=«role»&AssumeRolePolicyDocument=" + trusts("arn:aws:iam::«own»:root"), "RoleName=own2&AssumeRolePolicyDocument=" + trusts("«user.arn»"), "RoleName=own2&PermissionsBoundary=«policy.arn»&AssumeRolePolicyDocument=" + trusts("arn:aws:iam::«own»:root")},
	"iam.GetRole":                {"RoleName=«role»"},
	"iam.UpdateRole":             {"RoleName=«role»&Description=x"},
	"iam.UpdateRoleDescription":  {"RoleName=«role»&Description=x"},
	"iam.DeleteRole":             {"RoleName=«role»"},
	"iam.ListRoles":              {"PathPrefix=/«path»/"},
	"iam.UpdateAssumeRolePolicy": {"RoleName=«role»&PolicyDocument=" + trusts("arn:aws:iam::«own»:root"), "RoleName=own&PolicyDocument=" + trusts("«role.arn»")},
	"iam.TagUser":                {"UserName=«user»&Tags.member.1.Key=a&Tags.member.1.Value=b"},
	"iam.TagRole":                {"RoleName=«role»&Tags.member.1.Key=a&Tags.member.1.Value=b"},
	"iam.UntagUser":              {"UserName=«user»&TagKeys.member.1=«tag.key»"},
	"iam.UntagRole":              {"RoleName=«role»&TagKeys.member.1=«tag.key»"},
	"iam.ListUserTags":           {"UserName=«user»"},
	"iam.ListRoleTags":           {"RoleName=«role»"},
	"iam.PutUserPolicy":          {"UserName=«user»&PolicyName=x&PolicyDocument=" + allows},
	"iam.PutGroupPolicy":         {"GroupName=«group»&PolicyName=x&PolicyDocument=" + allows},
	"iam.PutRolePolicy":          {"RoleName=«role»&PolicyName=x&PolicyDocument=" + allows},
	"iam.GetUserPolicy":          {"UserName=«user»&PolicyName=«inline»", "UserName=own&PolicyName=«inline»"},
	"iam.GetGroupPolicy":         {"GroupName=«group»&PolicyName=«inline»"},
	"iam.GetRolePolicy":          {"RoleName=«role»&PolicyName=«inline»"},
	"iam.DeleteUserPolicy":       {"UserName=«user»&PolicyName=«inline»", "UserName=own&PolicyName=«inline»"},
	"iam.DeleteGroupPolicy":      {"GroupName=«group»&PolicyName=«inline»"},
	"iam.DeleteRolePolicy":       {"RoleName=«role»&PolicyName=«inline»"},
	"iam.ListUserPolicies":       {"UserName=«user»"},
	"iam.ListGroupPolicies":      {"GroupName=«group»"},
	"iam.ListRolePolicies":       {"RoleName=«role»"},

	"iam.ListInstanceProfilesForRole": {"RoleName=«role»"},
	"iam.ListMFADevices":              {"UserName=«user»"},
	"iam.ListSigningCertificates":     {"UserName=«user»"},
	"iam.ListSSHPublicKeys":           {"UserName=«user»"},
	"iam.DeleteLoginProfile":          {"UserName=«user»"},

	"iam.AttachUserPolicy":              {"UserName=«user»&PolicyArn=«policy.arn»", "UserName=own&PolicyArn=«policy.arn»"},
	"iam.AttachGroupPolicy":             {"GroupName=«group»&PolicyArn=«policy.arn»", "GroupName=own&PolicyArn=«policy.arn»"},
	"iam.AttachRolePolicy":              {"RoleName=«role»&PolicyArn=«policy.arn»", "RoleName=own&PolicyArn=«policy.arn»"},
	"iam.DetachUserPolicy":              {"UserName=«user»&PolicyArn=«policy.arn»", "UserName=own&PolicyArn=«policy.arn»"},
	"iam.DetachGroupPolicy":             {"GroupName=«group»&PolicyArn=«policy.arn»", "GroupName=own&PolicyArn=«policy.arn»"},
	"iam.DetachRolePolicy":              {"RoleName=«role»&PolicyArn=«policy.arn»", "RoleName=own&PolicyArn=«policy.arn»"},
	"iam.ListAttachedUserPolicies":      {"UserName=«user»"},
	"iam.ListAttachedGroupPolicies":     {"GroupName=«group»"},
	"iam.ListAttachedRolePolicies":      {"RoleName=«role»"},
	"iam.PutUserPermissionsBoundary":    {"UserName=«user»&PermissionsBoundary=«policy.arn»", "UserName=own&PermissionsBoundary=«policy.arn»"},
	"iam.PutRolePermissionsBoundary":    {"RoleName=«role»&PermissionsBoundary=«policy.arn»", "RoleName=own&PermissionsBoundary=«policy.arn»"},
	"iam.DeleteUserPermissionsBoundary": {"UserName=«user»"},
	"iam.DeleteRolePermissionsBoundary": {"RoleName=«role»"},

	"iam.CreatePolicy":            {"PolicyName=«policy»&PolicyDocument=" + allows},
	"iam.GetPolicy":               {"PolicyArn=«policy.arn»", "PolicyArn=arn:aws:iam::«own»:policy/«path»/«policy»"},
	"iam.DeletePolicy":            {"PolicyArn=«policy.arn»", "PolicyArn=arn:aws:iam::«own»:policy/«path»/«policy»"},
	"iam.ListPolicies":            {"PathPrefix=/«path»/"},
	"iam.CreatePolicyVersion":     {"PolicyArn=«policy.arn»&PolicyDocument=" + allows},
	"iam.GetPolicyVersion":        {"PolicyArn=«policy.arn»&VersionId=v1"},
	"iam.DeletePolicyVersion":     {"PolicyArn=«policy.arn»&VersionId=v1"},
	"iam.SetDefaultPolicyVersion": {"PolicyArn=«policy.arn»&VersionId=v1"},
	"iam.ListPolicyVersions":      {"PolicyArn=«policy.arn»"},
	"iam.ListEntitiesForPolicy":   {"PolicyArn=«policy.arn»", "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess&PathPrefix=/«path»/"},
	"iam.TagPolicy":               {"PolicyArn=«policy.arn»&Tags.member.1.Key=a&Tags.member.1.Value=b"},
	"iam.UntagPolicy":             {"PolicyArn=«policy.arn»&TagKeys.member.1=a"},
	"iam.ListPolicyTags":          {"PolicyArn=«policy.arn»"},

	"iam.CreateAccessKey":                  {"UserName=«user»"},
	"iam.DeleteAccessKey":                  {"AccessKeyId=«key»", "AccessKeyId=«key»&UserName=«user»", "AccessKeyId=«key»&UserName=own"},
	"iam.UpdateAccessKey":                  {"AccessKeyId=«key»&Status=Inactive", "AccessKeyId=«key»&UserName=«user»&Status=Inactive", "AccessKeyId=«key»&UserName=own&Status=Inactive"},
	"iam.ListAccessKeys":                   {"UserName=«user»"},
	"iam.GetAccessKeyLastUsed":             {"AccessKeyId=«key»"},
	"iam.CreateServiceSpecificCredential":  {"UserName=«user»&ServiceName=bedrock.amazonaws.com"},
	"iam.ListServiceSpecificCredentials":   {"UserName=«user»"},
	"iam.ResetServiceSpecificCredential":   {"UserName=«user»&ServiceSpecificCredentialId=«credential»", "UserName=own&ServiceSpecificCredentialId=«credential»", "ServiceSpecificCredentialId=«credential»"},
	"iam.UpdateServiceSpecificCredential":  {"UserName=«user»&Status=Inactive&ServiceSpecificCredentialId=«credential»", "UserName=own&Status=Inactive&ServiceSpecificCredentialId=«credential»"},
	"iam.DeleteServiceSpecificCredential":  {"UserName=«user»&ServiceSpecificCredentialId=«credential»", "UserName=own&ServiceSpecificCredentialId=«credential»"},
	"iam.SimulateCustomPolicy":             {"ActionNames.member.1=bedrock:InvokeModel&ResourceArns.member.1=«profile.arn»&CallerArn=«user.arn»&PolicyInputList.member.1=" + allows},
	"iam.SimulatePrincipalPolicy":          {"ActionNames.member.1=bedrock:InvokeModel&PolicySourceArn=«user.arn»", "ActionNames.member.1=iam:GetUser&PolicySourceArn=«role.arn»", "ActionNames.member.1=bedrock:InvokeModel&ResourceArns.member.1=«profile.arn»&PolicySourceArn=arn:aws:iam::«own»:user/own", "ActionNames.member.1=iam:GetUser&PolicySourceArn=arn:aws:iam::«own»:user/own&CallerArn=«user.arn»"},
	"iam.GetContextKeysForCustomPolicy":    {"PolicyInputList.member.1={\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"«profile.arn»\"}}"},
	"iam.GetContextKeysForPrincipalPolicy": {"PolicySourceArn=«user.arn»", "PolicySourceArn=«role.arn»", "PolicySourceArn=«group.arn»"},

	"sts.AssumeRole":                {"RoleArn=«role.arn»&RoleSessionName=own", "RoleArn=arn:aws:iam::«own»:role/own&RoleSessionName=own&PolicyArns.member.1.arn=«policy.arn»", "RoleArn=arn:aws:iam::«own»:role/«role»&RoleSessionName=own", "RoleArn=«closed.arn»&RoleSessionName=own"},
	"sts.AssumeRoleWithWebIdentity": {"RoleArn=«role.arn»&RoleSessionName=own&WebIdentityToken=eyJhbGciOiJub25lIn0.e30."},
	"sts.GetAccessKeyInfo":          {"AccessKeyId=«key»"},

	"resourcegroupstaggingapi.GetResources":   {`{"ResourceARNList":["«profile.arn»"]}`, `{"TagFilters":[{"Key":"«tag.key»"}]}`, `{"TagFilters":[{"Key":"team","Values":["«tag.value»"]}]}`},
	"resourcegroupstaggingapi.GetTagValues":   {`{"Key":"«tag.key»"}`},
	"resourcegroupstaggingapi.TagResources":   {`{"ResourceARNList":["«profile.arn»"],"Tags":{"a":"b"}}`, `{"ResourceARNList":["arn:aws:bedrock:us-east-1:«own»:application-inference-profile/«profile.id»"],"Tags":{"a":"b"}}`},
	"resourcegroupstaggingapi.UntagResources": {`{"ResourceARNList":["«profile.arn»"],"TagKeys":["«tag.key»"]}`},

	"anthropic.Messages":    {` {"model":"«profile.arn»","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, ` {"model":"«profile»","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}`},
	"anthropic.CountTokens": {` {"model":"«profile.arn»","messages":[{"role":"user","content":"hi"}]}`, ` {"model":"«profile»","messages":[{"role":"user","content":"hi"}]}`},
	"anthropic.ListModels":  {"?after_id=«profile.arn»", "?before_id=«profile.arn»"},
	"anthropic.GetModel":    {"«profile.arn»", "«profile.id»", "«profile»"},

	"openai.ChatCompletions": {` {"model":"«profile.arn»","messages":[{"role":"user","content":"hi"}]}`, ` {"model":"«profile»","messages":[{"role":"user","content":"hi"}],"stream":true}`},
	"openai.Responses":       {` {"model":"«profile.arn»","input":"hi"}`, ` {"model":"«profile»","input":"hi","stream":true}`},
	"openai.Embeddings":      {` {"model":"«profile.arn»","input":"hi"}`, ` {"model":"«profile»","input":"hi"}`},
	"openai.GetModel":        {"«profile.arn»", "«profile.id»", "«profile»"},

	"outcrop.GetRoute":       {"«profile.arn»", "«profile.id»", "«profile»"},
	"outcrop.ExplainProfile": {"«profile.arn»", "«profile.id»", "«profile»", "own?user=«user»"},
}

// lists are the requests that name nothing: of what they answer nothing is the other account's.
var lists = map[string][]request{
	"bedrock.ListInferenceProfiles": {"", "?type=APPLICATION"}, "bedrock.ListFoundationModels": {""},
	"cloudtrail.LookupEvents":             {"{}"},
	"costexplorer.GetCostAndUsage":        {`{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"]}`, `{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"GroupBy":[{"Type":"DIMENSION","Key":"RESOURCE_ID"},{"Type":"TAG","Key":"team"}]}`, `{` + month + `,"Granularity":"MONTHLY","Metrics":["UnblendedCost"],"GroupBy":[{"Type":"DIMENSION","Key":"LINKED_ACCOUNT"}]}`},
	"costexplorer.GetTags":                {`{` + month + `}`, `{` + month + `,"TagKey":"team"}`},
	"costexplorer.ListCostAllocationTags": {`{}`},
	"costexplorer.GetDimensionValues":     {`{` + month + `,"Dimension":"RESOURCE_ID"}`, `{` + month + `,"Dimension":"LINKED_ACCOUNT"}`, `{` + month + `,"Dimension":"USAGE_TYPE"}`, `{` + month + `,"Dimension":"REGION"}`},
	"iam.GetUser":                         {""}, "iam.ListUsers": {""}, "iam.ListGroups": {""}, "iam.ListRoles": {""}, "iam.ListPolicies": {"Scope=Local", "Scope=All&OnlyAttached=true"}, "iam.ListAccessKeys": {""},
	"iam.ListEntitiesForPolicy":          {"PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess"},
	"iam.ListServiceSpecificCredentials": {"AllUsers=true"},
	"iam.ListVirtualMFADevices":          {""},
	"iam.GetAccountAuthorizationDetails": {""}, "iam.GetAccountSummary": {""}, "iam.ListAccountAliases": {""},
	"sts.GetCallerIdentity": {""}, "sts.GetSessionToken": {""},
	"resourcegroupstaggingapi.GetResources": {"{}"}, "resourcegroupstaggingapi.GetTagKeys": {"{}"}, "resourcegroupstaggingapi.GetTagValues": {`{"Key":"team"}`},
	"anthropic.ListModels": {"?limit=1000"}, "openai.ListModels": {""},
	"outcrop.ListRoutes": {""}, "outcrop.ExplainProfile": {"own"},
}

// pages are lists with pages of one, and where their token stands in what is answered and in what is asked next.
var pages = []struct {
	op    string
	first request
	token *regexp.Regexp
	next  request // «page» is the token
}{
	{"bedrock.ListInferenceProfiles", "?type=APPLICATION&maxResults=1", regexp.MustCompile(`"nextToken":"([^"]+)"`), "?type=APPLICATION&maxResults=1&nextToken=«page»"},
	{"cloudtrail.LookupEvents", `{"MaxResults":1}`, regexp.MustCompile(`"NextToken":"([^"]+)"`), `{"MaxResults":1,"NextToken":"«page»"}`},
	{"resourcegroupstaggingapi.GetResources", `{"ResourcesPerPage":1}`, regexp.MustCompile(`"PaginationToken":"([^"]+)"`), `{"ResourcesPerPage":1,"PaginationToken":"«page»"}`},
	{"iam.ListUsers", "MaxItems=1", marker, "Marker=«page»"},
	{"iam.ListGroups", "MaxItems=1", marker, "Marker=«page»"},
	{"iam.ListRoles", "MaxItems=1", marker, "Marker=«page»"},
	{"iam.ListPolicies", "Scope=Local&MaxItems=1", marker, "Scope=Local&Marker=«page»"},
	{"iam.ListServiceSpecificCredentials", "AllUsers=true&MaxItems=1", marker, "AllUsers=true&Marker=«page»"},
	{"iam.GetAccountAuthorizationDetails", "MaxItems=1", marker, "Marker=«page»"},
	{"anthropic.ListModels", "?limit=1", regexp.MustCompile(`"last_id":"([^"]+)"`), "?after_id=«page»"},
}

var marker = regexp.MustCompile(`<Marker>([^<]+)</Marker>`)

const (
	haikuARN    = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
	hello       = `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`
	helloClaude = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	allows      = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

func trusts(principal string) request {
	return request(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"` + principal + `"}}}`)
}

// month is a time that the calls of a test are in.
var month = request(`"TimePeriod":{"Start":"` + time.Now().UTC().AddDate(0, 0, -7).Format(time.DateOnly) + `","End":"` + time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly) + `"}`)

// coming is a time to foretell.
var coming = request(`"TimePeriod":{"Start":"` + time.Now().UTC().Format(time.DateOnly) + `","End":"` + time.Now().UTC().AddDate(0, 0, 5).Format(time.DateOnly) + `"}`)

// undo takes back what a creation in the own account has made.
var undo = map[string]struct {
	op string
	by request
}{
	"iam.CreateUser": {"iam.DeleteUser", "UserName=«made»"}, "iam.CreateGroup": {"iam.DeleteGroup", "GroupName=«made»"}, "iam.CreateRole": {"iam.DeleteRole", "RoleName=«made»"},
	"iam.CreatePolicy": {"iam.DeletePolicy", "PolicyArn=«made»"}, "bedrock.CreateInferenceProfile": {"bedrock.DeleteInferenceProfile", "«made»"},
}

// made is what a creation says that it has made.
var made = regexp.MustCompile(`<(?:UserName|GroupName|RoleName)>([^<]+)<|<Arn>(arn:aws:iam::\d+:policy[^<]+)<|"inferenceProfileArn":"([^"]+)"`)

// anew is what is new each time: ids, secrets, tokens and times.
var anew = regexp.MustCompile(`\b(?:AIDA|AROA|AGPA|ANPA|AKIA|ASIA|ACCA)[A-Z2-7]{16,17}\b|<(?:SecretAccessKey|SessionToken|RequestId|CreateDate|UpdateDate)>[^<]*<|application-inference-profile/[a-z0-9]{12}|` +
	`\d{4}-\d\d-\d\dT[0-9:.]+Z|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"request_id":"[^"]*"|"EventTime":[0-9.]+`)

// An isolation is a server with two accounts that have much the same.
type isolation struct {
	*gateway
	ops   map[string][]operation
	there map[string]string // what the other account has, by the names in requests
}

type operation struct {
	service *wire.Service
	row     *wire.Row
}

const ownAccount, nowhere = gatewayAccount, "888888888888"

// values are what stands for the names in a request: what the other account has, what it has not, or what an account that there is not has.
// All are of one length.
func (is *isolation) values(which string) map[string]string {
	v := maps.Clone(is.there)
	if which != otherAccount {
		for name, is := range v {
			v[name] = strings.ReplaceAll(is, "zq7", "xj9")
		}
		v["profile.id"], v["key"], v["credential"] = "xj9xj9xj9xj9", "AKIAXJ2XJ2XJ2XJ2XJ2X", "ACCAXJ2XJ2XJ2XJ2XJ2XJ"
		v["event"] = "01234567-89ab-4def-8123-456789abcdef"
	}
	v["account"] = otherAccount
	if which == nowhere {
		v["account"] = nowhere
	}
	v["profile.arn"] = "arn:aws:bedrock:us-east-1:" + v["account"] + ":application-inference-profile/" + v["profile.id"]
	for _, kind := range []string{"user", "group", "role", "policy"} {
		v[kind+".arn"] = "arn:aws:iam::" + v["account"] + ":" + kind + "/" + v["path"] + "/" + v[kind]
	}
	v["closed.arn"] = "arn:aws:iam::" + v["account"] + ":role/" + v["closed"]
	v["own"] = ownAccount
	return v
}

// fill puts values into a text.
func fill(text string, values map[string]string) string {
	for name, value := range values {
		text = strings.ReplaceAll(text, "«"+name+"»", value)
	}
	return text
}

// drain takes the values out of an answer again, and what is new each time.
func drain(text string, values map[string]string) string {
	for _, name := range slices.SortedFunc(maps.Keys(values), func(a, b string) int { return len(values[b]) - len(values[a]) }) {
		if name != "own" {
			text = strings.ReplaceAll(text, values[name], "«"+name+"»")
		}
	}
	return anew.ReplaceAllString(text, "«new»")
}

// isolated is what came back of a request.
type isolated struct {
	status int
	header http.Header
	body   string
}

// ask sends one request to an operation.
func (is *isolation) ask(t *testing.T, by aws.Credentials, op operation, r request, values map[string]string) isolated {
	t.Helper()
	method, target, body, header := http.MethodPost, "/", fill(string(r), values), http.Header{}
	switch op.service.Protocol {
	case wire.AWSQuery:
		form := url.Values{"Action": {op.row.Name}, "Version": {op.service.Version}}
		for pair := range strings.SplitSeq(body, "&") {
			name, value, _ := strings.Cut(pair, "=")
			if name != "" {
				form.Set(name, value)
			}
		}
		body, header["Content-Type"] = form.Encode(), []string{"application/x-www-form-urlencoded"}
	case wire.AWSJSON11:
		header["X-Amz-Target"], header["Content-Type"] = []string{op.service.TargetPrefix + "." + op.row.Name}, []string{"application/x-amz-json-1.1"}
	default:
		at, rest, _ := strings.Cut(body, " ")
		body = rest
		label, query, _ := strings.Cut(at, "?")
		var pairs []string
		for pair := range strings.SplitSeq(query, "&") {
			if name, value, ok := strings.Cut(pair, "="); ok {
				pairs = append(pairs, name+"="+url.QueryEscape(value))
			}
		}
		method, target = op.row.Method, regexp.MustCompile(`\{\w+\}`).ReplaceAllLiteralString(op.row.Path, url.PathEscape(label))
		if pairs != nil {
			target += "?" + strings.Join(pairs, "&")
		}
		header = http.Header{"Content-Type": {"application/json"}}
	}
	q, err := http.NewRequestWithContext(t.Context(), method, is.URL()+target, strings.NewReader(body))
	must(t, err)
	maps.Copy(q.Header, header)
	sum := sha256.Sum256([]byte(body))
	must(t, v4.NewSigner().SignHTTP(context.Background(), by, q, hex.EncodeToString(sum[:]), op.service.SigningName, "us-east-1", time.Now()))
	resp, err := is.client.Do(q)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	for _, name := range []string{"Date", "X-Amzn-Requestid", "Request-Id", "X-Request-Id"} {
		resp.Header.Del(name)
	}
	return isolated{resp.StatusCode, resp.Header, string(text)}
}

// must1 asks what has to go well.
func (is *isolation) must(t *testing.T, by aws.Credentials, op string, r request, values map[string]string) string {
	t.Helper()
	a := is.ask(t, by, is.ops[op][0], r, values)
	if a.status/100 != 2 {
		t.Fatalf("%s %s: %d %s", op, r, a.status, a.body)
	}
	return a.body
}

// newIsolation starts the server and fills both accounts.
func newIsolation(t *testing.T) *isolation {
	is := &isolation{gateway: startGateway(t, nil), ops: map[string][]operation{}}
	for _, s := range is.fronts {
		for i := range s.Ops {
			name := s.Name + "." + s.Ops[i].Name
			is.ops[name] = append(is.ops[name], operation{s, &s.Ops[i].Row})
		}
	}
	must(t, is.people.EnsureRoot(t.Context(), otherAccount, "", ""))
	is.there = map[string]string{
		"user": "zq7user", "group": "zq7group", "role": "zq7role", "closed": "zq7closed", "policy": "zq7policy", "inline": "zq7inline", "path": "zq7path",
		"profile": "zq7profile", "token": "zq7token", "tag.key": "zq7key", "tag.value": "zq7value",
	}
	// The other account: two of each, so that lists have pages.
	root := rootOf(t, is.server, otherAccount)
	for i, suffix := range []string{"", "-2"} {
		v := is.values(otherAccount)
		v["own"] = otherAccount
		for _, name := range []string{"user", "group", "role", "closed", "policy", "profile", "token"} {
			v[name] += suffix
		}
		v["user.arn"], v["policy.arn"] = v["user.arn"]+suffix, v["policy.arn"]+suffix
		const tags = "&Tags.member.1.Key=«tag.key»&Tags.member.1.Value=«tag.value»"
		is.must(t, root, "iam.CreateUser", "UserName=«user»&Path=/«path»/"+tags, v)
		is.must(t, root, "iam.CreateGroup", "GroupName=«group»&Path=/«path»/", v)
		is.must(t, root, "iam.AddUserToGroup", "GroupName=«group»&UserName=«user»", v)
		is.must(t, root, "iam.CreateRole", "RoleName=«role»&Path=/«path»/"+tags+"&AssumeRolePolicyDocument="+trusts("arn:aws:iam::«own»:root"), v)
		is.must(t, root, "iam.CreateRole", "RoleName=«closed»&AssumeRolePolicyDocument="+trusts("arn:aws:iam::"+nowhere+":root"), v)
		is.must(t, root, "iam.CreatePolicy", "PolicyName=«policy»&Path=/«path»/&PolicyDocument="+allows, v)
		for _, kind := range []string{"User", "Group", "Role"} {
			of := request(kind + "Name=«" + strings.ToLower(kind) + "»")
			is.must(t, root, "iam.Put"+kind+"Policy", of+"&PolicyName=«inline»&PolicyDocument="+allows, v)
			is.must(t, root, "iam.Attach"+kind+"Policy", of+"&PolicyArn=«policy.arn»", v)
			is.must(t, root, "iam.Attach"+kind+"Policy", of+"&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", v)
		}
		key := is.must(t, root, "iam.CreateAccessKey", "UserName=«user»", v)
		credential := is.must(t, root, "iam.CreateServiceSpecificCredential", "UserName=«user»&ServiceName=bedrock.amazonaws.com", v)
		p := is.must(t, root, "bedrock.CreateInferenceProfile", ` {"inferenceProfileName":"«profile»","clientRequestToken":"«token»","modelSource":{"copyFrom":"`+haikuARN+`"},"tags":[{"key":"«tag.key»","value":"«tag.value»"},{"key":"team","value":"«tag.value»"}]}`, v)
		if i > 0 {
			continue
		}
		is.there["key"] = regexp.MustCompile(`AKIA\w+`).FindString(key)
		is.there["credential"] = regexp.MustCompile(`ACCA\w+`).FindString(credential)
		is.there["profile.id"] = regexp.MustCompile(`application-inference-profile/(\w+)`).FindStringSubmatch(p)[1]
		is.must(t, root, "bedrockruntime.Converse", "«profile.arn» "+hello, is.values(otherAccount))
	}
	events := is.must(t, root, "cloudtrail.LookupEvents", "{}", nil)
	is.there["event"] = regexp.MustCompile(`"EventId":"([^"]+)"`).FindStringSubmatch(events)[1]

	// The own.
	root = rootOf(t, is.server, ownAccount)
	is.must(t, root, "iam.CreateUser", "UserName=own", nil)
	is.must(t, root, "iam.AttachUserPolicy", "UserName=own&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", nil)
	is.must(t, root, "iam.CreateUser", "UserName=mallory", nil)
	is.must(t, root, "iam.CreateGroup", "GroupName=own", nil)
	is.must(t, root, "iam.CreateRole", "RoleName=own&AssumeRolePolicyDocument="+trusts("arn:aws:iam::"+ownAccount+":root"), nil)
	is.must(t, root, "iam.AttachRolePolicy", "RoleName=own&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", nil)
	is.must(t, root, "bedrock.CreateInferenceProfile", ` {"inferenceProfileName":"own","modelSource":{"copyFrom":"`+haikuARN+`"},"tags":[{"key":"team","value":"own"}]}`, nil)
	is.must(t, root, "bedrockruntime.Converse", "anthropic.claude-3-haiku-20240307-v1:0 "+hello, nil)
	must(t, is.ledger.Flush(t.Context()))
	return is
}

// holdings is everything that the other account has.
func (is *isolation) holdings(t *testing.T) (any, any) {
	t.Helper()
	st, err := is.store.Principals(t.Context())
	must(t, err)
	st.Entities = slices.DeleteFunc(st.Entities, func(e iam.Entity) bool { return e.Account != otherAccount })
	st.Keys = slices.DeleteFunc(st.Keys, func(k iam.AccessKey) bool { return k.Account != otherAccount })
	st.Bearers = slices.DeleteFunc(st.Bearers, func(k iam.BearerKey) bool { return k.Account != otherAccount })
	st.Managed = slices.DeleteFunc(st.Managed, func(p iam.ManagedPolicy) bool { return p.Account != otherAccount })
	of := func(id string) bool {
		return slices.ContainsFunc(st.Entities, func(e iam.Entity) bool { return e.ID == id }) || slices.ContainsFunc(st.Managed, func(p iam.ManagedPolicy) bool { return p.ID == id })
	}
	st.Members = slices.DeleteFunc(st.Members, func(m iam.Member) bool { return !of(m.Group) && !of(m.User) })
	st.Inline = slices.DeleteFunc(st.Inline, func(p iam.InlinePolicy) bool { return !of(p.Owner) })
	st.Versions = slices.DeleteFunc(st.Versions, func(v iam.PolicyVersion) bool { return !of(v.Policy) })
	st.Attachments = slices.DeleteFunc(st.Attachments, func(a iam.Attachment) bool { return !of(a.Owner) })
	profiles, _, err := is.profiles.List(otherAccount, "us-east-1", profile.Application, 1000, "")
	must(t, err)
	return st.Rows, profiles
}

// TestIsolation is described above.
func TestIsolation(t *testing.T) {
	is := newIsolation(t)
	for op := range is.ops {
		if mentions[op] == nil && lists[op] == nil {
			t.Errorf("%s is not tried with what another account has: it wants a case in mentions, or in lists where it can name nothing", op)
		}
	}
	for _, cases := range []map[string][]request{mentions, lists} {
		for op := range cases {
			if is.ops[op] == nil {
				t.Errorf("there is no operation %s", op)
			}
		}
	}
	if t.Failed() {
		return
	}
	rows, profiles := is.holdings(t)
	root := rootOf(t, is.server, ownAccount)
	session := func(name string) aws.Credentials {
		key, err := is.people.CreateAccessKey(t.Context(), ownAccount, name)
		must(t, err)
		return aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	}
	callers := []struct {
		name string
		aws.Credentials
	}{{"root", root}, {"a user who may do everything", session("own")}, {"a user who may do nothing", session("mallory")}}

	// What names nothing shows nothing.
	secrets := []string{"zq7", otherAccount}
	for _, name := range []string{"key", "credential", "profile.id", "event"} {
		secrets = append(secrets, is.there[name])
	}
	for _, e := range rows.(iam.Rows).Entities {
		secrets = append(secrets, e.ID)
	}
	shows := func(a isolated, but ...string) string {
		for _, s := range but {
			a.body = strings.ReplaceAll(a.body, s, "")
		}
		for _, s := range secrets {
			if strings.Contains(a.body, s) || strings.Contains(fmt.Sprint(a.header), s) {
				return s
			}
		}
		return ""
	}
	otherRoot := rootOf(t, is.server, otherAccount)
	for _, op := range slices.Sorted(maps.Keys(lists)) {
		for _, r := range lists[op] {
			for _, o := range is.ops[op] {
				for _, by := range callers {
					a := is.ask(t, by.Credentials, o, r, nil)
					if s := shows(a); s != "" {
						t.Errorf("%s %s by %s shows %s: %d %s", op, r, by.name, s, a.status, a.body)
					}
					if want := 200; by.name == "root" && op != "iam.ListAccountAliases" && a.status != want {
						t.Errorf("%s %s by %s: %d %s", op, r, by.name, a.status, a.body)
					}
				}
			}
		}
	}

	// A token of the other account's pages opens nothing of its.
	for _, p := range pages {
		for _, o := range is.ops[p.op] {
			first := is.ask(t, otherRoot, o, p.first, nil)
			token := p.token.FindStringSubmatch(first.body)
			if token == nil {
				t.Errorf("%s has no second page: %d %s", p.op, first.status, first.body)
				continue
			}
			for _, by := range callers {
				a := is.ask(t, by.Credentials, o, p.next, map[string]string{"page": strings.ReplaceAll(token[1], "&#xA;", "")})
				if s := shows(a, token[1]); s != "" || a.status/100 == 5 {
					t.Errorf("%s by %s with a token of another account shows %q: %d %s", p.op, by.name, s, a.status, a.body)
				}
			}
		}
	}

	// What is the other account's reads as what is nowhere.
	for _, op := range slices.Sorted(maps.Keys(mentions)) {
		for _, r := range mentions[op] {
			for _, o := range is.ops[op] {
				for _, by := range callers {
					var first isolated
					for _, which := range []string{otherAccount, "not there", nowhere} {
						v := is.values(which)
						a := is.ask(t, by.Credentials, o, r, v)
						if m := made.FindStringSubmatch(a.body); a.status/100 == 2 && undo[op].op != "" && m != nil {
							is.must(t, root, undo[op].op, undo[op].by, map[string]string{"made": m[1] + m[2] + m[3]})
						}
						a.body = drain(a.body, v)
						if which == otherAccount {
							first = a
							continue
						}
						if !reflect.DeepEqual(a, first) {
							t.Errorf("%s %s by %s:\n what the other has  %d %v %s\n %-17s  %d %v %s", op, r, by.name, first.status, first.header, first.body, which, a.status, a.header, a.body)
						}
					}
				}
			}
		}
	}
	if nowRows, nowProfiles := is.holdings(t); !reflect.DeepEqual(nowRows, rows) || !reflect.DeepEqual(nowProfiles, profiles) {
		t.Error("the other account has not what it had")
	}
	if a := is.ask(t, otherRoot, is.ops["cloudtrail.LookupEvents"][0], "{}", nil); strings.Contains(a.body, ownAccount) || a.status != 200 {
		t.Errorf("the other account's record tells of this one: %d %s", a.status, a.body)
	}
}

// Keys and sessions of two accounts do not go together.
func TestIsolationOfSessions(t *testing.T) {
	is := newIsolation(t)
	of := func(account string) aws.Credentials {
		p := is.people.Principals(account, "us-east-1")[0]
		p.AccessKeyID = rootOf(t, is.server, account).AccessKeyID
		c, err := is.people.GetSessionToken(&p, 0)
		must(t, err)
		return aws.Credentials{AccessKeyID: c.ID, SecretAccessKey: c.Secret, SessionToken: c.Token}
	}
	mine, theirs, root := of(ownAccount), of(otherAccount), rootOf(t, is.server, ownAccount)
	ask := is.ops["sts.GetCallerIdentity"][0]
	var want isolated
	for i, c := range []aws.Credentials{
		{AccessKeyID: mine.AccessKeyID, SecretAccessKey: mine.SecretAccessKey, SessionToken: "nothing" + mine.SessionToken[7:]}, // what the others are to read as
		{AccessKeyID: mine.AccessKeyID, SecretAccessKey: mine.SecretAccessKey, SessionToken: theirs.SessionToken},
		{AccessKeyID: theirs.AccessKeyID, SecretAccessKey: mine.SecretAccessKey, SessionToken: mine.SessionToken},
		{AccessKeyID: root.AccessKeyID, SecretAccessKey: root.SecretAccessKey, SessionToken: theirs.SessionToken},
		{AccessKeyID: theirs.AccessKeyID, SecretAccessKey: theirs.SecretAccessKey},
	} {
		a := is.ask(t, c, ask, "", nil)
		a.body = anew.ReplaceAllString(a.body, "")
		if i == 0 {
			want = a
		}
		if a.status != 403 || !reflect.DeepEqual(a, want) {
			t.Errorf("%d: %d %v %s, want %v %s", i, a.status, a.header, a.body, want.header, want.body)
		}
	}
	for account, c := range map[string]aws.Credentials{ownAccount: mine, otherAccount: theirs} {
		if a := is.ask(t, c, ask, "", nil); a.status != 200 || !bytes.Contains([]byte(a.body), []byte("<Account>"+account+"</Account>")) {
			t.Errorf("%s: %d %s", account, a.status, a.body)
		}
	}
}

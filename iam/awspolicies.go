package iam

import (
	"embed"
	"time"
)

// awsAccount stands where an account's number does in the ARNs of what is AWS's: arn:aws:iam::aws:policy/AdministratorAccess.
const awsAccount = "aws"

//go:embed aws/*.json
var awsDocuments embed.FS

// awsPolicies are the AWS-managed policies that mean something here, word for word in their current version: what they allow of
// other services is of no effect. Only that version is there.
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html, as of August 2026.
var awsPolicies = func() (r struct {
	managed  []*ManagedPolicy
	versions map[string][]*PolicyVersion
}) {
	at := func(s string) time.Time {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err) // of a literal here
		}
		return t
	}
	r.versions = map[string][]*PolicyVersion{}
	for _, p := range []struct {
		name, id         string
		version          int
		created, updated string
		description      string
	}{
		{"AdministratorAccess", "ANPAIWMBCKSKIEE64ZLYK", 1, "2015-02-06T18:39:46Z", "2015-02-06T18:39:46Z", "Provides full access to AWS services and resources."},
		{"AmazonBedrockFullAccess", "ANPAZKAPJZG4IZPIPC3GC", 11, "2023-12-06T15:47:17Z", "2026-08-04T05:42:21Z", "Provides full access to Amazon Bedrock as well as limited access to related services that are required by it"},
		{"AmazonBedrockLimitedAccess", "ANPAZKAPJZG4ITL2W5IGN", 9, "2025-06-29T22:22:06Z", "2026-08-04T05:27:24Z", "Provides limited access to Amazon Bedrock as well as to related services that are required by it"},
		{"AmazonBedrockMarketplaceAccess", "ANPAZKAPJZG4DDKNABK3M", 3, "2025-06-29T22:22:07Z", "2026-02-12T17:57:09Z", "Provides limited access to Amazon Bedrock Marketplace as well as to related services that are required by it"},
		{"AmazonBedrockReadOnly", "ANPAZKAPJZG4LQSTUJ5QY", 7, "2023-12-06T15:48:19Z", "2026-02-12T17:57:55Z", "Provides read only access to Amazon Bedrock"},
	} {
		document, err := awsDocuments.ReadFile("aws/" + p.name + ".json")
		if err != nil {
			panic(err) // it is embedded
		}
		m := &ManagedPolicy{
			Account: awsAccount, Name: p.name, Path: "/", ID: p.id, Description: p.description,
			Default: p.version, Last: p.version, CreatedAt: at(p.created), UpdatedAt: at(p.updated),
		}
		r.managed = append(r.managed, m)
		r.versions[p.id] = []*PolicyVersion{{Policy: p.id, Number: p.version, Document: string(document), CreatedAt: m.UpdatedAt}}
	}
	return r
}()

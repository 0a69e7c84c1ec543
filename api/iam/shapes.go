package iam

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"outcrop/iam"
)

// The inputs, with the constraints of the service model. What a name may hold is the domain's to say, since IAM says it in
// words of its own; where the model has several lengths for the names of one kind, the longest stands here.

type userName struct {
	UserName string `json:"UserName" required:"true" min:"1" max:"128"`
}

type groupName struct {
	GroupName string `json:"GroupName" required:"true" min:"1" max:"128"`
}

type roleName struct {
	RoleName string `json:"RoleName" required:"true" min:"1" max:"64"`
}

// optionalUser is the caller where it is not given.
type optionalUser struct {
	UserName *string `json:"UserName" min:"1" max:"128"`
}

func (n *userName) target() (iam.Kind, string)  { return iam.UserKind, n.UserName }
func (n *groupName) target() (iam.Kind, string) { return iam.GroupKind, n.GroupName }
func (n *roleName) target() (iam.Kind, string)  { return iam.RoleKind, n.RoleName }

// An aimed input names a user, a group or a role.
type aimed[In any] interface {
	*In
	target() (iam.Kind, string)
}

type pathInput struct {
	Path string `json:"Path" min:"1" max:"512"`
}

type prefixInput struct {
	PathPrefix string `json:"PathPrefix" min:"1" max:"512" pattern:"^\\u002F[\\u0021-\\u007F]*$"`
}

type paging struct {
	Marker   string `json:"Marker" min:"1" max:"320" pattern:"^[\\u0020-\\u00FF]+$"`
	MaxItems *int32 `json:"MaxItems" min:"1" max:"1000"`
}

func (p *paging) page() *paging { return p }

func (p *prefixInput) prefix() string { return prefix(p.PathPrefix) }

type tagInput struct {
	Key   string  `json:"Key" required:"true" min:"1" max:"128" pattern:"^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+$"`
	Value *string `json:"Value" required:"true" max:"256" pattern:"^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*$"`
}

type newTags struct {
	Tags []tagInput `json:"Tags" max:"50"`
}

func (t *newTags) tags() []iam.Tag { return tagsOf(t.Tags) }

type tagsInput struct {
	Tags []tagInput `json:"Tags" required:"true" max:"50"`
}

func (t *tagsInput) tags() []iam.Tag { return tagsOf(t.Tags) }

func tagsOf(in []tagInput) []iam.Tag {
	out := make([]iam.Tag, len(in))
	for i, t := range in {
		out[i] = iam.Tag{Key: t.Key, Value: *t.Value}
	}
	return out
}

type tagKeys struct {
	TagKeys []string `json:"TagKeys" required:"true" max:"50" each.min:"1" each.max:"128" each.pattern:"^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+$"`
}

func (t *tagKeys) keys() []string { return t.TagKeys }

type inlineName struct {
	PolicyName string `json:"PolicyName" required:"true" min:"1" max:"128"`
}

func (n *inlineName) inline() string { return n.PolicyName }

type documentInput struct {
	PolicyDocument string `json:"PolicyDocument" required:"true" min:"1" max:"131072" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+$"`
}

func (d *documentInput) document() string { return d.PolicyDocument }

type policyARN struct {
	PolicyArn string `json:"PolicyArn" required:"true" min:"20" max:"2048"`
}

func (p *policyARN) arn() string { return p.PolicyArn }

type versionID struct {
	VersionID string `json:"VersionId" required:"true" pattern:"^v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?$"`
}

// number is 0 for an id that no version here has.
func (v *versionID) number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(v.VersionID, "v"))
	if err != nil {
		return 0
	}
	return n
}

type newBoundary struct {
	PermissionsBoundary string `json:"PermissionsBoundary" min:"20" max:"2048"`
}

type boundaryInput struct {
	PermissionsBoundary string `json:"PermissionsBoundary" required:"true" min:"20" max:"2048"`
}

func (b *boundaryInput) boundary() string { return b.PermissionsBoundary }

type (
	createUserInput struct {
		userName
		pathInput
		newBoundary
		newTags
	}
	createGroupInput struct {
		groupName
		pathInput
	}
	createRoleInput struct {
		roleName
		pathInput
		newBoundary
		newTags
		Trust              string `json:"AssumeRolePolicyDocument" required:"true" min:"1" max:"131072" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+$"`
		Description        string `json:"Description" max:"1000" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u00A1-\\u00FF]*$"`
		MaxSessionDuration *int32 `json:"MaxSessionDuration" min:"3600" max:"43200"`
	}
	updateUserInput struct {
		userName
		NewPath     string `json:"NewPath" min:"1" max:"512"`
		NewUserName string `json:"NewUserName" min:"1" max:"64"`
	}
	updateGroupInput struct {
		groupName
		NewPath      string `json:"NewPath" min:"1" max:"512"`
		NewGroupName string `json:"NewGroupName" min:"1" max:"128"`
	}
	updateRoleInput struct {
		roleName
		Description        *string `json:"Description" max:"1000" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u00A1-\\u00FF]*$"`
		MaxSessionDuration *int32  `json:"MaxSessionDuration" min:"3600" max:"43200"`
	}
	updateRoleDescriptionInput struct {
		roleName
		Description *string `json:"Description" required:"true" max:"1000" pattern:"^[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u00A1-\\u00FF]*$"`
	}
	trustInput struct {
		roleName
		documentInput
	}
	listInput struct {
		prefixInput
		paging
	}

	userTagsInput struct {
		userName
		tagsInput
	}
	roleTagsInput struct {
		roleName
		tagsInput
	}
	userTagKeysInput struct {
		userName
		tagKeys
	}
	roleTagKeysInput struct {
		roleName
		tagKeys
	}
	userPageInput struct {
		userName
		paging
	}
	groupPageInput struct {
		groupName
		paging
	}
	rolePageInput struct {
		roleName
		paging
	}

	memberInput struct {
		groupName
		UserName string `json:"UserName" required:"true" min:"1" max:"128"`
	}

	userPolicyInput struct {
		userName
		inlineName
	}
	groupPolicyInput struct {
		groupName
		inlineName
	}
	rolePolicyInput struct {
		roleName
		inlineName
	}
	putUserPolicyInput struct {
		userName
		inlineName
		documentInput
	}
	putGroupPolicyInput struct {
		groupName
		inlineName
		documentInput
	}
	putRolePolicyInput struct {
		roleName
		inlineName
		documentInput
	}

	userAttachInput struct {
		userName
		policyARN
	}
	groupAttachInput struct {
		groupName
		policyARN
	}
	roleAttachInput struct {
		roleName
		policyARN
	}
	userAttachedInput struct {
		userName
		prefixInput
		paging
	}
	groupAttachedInput struct {
		groupName
		prefixInput
		paging
	}
	roleAttachedInput struct {
		roleName
		prefixInput
		paging
	}
	userBoundaryInput struct {
		userName
		boundaryInput
	}
	roleBoundaryInput struct {
		roleName
		boundaryInput
	}

	createPolicyInput struct {
		inlineName
		pathInput
		documentInput
		newTags
		Description string `json:"Description" max:"1000"`
	}
	listPoliciesInput struct {
		prefixInput
		paging
		Scope             string `json:"Scope" enum:"All,AWS,Local"`
		OnlyAttached      bool   `json:"OnlyAttached"`
		PolicyUsageFilter string `json:"PolicyUsageFilter" enum:"PermissionsPolicy,PermissionsBoundary"`
	}
	createVersionInput struct {
		policyARN
		documentInput
		SetAsDefault bool `json:"SetAsDefault"`
	}
	versionInput struct {
		policyARN
		versionID
	}
	policyPageInput struct {
		policyARN
		paging
	}
	policyTagsInput struct {
		policyARN
		tagsInput
	}
	policyTagKeysInput struct {
		policyARN
		tagKeys
	}
	listEntitiesInput struct {
		policyARN
		prefixInput
		paging
		EntityFilter      string `json:"EntityFilter" enum:"User,Role,Group,LocalManagedPolicy,AWSManagedPolicy"`
		PolicyUsageFilter string `json:"PolicyUsageFilter" enum:"PermissionsPolicy,PermissionsBoundary"`
	}

	keyInput struct {
		optionalUser
		AccessKeyID string `json:"AccessKeyId" required:"true" min:"3" max:"128"`
	}
	updateKeyInput struct {
		keyInput
		Status string `json:"Status" required:"true" enum:"Active,Inactive,Expired"`
	}
	optionalUserPageInput struct {
		optionalUser
		paging
	}
	keyIDInput struct {
		AccessKeyID string `json:"AccessKeyId" required:"true" min:"3" max:"128"`
	}

	createCredentialInput struct {
		userName
		ServiceName       string `json:"ServiceName" required:"true"`
		CredentialAgeDays *int32 `json:"CredentialAgeDays" min:"1" max:"36600"`
	}
	listCredentialsInput struct {
		optionalUser
		paging
		ServiceName string `json:"ServiceName"`
		AllUsers    bool   `json:"AllUsers"`
	}
	credentialInput struct {
		optionalUser
		ID string `json:"ServiceSpecificCredentialId" required:"true" min:"20" max:"128" pattern:"^[\\w]+$"`
	}
	updateCredentialInput struct {
		credentialInput
		Status string `json:"Status" required:"true" enum:"Active,Inactive,Expired"`
	}

	detailsInput struct {
		paging
		Filter []string `json:"Filter" each.enum:"User,Role,Group,LocalManagedPolicy,AWSManagedPolicy"`
	}
	nothing struct{}

	contextEntry struct {
		Name   string   `json:"ContextKeyName" min:"5" max:"256"`
		Values []string `json:"ContextKeyValues"`
		Type   string   `json:"ContextKeyType" enum:"string,stringList,numeric,numericList,boolean,booleanList,ip,ipList,binary,binaryList,date,dateList"`
	}
	// simulateInput is what both simulations take.
	simulateInput struct {
		paging
		Boundary               []string       `json:"PermissionsBoundaryPolicyInputList" each.min:"1" each.max:"131072"`
		ActionNames            []string       `json:"ActionNames" required:"true" each.min:"3" each.max:"128"`
		ResourceArns           []string       `json:"ResourceArns" each.min:"1" each.max:"2048"`
		ResourcePolicy         string         `json:"ResourcePolicy" min:"1" max:"131072"`
		ResourceOwner          string         `json:"ResourceOwner" min:"1" max:"2048"`
		CallerARN              string         `json:"CallerArn" min:"1" max:"2048"`
		ContextEntries         []contextEntry `json:"ContextEntries"`
		ResourceHandlingOption string         `json:"ResourceHandlingOption" min:"1" max:"64"`
	}
	customInput struct {
		simulateInput
		Policies []string `json:"PolicyInputList" required:"true" each.min:"1" each.max:"131072"`
	}
	principalInput struct {
		simulateInput
		PolicySourceARN string   `json:"PolicySourceArn" required:"true" min:"20" max:"2048"`
		Policies        []string `json:"PolicyInputList" each.min:"1" each.max:"131072"`
	}
	customKeysInput struct {
		Policies []string `json:"PolicyInputList" required:"true" each.min:"1" each.max:"131072"`
	}
	principalKeysInput struct {
		PolicySourceARN string   `json:"PolicySourceArn" required:"true" min:"20" max:"2048"`
		Policies        []string `json:"PolicyInputList" each.min:"1" each.max:"131072"`
	}
)

// The outputs. Their names are those of the service model.

type paged struct {
	IsTruncated bool   `json:"IsTruncated"`
	Marker      string `json:"Marker,omitzero"`
}

type (
	// Tag is a tag.
	Tag struct {
		Key   string `json:"Key"`
		Value string `json:"Value"`
	}

	// AttachedPermissionsBoundary is the bound of a user's or role's permissions.
	AttachedPermissionsBoundary struct {
		Type string `json:"PermissionsBoundaryType"`
		ARN  string `json:"PermissionsBoundaryArn"`
	}

	// User is a user; of root it has no name.
	User struct {
		Path                string                       `json:"Path,omitzero"`
		UserName            string                       `json:"UserName,omitzero"`
		UserID              string                       `json:"UserId"`
		ARN                 string                       `json:"Arn"`
		CreateDate          time.Time                    `json:"CreateDate"`
		PermissionsBoundary *AttachedPermissionsBoundary `json:"PermissionsBoundary"`
		Tags                []Tag                        `json:"Tags,omitzero"`
	}

	// Group is a group.
	Group struct {
		Path       string    `json:"Path"`
		GroupName  string    `json:"GroupName"`
		GroupID    string    `json:"GroupId"`
		ARN        string    `json:"Arn"`
		CreateDate time.Time `json:"CreateDate"`
	}

	// RoleLastUsed says when and where a session of a role was used last; nothing where none was.
	RoleLastUsed struct {
		LastUsedDate time.Time `json:"LastUsedDate,omitzero"`
		Region       string    `json:"Region,omitzero"`
	}

	// Role is a role.
	Role struct {
		roleHead
		Description        string `json:"Description,omitzero"`
		MaxSessionDuration int    `json:"MaxSessionDuration"` // seconds
		roleRest
	}
	// roleHead and roleRest are what Role and RoleDetail have in common, in the model's order.
	roleHead struct {
		Path                     string    `json:"Path"`
		RoleName                 string    `json:"RoleName"`
		RoleID                   string    `json:"RoleId"`
		ARN                      string    `json:"Arn"`
		CreateDate               time.Time `json:"CreateDate"`
		AssumeRolePolicyDocument string    `json:"AssumeRolePolicyDocument"` // percent-encoded
	}
	roleRest struct {
		PermissionsBoundary *AttachedPermissionsBoundary `json:"PermissionsBoundary"`
		Tags                []Tag                        `json:"Tags,omitzero"`
		RoleLastUsed        *RoleLastUsed                `json:"RoleLastUsed"`
	}

	// Policy is a managed policy.
	Policy struct {
		policyHead
		Tags []Tag `json:"Tags,omitzero"`
	}
	// policyHead is what Policy and ManagedPolicyDetail have in common.
	policyHead struct {
		PolicyName                    string    `json:"PolicyName"`
		PolicyID                      string    `json:"PolicyId"`
		ARN                           string    `json:"Arn"`
		Path                          string    `json:"Path"`
		DefaultVersionID              string    `json:"DefaultVersionId"`
		AttachmentCount               int       `json:"AttachmentCount"`
		PermissionsBoundaryUsageCount int       `json:"PermissionsBoundaryUsageCount"`
		IsAttachable                  bool      `json:"IsAttachable"`
		Description                   string    `json:"Description,omitzero"`
		CreateDate                    time.Time `json:"CreateDate"`
		UpdateDate                    time.Time `json:"UpdateDate"`
	}

	// PolicyVersion is a version of a managed policy.
	PolicyVersion struct {
		Document         string    `json:"Document,omitzero"` // percent-encoded
		VersionID        string    `json:"VersionId"`
		IsDefaultVersion bool      `json:"IsDefaultVersion"`
		CreateDate       time.Time `json:"CreateDate"`
	}

	// AttachedPolicy is a managed policy as what has it shows it.
	AttachedPolicy struct {
		PolicyName string `json:"PolicyName"`
		PolicyARN  string `json:"PolicyArn"`
	}

	// AccessKey is an access key, this once with its secret.
	AccessKey struct {
		UserName        string    `json:"UserName,omitzero"`
		AccessKeyID     string    `json:"AccessKeyId"`
		Status          string    `json:"Status"`
		SecretAccessKey string    `json:"SecretAccessKey"`
		CreateDate      time.Time `json:"CreateDate"`
	}

	// AccessKeyMetadata is an access key without its secret.
	AccessKeyMetadata struct {
		UserName    string    `json:"UserName,omitzero"`
		AccessKeyID string    `json:"AccessKeyId"`
		Status      string    `json:"Status"`
		CreateDate  time.Time `json:"CreateDate"`
	}

	// AccessKeyLastUsed says where a key was used last; without a date it never was.
	AccessKeyLastUsed struct {
		LastUsedDate *time.Time `json:"LastUsedDate"`
		ServiceName  string     `json:"ServiceName"`
		Region       string     `json:"Region"`
	}

	// ServiceSpecificCredential is a long-term API key of Amazon Bedrock, this once with its secret, the whole key.
	ServiceSpecificCredential struct {
		CredentialMetadata
		ServiceCredentialSecret string `json:"ServiceCredentialSecret"`
	}

	// CredentialMetadata is a long-term API key without its secret.
	CredentialMetadata struct {
		UserName                    string     `json:"UserName"`
		Status                      string     `json:"Status"`
		ServiceName                 string     `json:"ServiceName"`
		ServiceCredentialAlias      string     `json:"ServiceCredentialAlias"`
		ServiceSpecificCredentialID string     `json:"ServiceSpecificCredentialId"`
		CreateDate                  time.Time  `json:"CreateDate"`
		ExpirationDate              *time.Time `json:"ExpirationDate"`
	}

	// PolicyDetail is an inline policy.
	PolicyDetail struct {
		PolicyName     string `json:"PolicyName"`
		PolicyDocument string `json:"PolicyDocument"` // percent-encoded
	}

	// UserDetail is a user with all it has.
	UserDetail struct {
		User
		UserPolicyList          []PolicyDetail   `json:"UserPolicyList"`
		GroupList               []string         `json:"GroupList"`
		AttachedManagedPolicies []AttachedPolicy `json:"AttachedManagedPolicies"`
	}

	// GroupDetail is a group with all it has.
	GroupDetail struct {
		Group
		GroupPolicyList         []PolicyDetail   `json:"GroupPolicyList"`
		AttachedManagedPolicies []AttachedPolicy `json:"AttachedManagedPolicies"`
	}

	// RoleDetail is a role with all it has; nobody makes instance profiles here.
	RoleDetail struct {
		roleHead
		roleRest
		InstanceProfileList     []nothing        `json:"InstanceProfileList"`
		RolePolicyList          []PolicyDetail   `json:"RolePolicyList"`
		AttachedManagedPolicies []AttachedPolicy `json:"AttachedManagedPolicies"`
	}

	// ManagedPolicyDetail is a managed policy with its versions.
	ManagedPolicyDetail struct {
		policyHead
		PolicyVersionList []PolicyVersion `json:"PolicyVersionList"`
	}

	// EvaluationResult is what policies decide of an action on a resource.
	EvaluationResult struct {
		EvalActionName                    string                             `json:"EvalActionName"`
		EvalResourceName                  string                             `json:"EvalResourceName"`
		EvalDecision                      string                             `json:"EvalDecision"` // allowed, explicitDeny, implicitDeny
		MatchedStatements                 []Statement                        `json:"MatchedStatements"`
		MissingContextValues              []string                           `json:"MissingContextValues"`
		OrganizationsDecisionDetail       *OrganizationsDecisionDetail       `json:"OrganizationsDecisionDetail"`
		PermissionsBoundaryDecisionDetail *PermissionsBoundaryDecisionDetail `json:"PermissionsBoundaryDecisionDetail"`
	}

	// Statement is the statement that decided.
	Statement struct {
		SourcePolicyID   string   `json:"SourcePolicyId"`
		SourcePolicyType string   `json:"SourcePolicyType"`
		StartPosition    Position `json:"StartPosition"`
		EndPosition      Position `json:"EndPosition"`
	}

	// Position is a place in a policy document, from 1.
	Position struct {
		Line   int `json:"Line"`
		Column int `json:"Column"`
	}

	// OrganizationsDecisionDetail says what the account's service control policies decide.
	OrganizationsDecisionDetail struct {
		Allowed bool `json:"AllowedByOrganizations"`
	}

	// PermissionsBoundaryDecisionDetail says what the permissions boundary decides.
	PermissionsBoundaryDecisionDetail struct {
		Allowed bool `json:"AllowedByPermissionsBoundary"`
	}

	// PolicyUser is a user who has a managed policy.
	PolicyUser struct {
		UserName string `json:"UserName"`
		UserID   string `json:"UserId"`
	}
	// PolicyGroup is a group that has one.
	PolicyGroup struct {
		GroupName string `json:"GroupName"`
		GroupID   string `json:"GroupId"`
	}
	// PolicyRole is a role that has one.
	PolicyRole struct {
		RoleName string `json:"RoleName"`
		RoleID   string `json:"RoleId"`
	}
)

type (
	userOutput struct {
		User User `json:"User"`
	}
	groupOutput struct {
		Group Group `json:"Group"`
	}
	roleOutput struct {
		Role Role `json:"Role"`
	}
	getGroupOutput struct {
		paged
		Group Group  `json:"Group"`
		Users []User `json:"Users"`
	}
	listUsersOutput struct {
		paged
		Users []User `json:"Users"`
	}
	listGroupsOutput struct {
		paged
		Groups []Group `json:"Groups"`
	}
	listRolesOutput struct {
		paged
		Roles []Role `json:"Roles"`
	}
	listTagsOutput struct {
		paged
		Tags []Tag `json:"Tags"`
	}
	listNamesOutput struct {
		paged
		PolicyNames []string `json:"PolicyNames"`
	}
	// The three answers of Get*Policy; two of the names are not there in each.
	inlineOutput struct {
		UserName       string `json:"UserName,omitzero"`
		GroupName      string `json:"GroupName,omitzero"`
		RoleName       string `json:"RoleName,omitzero"`
		PolicyName     string `json:"PolicyName"`
		PolicyDocument string `json:"PolicyDocument"` // percent-encoded
	}
	listAttachedOutput struct {
		paged
		AttachedPolicies []AttachedPolicy `json:"AttachedPolicies"`
	}
	policyOutput struct {
		Policy Policy `json:"Policy"`
	}
	listPoliciesOutput struct {
		paged
		Policies []Policy `json:"Policies"`
	}
	versionOutput struct {
		PolicyVersion PolicyVersion `json:"PolicyVersion"`
	}
	listVersionsOutput struct {
		paged
		Versions []PolicyVersion `json:"Versions"`
	}
	listEntitiesOutput struct {
		paged
		PolicyGroups []PolicyGroup `json:"PolicyGroups"`
		PolicyUsers  []PolicyUser  `json:"PolicyUsers"`
		PolicyRoles  []PolicyRole  `json:"PolicyRoles"`
	}
	createKeyOutput struct {
		AccessKey AccessKey `json:"AccessKey"`
	}
	listKeysOutput struct {
		paged
		AccessKeyMetadata []AccessKeyMetadata `json:"AccessKeyMetadata"`
	}
	lastUsedOutput struct {
		UserName          string            `json:"UserName,omitzero"`
		AccessKeyLastUsed AccessKeyLastUsed `json:"AccessKeyLastUsed"`
	}
	credentialOutput struct {
		ServiceSpecificCredential ServiceSpecificCredential `json:"ServiceSpecificCredential"`
	}
	listCredentialsOutput struct {
		paged
		ServiceSpecificCredentials []CredentialMetadata `json:"ServiceSpecificCredentials"`
	}
	detailsOutput struct {
		paged
		UserDetailList  []UserDetail          `json:"UserDetailList"`
		GroupDetailList []GroupDetail         `json:"GroupDetailList"`
		RoleDetailList  []RoleDetail          `json:"RoleDetailList"`
		Policies        []ManagedPolicyDetail `json:"Policies"`
	}
	summaryOutput struct {
		SummaryMap map[string]int `json:"SummaryMap"`
	}
	instanceProfilesOutput struct {
		paged
		InstanceProfiles []nothing `json:"InstanceProfiles"`
	}
	mfaDevicesOutput struct {
		paged
		MFADevices []nothing `json:"MFADevices"`
	}
	virtualMFADevicesInput struct {
		AssignmentStatus string `json:"AssignmentStatus" enum:"Assigned,Unassigned,Any"`
		paging
	}
	virtualMFADevicesOutput struct {
		paged
		VirtualMFADevices []nothing `json:"VirtualMFADevices"`
	}
	certificatesOutput struct {
		paged
		Certificates []nothing `json:"Certificates"`
	}
	sshKeysOutput struct {
		paged
		SSHPublicKeys []nothing `json:"SSHPublicKeys"`
	}
	aliasesOutput struct {
		paged
		AccountAliases []string `json:"AccountAliases"`
	}
	updateRoleOutput struct{}
	simulateOutput   struct {
		paged
		EvaluationResults []EvaluationResult `json:"EvaluationResults"`
	}
	contextKeysOutput struct {
		ContextKeyNames []string `json:"ContextKeyNames"`
	}
)

// encoded is a policy document as IAM's answers carry it: percent-encoded as RFC 3986 has it.
func encoded(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

func tagsOut(tags []iam.Tag) []Tag {
	out := make([]Tag, len(tags))
	for i, t := range tags {
		out[i] = Tag(t)
	}
	return out
}

func boundaryOut(arn string) *AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &AttachedPermissionsBoundary{Type: "PermissionsBoundaryPolicy", ARN: arn}
}

// userOut is a user as it is listed.
func userOut(e *iam.Entity) User {
	return User{Path: e.Path, UserName: e.Name, UserID: e.ID, ARN: e.ARN(), CreateDate: e.CreatedAt}
}

// wholeUser is a user as it is got: with its tags, where it has any, and its boundary.
func wholeUser(e *iam.Entity) User {
	u := userOut(e)
	u.PermissionsBoundary = boundaryOut(e.Boundary)
	if len(e.Tags) > 0 {
		u.Tags = tagsOut(e.Tags)
	}
	return u
}

func groupOut(e *iam.Entity) Group {
	return Group{Path: e.Path, GroupName: e.Name, GroupID: e.ID, ARN: e.ARN(), CreateDate: e.CreatedAt}
}

// roleOut is a role as it is listed.
func roleOut(e *iam.Entity) Role {
	return Role{
		roleHead: roleHead{
			Path: e.Path, RoleName: e.Name, RoleID: e.ID, ARN: e.ARN(), CreateDate: e.CreatedAt, AssumeRolePolicyDocument: encoded(e.Trust),
		},
		Description: e.Description, MaxSessionDuration: int(e.MaxSession / time.Second),
	}
}

// wholeRole is a role as it is got.
func (a *api) wholeRole(e *iam.Entity) Role {
	r := roleOut(e)
	use, _ := a.people.LastUse(e.ID)
	r.PermissionsBoundary, r.RoleLastUsed = boundaryOut(e.Boundary), &RoleLastUsed{use.Time, use.Region}
	if len(e.Tags) > 0 {
		r.Tags = tagsOut(e.Tags)
	}
	return r
}

// policyOut is a managed policy as it is listed.
func policyOut(o *iam.Roster, p *iam.ManagedPolicy) Policy {
	attached, bounded := o.UsedBy(p)
	return Policy{policyHead: policyHead{
		PolicyName: p.Name, PolicyID: p.ID, ARN: p.ARN(), Path: p.Path, DefaultVersionID: versionOf(p.Default), AttachmentCount: len(attached),
		PermissionsBoundaryUsageCount: len(bounded), IsAttachable: true, CreateDate: p.CreatedAt, UpdateDate: p.UpdatedAt,
	}}
}

// wholePolicy is a managed policy as it is got.
func wholePolicy(o *iam.Roster, p *iam.ManagedPolicy) Policy {
	out := policyOut(o, p)
	out.Description, out.Tags = p.Description, tagsOut(p.Tags)
	return out
}

func versionOf(number int) string { return "v" + strconv.Itoa(number) }

// versionOut is a version as it is listed: without its document.
func versionOut(v *iam.PolicyVersion, isDefault bool) PolicyVersion {
	return PolicyVersion{VersionID: versionOf(v.Number), IsDefaultVersion: isDefault, CreateDate: v.CreatedAt}
}

func attachedOut(policies []*iam.ManagedPolicy) []AttachedPolicy {
	out := make([]AttachedPolicy, len(policies))
	for i, p := range policies {
		out[i] = AttachedPolicy{PolicyName: p.Name, PolicyARN: p.ARN()}
	}
	return out
}

func inlineOut(policies []*iam.InlinePolicy) []PolicyDetail {
	out := make([]PolicyDetail, len(policies))
	for i, p := range policies {
		out[i] = PolicyDetail{PolicyName: p.Name, PolicyDocument: encoded(p.Document)}
	}
	return out
}

func statusOf(active bool) string {
	if active {
		return "Active"
	}
	return "Inactive"
}

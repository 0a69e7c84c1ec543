package iam_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	iamapi "outcrop/api/iam"
	"outcrop/fault"
	"outcrop/iam"
	"outcrop/store"
	"outcrop/wire"
)

const (
	account = "123456789012"
	other   = "999999999999"
	allow   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}}`
	trust   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}}`
)

// callers takes the User-Agent for the name of who calls, "" or "root" for the account's root, and "other" for another
// account's: the signature is another test's.
type callers struct{ people *iam.Directory }

func (callers) Precheck(*http.Request) (iam.Claim, error) { return iam.Claim{}, nil }

func (a callers) Authenticate(r *http.Request, _ iam.Claim, _ []byte, _ string) (iam.Caller, error) {
	in, name := account, r.UserAgent()
	if name == "other" {
		in, name = other, "root"
	}
	for _, c := range a.people.Principals(in, "us-east-1") {
		if c.UserName == name || c.Root && (name == "root" || name == "") {
			return c, nil
		}
	}
	return iam.Caller{}, fault.New(fault.UnrecognizedClient, "nobody is called %s", name)
}

// rig is the service on a real directory and store.
type rig struct {
	http.Handler
	t      *testing.T
	people *iam.Directory
	model  *model
	now    time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	r := &rig{t: t, model: readModel(t), now: time.Date(2026, 11, 23, 11, 35, 12, 345e6, time.UTC)}
	dir := t.TempDir()
	st, err := store.Open(t.Context(), filepath.Join(dir, "outcrop.db"))
	must(err)
	t.Cleanup(func() { must(st.Close()) })
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	must(err)
	clock := func() time.Time { return r.now }
	r.people, err = iam.Open(t.Context(), iam.Config{Store: st, Sealer: sealer, Clock: clock})
	must(err)
	must(r.people.EnsureRoot(t.Context(), account, "", ""))
	must(r.people.EnsureRoot(t.Context(), other, "", ""))
	r.Handler, err = wire.NewServer(wire.Config{
		Services: []*wire.Service{iamapi.New(r.people)}, Authenticator: callers{r.people}, Guard: iam.NewGuard(iam.GuardConfig{Clock: clock}),
		Clock: clock, Logger: slog.New(slog.DiscardHandler),
	})
	must(err)
	return r
}

// send sends a form as who. Whatever is answered must be as the service model has it.
func (r *rig) send(who string, form url.Values) (status int, body string) {
	r.t.Helper()
	form.Set("Version", "2010-05-08")
	q := httptest.NewRequest("POST", "/", strings.NewReader(form.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=00")
	q.Header.Set("User-Agent", who)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	r.model.check(r.t, form.Get("Action"), w.Code, w.Body.Bytes())
	return w.Code, w.Body.String()
}

// form reads "CreateUser UserName=alice Tags.member.1.Key=a"; $ALLOW and $TRUST are documents, and + is a space.
func form(line string) url.Values {
	f := url.Values{}
	for i, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		if i == 0 {
			name, value = "Action", word
		}
		f.Set(name, strings.NewReplacer("$ALLOW", allow, "$TRUST", trust, "+", " ").Replace(value))
	}
	return f
}

// must sends what must succeed.
func (r *rig) must(who, line string) string {
	r.t.Helper()
	status, body := r.send(who, form(line))
	if status != 200 {
		r.t.Fatalf("%s: %d %s", line, status, body)
	}
	return body
}

// A step is a request and what is expected of its answer: the status, of an error its code and message, and texts that stand in
// the answer's XML, or with "!" do not.
type step struct {
	who, line string
	status    int
	want      []string
}

func (r *rig) run(steps []step) {
	r.t.Helper()
	for _, s := range steps {
		status, body := r.send(s.who, form(s.line))
		if status != s.status {
			r.t.Fatalf("%s: %s\nstatus %d, want %d: %s", s.who, s.line, status, s.status, body)
		}
		for _, w := range s.want {
			if w, not := strings.CutPrefix(w, "!"); strings.Contains(body, w) == not {
				r.t.Errorf("%s: %s\n%s\nwant %s", s.who, s.line, body, w)
			}
		}
	}
}

func failure(code, message string) []string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(message))
	return []string{"<Code>" + code + "</Code><Message>" + b.String() + "</Message>"}
}

// Sources of the messages: recordings of AWS's answers in LocalStack's tests (tests/aws/services/iam/*.snapshot.json,
// github.com/localstack/localstack); of those about quotas and conflicts what people report of AWS's, as in
// https://github.com/aws/aws-cdk and https://github.com/hashicorp/terraform-provider-aws/issues.
func TestUsersAndGroups(t *testing.T) {
	r := newRig(t)
	r.run([]step{
		{"root", "CreateUser UserName=Alice Path=/eng/ml/ Tags.member.1.Key=team Tags.member.1.Value=a Tags.member.2.Key=empty Tags.member.2.Value=", 200,
			[]string{"<Path>/eng/ml/</Path><UserName>Alice</UserName><UserId>AIDA", "<Arn>arn:aws:iam::123456789012:user/eng/ml/Alice</Arn>", "<CreateDate>2026-11-23T11:35:12Z</CreateDate>",
				"<Tags><member><Key>empty</Key><Value></Value></member><member><Key>team</Key><Value>a</Value></member></Tags>"}},
		{"root", "CreateUser UserName=alice", 409, failure("EntityAlreadyExists", "User with name alice already exists.")},
		{"root", "CreateUser UserName=a+b", 400, failure("ValidationError", "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")},
		{"root", "CreateUser UserName=b Path=eng/", 400, failure("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")},
		{"root", "CreateUser", 400, failure("ValidationError", "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null")},
		{"root", "CreateUser UserName=b Tags.member.1.Key=k Tags.member.1.Value=v Tags.member.2.Key=K Tags.member.2.Value=v", 400,
			failure("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")},
		{"root", "CreateUser UserName=bob", 200, []string{"<Path>/</Path>", "!<Tags>"}},
		{"root", "GetUser UserName=ALICE", 200, []string{"<UserName>Alice</UserName>", "<Key>team</Key>"}},
		{"root", "GetUser UserName=nobody", 404, failure("NoSuchEntity", "The user with name nobody cannot be found.")},
		{"root", "GetUser", 200, []string{"<User><UserId>123456789012</UserId><Arn>arn:aws:iam::123456789012:root</Arn>", "!<UserName>"}},
		{"root", "ListUsers", 200, []string{"<UserName>Alice</UserName>", "<UserName>bob</UserName>", "<IsTruncated>false</IsTruncated>", "!<Tags>", "!<Marker>"}},
		{"root", "ListUsers PathPrefix=/eng/", 200, []string{"<UserName>Alice</UserName>", "!bob"}},
		{"root", "ListUsers PathPrefix=eng", 400, []string{"Member must satisfy regular expression pattern: \\u002F[\\u0021-\\u007F]*"}},
		{"root", "ListUsers MaxItems=1", 200, []string{"Alice", "!bob", "<IsTruncated>true</IsTruncated><Marker>QWxpY2U</Marker>"}},
		{"root", "ListUsers MaxItems=1 Marker=QWxpY2U", 200, []string{"!Alice", "bob", "<IsTruncated>false</IsTruncated>"}},
		{"root", "ListUsers Marker=!!", 400, failure("ValidationError", "Invalid Marker.")},
		{"root", "ListUsers MaxItems=1001", 400, []string{"Member must have value less than or equal to 1000"}},

		{"root", "TagUser UserName=alice Tags.member.1.Key=TEAM Tags.member.1.Value=b", 200, nil},
		{"root", "ListUserTags UserName=alice", 200, []string{"<Key>TEAM</Key><Value>b</Value>", "!<Key>team</Key>"}},
		{"root", "ListUserTags UserName=alice MaxItems=1", 200, []string{"<Key>TEAM</Key>", "!empty", "<IsTruncated>true</IsTruncated>"}},
		{"root", "UntagUser UserName=alice TagKeys.member.1=team TagKeys.member.2=nosuch", 200, nil},
		{"root", "ListUserTags UserName=alice", 200, []string{"<Tags><member><Key>empty</Key><Value></Value></member></Tags>"}},
		{"root", "TagUser UserName=alice Tags.member.1.Key=aws:x Tags.member.1.Value=b", 400, []string{"<Code>InvalidInput</Code>"}},
		{"root", "TagUser UserName=alice Tags.member.1.Key=a;b Tags.member.1.Value=b", 400, []string{"&#39;tags.1.member.key&#39; failed to satisfy constraint"}},

		{"root", "CreateGroup GroupName=devs Path=/g/", 200, []string{"<Group><Path>/g/</Path><GroupName>devs</GroupName><GroupId>AGPA", "<Arn>arn:aws:iam::123456789012:group/g/devs</Arn>"}},
		{"root", "CreateGroup GroupName=DEVS", 409, failure("EntityAlreadyExists", "Group with name DEVS already exists.")},
		{"root", "AddUserToGroup GroupName=nosuch UserName=alice", 404, failure("NoSuchEntity", "The group with name nosuch cannot be found.")},
		{"root", "AddUserToGroup GroupName=devs UserName=nosuch", 404, failure("NoSuchEntity", "The user with name nosuch cannot be found.")},
		{"root", "RemoveUserFromGroup GroupName=nosuch UserName=any-user", 404, failure("NoSuchEntity", "The user with name any-user cannot be found.")},
		{"root", "AddUserToGroup GroupName=devs UserName=alice", 200, nil},
		{"root", "AddUserToGroup GroupName=devs UserName=alice", 200, nil},
		{"root", "GetGroup GroupName=devs", 200, []string{"<GroupName>devs</GroupName>", "<UserName>Alice</UserName>"}},
		{"root", "ListGroupsForUser UserName=alice", 200, []string{"<GroupName>devs</GroupName>"}},
		{"root", "ListGroups", 200, []string{"<GroupName>devs</GroupName>"}},
		{"root", "DeleteUser UserName=alice", 409, failure("DeleteConflict", "Cannot delete entity, must remove users from group first.")},
		{"root", "DeleteGroup GroupName=devs", 409, []string{"<Code>DeleteConflict</Code>"}},

		// Everything stays with who gets another name.
		{"root", "UpdateUser UserName=alice NewUserName=BOB", 409, failure("EntityAlreadyExists", "User with name BOB already exists.")},
		{"root", "UpdateUser UserName=alice NewUserName=alicia NewPath=/", 200, nil},
		{"root", "UpdateUser UserName=alicia NewUserName=Alicia", 200, nil},
		{"root", "GetUser UserName=alice", 404, nil},
		{"root", "ListGroupsForUser UserName=alicia", 200, []string{"<GroupName>devs</GroupName>"}},
		{"root", "UpdateGroup GroupName=devs NewGroupName=makers NewPath=/x/", 200, nil},
		{"root", "GetGroup GroupName=makers", 200, []string{"<Arn>arn:aws:iam::123456789012:group/x/makers</Arn>", "<UserName>Alicia</UserName>", "arn:aws:iam::123456789012:user/Alicia"}},
		{"root", "RemoveUserFromGroup GroupName=makers UserName=alicia", 200, nil},
		{"root", "DeleteGroup GroupName=makers", 200, nil},
		{"root", "DeleteUser UserName=alicia", 200, []string{"!DeleteUserResult"}},
		{"root", "DeleteUser UserName=alicia", 404, nil},
		{"root", "DeleteGroup GroupName=unknown-group", 404, failure("NoSuchEntity", "The group with name unknown-group cannot be found.")},
	})
}

// Every list comes whole in pages of one, whatever names and paths there are: a marker is taken back as it was given.
func TestPages(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "a,x", "a-x", "a.x", "ab"} {
		r.must("root", "CreateUser UserName="+name)
		r.must("root", "CreateServiceSpecificCredential ServiceName=bedrock.amazonaws.com UserName="+name)
		r.must("root", "CreateServiceSpecificCredential ServiceName=bedrock.amazonaws.com UserName="+name)
	}
	for _, name := range []string{"p1", "p2", "p3"} {
		r.must("root", "CreatePolicy PolicyDocument=$ALLOW Path=/"+strings.Repeat("a", 510)+"/ PolicyName="+name)
	}
	for line, want := range map[string]int{
		"ListServiceSpecificCredentials AllUsers=true": 10,
		"ListPolicies Scope=Local":                     3,
		"GetAccountAuthorizationDetails":               5 + 3 + 5,
	} {
		got, marker := 0, ""
		for got <= want {
			f := form(line + " MaxItems=1")
			if marker != "" {
				f.Set("Marker", marker)
			}
			status, body := r.send("root", f)
			if status != 200 {
				t.Fatalf("%s, after %d: %s", line, got, body)
			}
			got++
			m := regexp.MustCompile(`<Marker>(\S+)</Marker>`).FindStringSubmatch(body)
			if m == nil {
				break
			}
			marker = m[1]
		}
		if got != want {
			t.Errorf("%s: %d pages of one, want %d", line, got, want)
		}
	}
}

// A page of everything ends where its documents are too long, and the next one goes on.
func TestDetailsBounded(t *testing.T) {
	r := newRig(t)
	document := allow + strings.Repeat(" ", 131072-len(allow))
	const policies = 6
	for i := range policies {
		f := form("CreatePolicy PolicyName=p" + strconv.Itoa(i))
		f.Set("PolicyDocument", document)
		if status, body := r.send("root", f); status != 200 {
			t.Fatal(body)
		}
	}
	got, marker := 0, ""
	for pages := 1; ; pages++ {
		f := form("GetAccountAuthorizationDetails Filter.member.1=LocalManagedPolicy MaxItems=1000")
		if marker != "" {
			f.Set("Marker", marker)
		}
		_, body := r.send("root", f)
		if n := strings.Count(body, "<PolicyName>"); n > 4 {
			t.Fatalf("page %d has %d policies of 128 KiB", pages, n)
		}
		got += strings.Count(body, "<PolicyName>")
		m := regexp.MustCompile(`<Marker>(\S+)</Marker>`).FindStringSubmatch(body)
		if m == nil {
			break
		}
		marker = m[1]
	}
	if got != policies {
		t.Errorf("%d policies, want %d", got, policies)
	}
}

func TestRoles(t *testing.T) {
	r := newRig(t)
	r.run([]step{
		{"root", "CreateRole RoleName=deploy AssumeRolePolicyDocument=$TRUST Description=It+deploys MaxSessionDuration=7200 Tags.member.1.Key=a Tags.member.1.Value=b", 200,
			[]string{"<RoleId>AROA", "<Arn>arn:aws:iam::123456789012:role/deploy</Arn>", "<AssumeRolePolicyDocument>" + escape(trust) + "</AssumeRolePolicyDocument>", "<Key>a</Key>"}},
		{"root", "CreateRole RoleName=x AssumeRolePolicyDocument={", 400, []string{"<Code>MalformedPolicyDocument</Code>"}},
		{"root", "CreateRole RoleName=x AssumeRolePolicyDocument=$ALLOW", 400, []string{"<Code>MalformedPolicyDocument</Code>"}},
		{"root", "CreateRole RoleName=x AssumeRolePolicyDocument=$TRUST MaxSessionDuration=60", 400, []string{"Member must have value greater than or equal to 3600"}},
		{"root", "CreateRole RoleName=Deploy AssumeRolePolicyDocument=$TRUST", 409, failure("EntityAlreadyExists", "Role with name Deploy already exists.")},
		{"root", "GetRole RoleName=deploy", 200, []string{"<Description>It deploys</Description>", "<MaxSessionDuration>7200</MaxSessionDuration>", "<RoleLastUsed></RoleLastUsed>"}},
		{"root", "UpdateRole RoleName=deploy MaxSessionDuration=3600", 200, []string{"<UpdateRoleResult></UpdateRoleResult>"}},
		{"root", "GetRole RoleName=deploy", 200, []string{"<Description>It deploys</Description>", "<MaxSessionDuration>3600</MaxSessionDuration>"}},
		{"root", "UpdateRoleDescription RoleName=deploy Description=other", 200, []string{"<Description>other</Description>"}},
		{"root", "UpdateAssumeRolePolicy RoleName=deploy PolicyDocument={}", 400, []string{"<Code>MalformedPolicyDocument</Code>"}},
		{"root", "UpdateAssumeRolePolicy RoleName=deploy PolicyDocument=$TRUST", 200, nil},
		{"root", "ListRoles", 200, []string{"<RoleName>deploy</RoleName>", "<Description>other</Description>", "!<Tags>", "!RoleLastUsed"}},
		{"root", "ListInstanceProfilesForRole RoleName=deploy", 200, []string{"<InstanceProfiles></InstanceProfiles>", "<IsTruncated>false</IsTruncated>"}},
		{"root", "ListInstanceProfilesForRole RoleName=nobody", 404, failure("NoSuchEntity", "The role with name nobody cannot be found.")},
		{"root", "TagRole RoleName=deploy Tags.member.1.Key=c Tags.member.1.Value=", 200, nil},
		{"root", "ListRoleTags RoleName=deploy", 200, []string{"<Key>a</Key>", "<Key>c</Key><Value></Value>"}},
		{"root", "UntagRole RoleName=deploy TagKeys.member.1=a", 200, nil},
		{"root", "PutRolePolicy RoleName=deploy PolicyName=p PolicyDocument=$ALLOW", 200, nil},
		{"root", "GetRolePolicy RoleName=deploy PolicyName=p", 200, []string{"<RoleName>deploy</RoleName><PolicyName>p</PolicyName><PolicyDocument>" + escape(allow) + "</PolicyDocument>", "!<UserName>"}},
		{"root", "AttachRolePolicy RoleName=deploy PolicyArn=arn:aws:iam::aws:policy/AmazonBedrockReadOnly", 200, nil},
		{"root", "PutRolePermissionsBoundary RoleName=deploy PermissionsBoundary=arn:aws:iam::aws:policy/AmazonBedrockFullAccess", 200, nil},
		{"root", "GetRole RoleName=deploy", 200, []string{"<PermissionsBoundary><PermissionsBoundaryType>PermissionsBoundaryPolicy</PermissionsBoundaryType><PermissionsBoundaryArn>arn:aws:iam::aws:policy/AmazonBedrockFullAccess</PermissionsBoundaryArn></PermissionsBoundary>"}},
		{"root", "DeleteRole RoleName=deploy", 409, failure("DeleteConflict", "Cannot delete entity, must detach all policies first.")},
		{"root", "DetachRolePolicy RoleName=deploy PolicyArn=arn:aws:iam::aws:policy/AmazonBedrockReadOnly", 200, nil},
		{"root", "DeleteRole RoleName=deploy", 409, failure("DeleteConflict", "Cannot delete entity, must delete policies first.")},
		{"root", "ListRolePolicies RoleName=deploy", 200, []string{"<PolicyNames><member>p</member></PolicyNames>"}},
		{"root", "DeleteRolePolicy RoleName=deploy PolicyName=p", 200, nil},
		{"root", "DeleteRolePermissionsBoundary RoleName=deploy", 200, nil},
		{"root", "DeleteRole RoleName=deploy", 200, nil},
		{"root", "GetRole RoleName=deploy", 404, failure("NoSuchEntity", "The role with name deploy cannot be found.")},
	})
}

func escape(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

func TestPolicies(t *testing.T) {
	r := newRig(t)
	const p = "arn:aws:iam::123456789012:policy/team/models"
	r.run([]step{
		{"root", "CreateUser UserName=alice", 200, nil},
		{"root", "CreateGroup GroupName=devs", 200, nil},
		{"root", "CreatePolicy PolicyName=models Path=/team/ PolicyDocument=$ALLOW Description=d Tags.member.1.Key=a Tags.member.1.Value=b", 200,
			[]string{"<PolicyName>models</PolicyName><PolicyId>ANPA", "<Arn>" + p + "</Arn>", "<DefaultVersionId>v1</DefaultVersionId><AttachmentCount>0</AttachmentCount>", "<IsAttachable>true</IsAttachable>"}},
		{"root", "CreatePolicy PolicyName=MODELS PolicyDocument=$ALLOW", 409, failure("EntityAlreadyExists", "A policy called MODELS already exists. Duplicate names are not allowed.")},
		{"root", "CreatePolicy PolicyName=x PolicyDocument={}", 400, []string{"<Code>MalformedPolicyDocument</Code>"}},
		{"root", "CreatePolicy PolicyName=x PolicyDocument=$TRUST", 400, []string{"<Code>MalformedPolicyDocument</Code>"}},
		{"root", "GetPolicy PolicyArn=" + p, 200, []string{"<Description>d</Description>", "<Key>a</Key>"}},
		{"root", "GetPolicy PolicyArn=" + p + "x", 404, failure("NoSuchEntity", "Policy "+p+"x was not found.")},
		{"root", "GetPolicyVersion PolicyArn=" + p + " VersionId=v1", 200, []string{"<Document>" + escape(allow) + "</Document><VersionId>v1</VersionId><IsDefaultVersion>true</IsDefaultVersion>"}},
		{"root", "GetPolicyVersion PolicyArn=" + p + " VersionId=v2", 404, failure("NoSuchEntity", "Policy "+p+" version v2 does not exist or is not attachable.")},
		{"root", "GetPolicyVersion PolicyArn=" + p + " VersionId=1", 400, []string{"&#39;versionId&#39; failed to satisfy constraint: Member must satisfy regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?"}},

		{"root", "AttachUserPolicy UserName=alice PolicyArn=" + p, 200, nil},
		{"root", "AttachUserPolicy UserName=alice PolicyArn=" + p, 200, nil},
		{"root", "AttachGroupPolicy GroupName=devs PolicyArn=" + p, 200, nil},
		{"root", "AttachUserPolicy UserName=alice PolicyArn=" + p + "123", 404, failure("NoSuchEntity", "Policy "+p+"123 does not exist or is not attachable.")},
		{"root", "AttachUserPolicy UserName=alice PolicyArn=AmazonBedrockReadOnly", 400, failure("ValidationError", "Invalid ARN:  Could not be parsed!")},
		{"root", "ListAttachedUserPolicies UserName=alice", 200, []string{"<PolicyName>models</PolicyName><PolicyArn>" + p + "</PolicyArn>"}},
		{"root", "ListAttachedUserPolicies UserName=alice PathPrefix=/other/", 200, []string{"<AttachedPolicies></AttachedPolicies>"}},
		{"root", "ListAttachedGroupPolicies GroupName=devs", 200, []string{p}},
		{"root", "PutUserPermissionsBoundary UserName=alice PermissionsBoundary=" + p + "x", 404, failure("NoSuchEntity", "Scope ARN: "+p+"x does not exist or is not attachable.")},
		{"root", "PutUserPermissionsBoundary UserName=alice PermissionsBoundary=" + p, 200, nil},
		{"root", "ListEntitiesForPolicy PolicyArn=" + p, 200, []string{"<PolicyGroups><member><GroupName>devs</GroupName>", "<PolicyUsers><member><UserName>alice</UserName>", "<PolicyRoles></PolicyRoles>"}},
		{"root", "ListEntitiesForPolicy PolicyArn=" + p + " PolicyUsageFilter=PermissionsBoundary", 200, []string{"<PolicyGroups></PolicyGroups>", "alice"}},
		{"root", "ListEntitiesForPolicy PolicyArn=" + p + " EntityFilter=Group", 200, []string{"devs", "!alice"}},
		{"root", "ListPolicies Scope=Local", 200, []string{"<AttachmentCount>2</AttachmentCount><PermissionsBoundaryUsageCount>1</PermissionsBoundaryUsageCount>", "!aws:policy", "!<Tags>", "!<Description>"}},
		{"root", "ListPolicies Scope=AWS", 200, []string{"arn:aws:iam::aws:policy/AdministratorAccess", "AmazonBedrockFullAccess", "AmazonBedrockReadOnly", "AmazonBedrockLimitedAccess", "!models"}},
		{"root", "ListPolicies OnlyAttached=true", 200, []string{p, "!aws:policy"}},
		{"root", "ListPolicies PathPrefix=/team/", 200, []string{p, "!aws:policy"}},
		{"root", "ListPolicies PolicyUsageFilter=PermissionsBoundary", 200, []string{p, "!aws:policy"}},
		{"root", "DeletePolicy PolicyArn=" + p, 409, failure("DeleteConflict", "Cannot delete a policy attached to entities.")},
		{"root", "DeleteUser UserName=alice", 409, failure("DeleteConflict", "Cannot delete entity, must detach all policies first.")},

		{"root", "CreatePolicyVersion PolicyArn=" + p + " PolicyDocument=$ALLOW", 200, []string{"<VersionId>v2</VersionId><IsDefaultVersion>false</IsDefaultVersion>"}},
		{"root", "CreatePolicyVersion PolicyArn=" + p + " PolicyDocument=$ALLOW SetAsDefault=true", 200, []string{"<VersionId>v3</VersionId><IsDefaultVersion>true</IsDefaultVersion>"}},
		{"root", "DeletePolicyVersion PolicyArn=" + p + " VersionId=v3", 409, failure("DeleteConflict", "Cannot delete the default version of a policy.")},
		{"root", "SetDefaultPolicyVersion PolicyArn=" + p + " VersionId=v2", 200, nil},
		{"root", "SetDefaultPolicyVersion PolicyArn=" + p + " VersionId=v9", 404, nil},
		{"root", "DeletePolicyVersion PolicyArn=" + p + " VersionId=v3", 200, nil},
		{"root", "CreatePolicyVersion PolicyArn=" + p + " PolicyDocument=$ALLOW", 200, []string{"<VersionId>v4</VersionId>"}}, // no number is given twice
		{"root", "CreatePolicyVersion PolicyArn=" + p + " PolicyDocument=$ALLOW", 200, nil},
		{"root", "CreatePolicyVersion PolicyArn=" + p + " PolicyDocument=$ALLOW", 200, nil},
		{"root", "CreatePolicyVersion PolicyArn=" + p + " PolicyDocument=$ALLOW", 409,
			failure("LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")},
		{"root", "ListPolicyVersions PolicyArn=" + p + " MaxItems=2", 200, []string{"<VersionId>v6</VersionId>", "<VersionId>v5</VersionId>", "!v4", "<IsTruncated>true</IsTruncated>", "!<Document>"}},
		{"root", "ListPolicyVersions PolicyArn=" + p, 200, []string{"<VersionId>v2</VersionId><IsDefaultVersion>true</IsDefaultVersion>"}},

		{"root", "TagPolicy PolicyArn=" + p + " Tags.member.1.Key=c Tags.member.1.Value=d", 200, nil},
		{"root", "UntagPolicy PolicyArn=" + p + " TagKeys.member.1=a", 200, nil},
		{"root", "ListPolicyTags PolicyArn=" + p, 200, []string{"<Tags><member><Key>c</Key><Value>d</Value></member></Tags>"}},
		{"root", "DeleteUserPermissionsBoundary UserName=alice", 200, nil},
		{"root", "DetachUserPolicy UserName=alice PolicyArn=" + p, 200, nil},
		{"root", "DetachUserPolicy UserName=alice PolicyArn=" + p, 404, failure("NoSuchEntity", "Policy "+p+" was not found.")},
		{"root", "DetachGroupPolicy GroupName=devs PolicyArn=" + p, 200, nil},
		{"root", "DeletePolicy PolicyArn=" + p, 409, []string{"<Code>DeleteConflict</Code><Message>This policy has more than one version."}},
		{"root", "DeletePolicyVersion PolicyArn=" + p + " VersionId=v1", 200, nil},
		{"root", "DeletePolicyVersion PolicyArn=" + p + " VersionId=v4", 200, nil},
		{"root", "DeletePolicyVersion PolicyArn=" + p + " VersionId=v5", 200, nil},
		{"root", "DeletePolicyVersion PolicyArn=" + p + " VersionId=v6", 200, nil},
		{"root", "DeletePolicy PolicyArn=" + p, 200, nil},
		{"root", "DeletePolicy PolicyArn=" + p, 404, failure("NoSuchEntity", "Policy "+p+" was not found.")},

		// AWS's own are nobody's to change.
		{"root", "GetPolicyVersion PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess VersionId=v1", 200, []string{escape(`"Action": "*"`)}},
		{"root", "DeletePolicy PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", 403, []string{"<Code>AccessDenied</Code>"}},
		{"root", "CreatePolicyVersion PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess PolicyDocument=$ALLOW", 403, nil},

		{"root", "PutGroupPolicy GroupName=devs PolicyName=g PolicyDocument=$ALLOW", 200, nil},
		{"root", "GetGroupPolicy GroupName=devs PolicyName=g", 200, []string{"<GroupName>devs</GroupName><PolicyName>g</PolicyName>"}},
		{"root", "GetGroupPolicy GroupName=devs PolicyName=x", 404, failure("NoSuchEntity", "The group policy with name x cannot be found.")},
		{"root", "ListGroupPolicies GroupName=devs", 200, []string{"<PolicyNames><member>g</member></PolicyNames>"}},
		{"root", "DeleteGroupPolicy GroupName=devs PolicyName=g", 200, nil},
		{"root", "PutUserPolicy UserName=alice PolicyName=u PolicyDocument=$ALLOW", 200, nil},
		{"root", "PutUserPolicy UserName=alice PolicyName=u2 PolicyDocument={}", 400, []string{"<Code>MalformedPolicyDocument</Code>"}},
		{"root", "GetUserPolicy UserName=alice PolicyName=u", 200, []string{"<UserName>alice</UserName>"}},
		{"root", "ListUserPolicies UserName=alice", 200, []string{"<member>u</member>"}},
		{"root", "DeleteUserPolicy UserName=alice PolicyName=u", 200, nil},
		{"root", "DeleteUserPolicy UserName=alice PolicyName=u", 404, failure("NoSuchEntity", "The user policy with name u cannot be found.")},
	})
}

// Source of the quotas: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func TestQuotas(t *testing.T) {
	r := newRig(t)
	r.must("root", "CreateUser UserName=alice")
	for i := range 11 {
		n := strconv.Itoa(i)
		r.must("root", "CreatePolicy PolicyName=p"+n+" PolicyDocument=$ALLOW")
		r.must("root", "CreateGroup GroupName=g"+n)
		if i < 10 {
			r.must("root", "AttachUserPolicy UserName=alice PolicyArn=arn:aws:iam::123456789012:policy/p"+n)
			r.must("root", "AddUserToGroup UserName=alice GroupName=g"+n)
		}
	}
	document := func(size int) string {
		return strings.Replace(allow, `"bedrock:*"`, `["bedrock:*","bedrock:`+strings.Repeat("x", size-len(allow)-len(`[,"bedrock:"]`))+`"]`, 1)
	}
	r.run([]step{
		{"root", "AttachUserPolicy UserName=alice PolicyArn=arn:aws:iam::123456789012:policy/p10", 409, failure("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")},
		{"root", "AddUserToGroup UserName=alice GroupName=g10", 409, failure("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")},
		{"root", `CreatePolicy PolicyName=old PolicyDocument={"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, 400, failure("MalformedPolicyDocument", "Policy document must be version 2012-10-17 or greater.")},
		{"root", `CreatePolicy PolicyName=old PolicyDocument={"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, 400, failure("MalformedPolicyDocument", "Policy document must be version 2012-10-17 or greater.")},
		{"root", "CreatePolicy PolicyName=big PolicyDocument=" + document(6145), 409, failure("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")},
		{"root", "CreatePolicy PolicyName=big PolicyDocument=" + document(6144), 200, nil},
		{"root", "PutUserPolicy UserName=alice PolicyName=big PolicyDocument=" + document(2049), 409, failure("LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user alice")},
		{"root", "PutGroupPolicy GroupName=g1 PolicyName=big PolicyDocument=" + document(5121), 409, failure("LimitExceeded", "Maximum policy size of 5120 bytes exceeded for group g1")},
		{"root", "PutGroupPolicy GroupName=g1 PolicyName=big PolicyDocument=" + document(5120), 200, nil},
	})
	tags := "TagUser UserName=alice"
	for i := range 50 {
		n := strconv.Itoa(i + 1)
		tags += " Tags.member." + n + ".Key=k" + n + " Tags.member." + n + ".Value=v"
	}
	r.run([]step{
		{"root", tags, 200, nil},
		{"root", tags, 200, nil},
		{"root", "TagUser UserName=alice Tags.member.1.Key=more Tags.member.1.Value=v", 409, failure("LimitExceeded", "The number of tags has reached the maximum limit.")},
	})
}

// Sources: LocalStack's recordings of service-specific credentials; botocore's iam model.
func TestKeys(t *testing.T) {
	r := newRig(t)
	r.must("root", "CreateUser UserName=alice")
	key := match(t, r.must("root", "CreateAccessKey UserName=alice"), `<UserName>alice</UserName><AccessKeyId>(AKIA[A-Z2-7]{16})</AccessKeyId><Status>Active</Status><SecretAccessKey>[A-Za-z0-9+/]{40}</SecretAccessKey><CreateDate>2026-11-23T11:35:12Z</CreateDate>`)
	rootKey := match(t, r.must("root", "CreateAccessKey"), `<AccessKey><AccessKeyId>(AKIA[A-Z2-7]{16})<`)
	r.must("root", "CreateAccessKey UserName=alice")
	created := r.must("root", "CreateServiceSpecificCredential UserName=alice ServiceName=bedrock.amazonaws.com CredentialAgeDays=30")
	id := match(t, created, `<ServiceSpecificCredentialId>(ACCA[A-Z2-7]{17})<`)
	secret := match(t, created, `<ServiceCredentialSecret>(ABSK[A-Za-z0-9+/=]+)</ServiceCredentialSecret>`)
	reset := match(t, r.must("root", "ResetServiceSpecificCredential UserName=alice ServiceSpecificCredentialId="+id), `<ServiceCredentialSecret>(ABSK[A-Za-z0-9+/=]+)</ServiceCredentialSecret>`)
	if secret == reset {
		t.Error("the secret is the same after a reset")
	}
	if !strings.Contains(created, "<ExpirationDate>2026-12-23T11:35:12Z</ExpirationDate>") || !strings.Contains(created, "<ServiceCredentialAlias>alice-at-123456789012</ServiceCredentialAlias>") {
		t.Error(created)
	}
	a := r.people.Authenticator()
	bring := func(token string) error {
		q := httptest.NewRequest("GET", "/", nil)
		q.Header.Set("Authorization", "Bearer "+token)
		_, err := a.Authenticate(q, iam.Claim{}, nil, "id")
		return err
	}
	if err := bring(reset); err != nil {
		t.Error(err)
	}
	if err := bring(secret); !fault.Is(err, fault.InvalidAPIKey) {
		t.Errorf("the old secret: %v", err)
	}
	r.run([]step{
		{"root", "CreateAccessKey UserName=alice", 409, failure("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")},
		{"root", "ListAccessKeys UserName=alice", 200, []string{"<UserName>alice</UserName><AccessKeyId>" + key + "</AccessKeyId><Status>Active</Status>", "!Secret"}},
		{"root", "ListAccessKeys UserName=alice MaxItems=1", 200, []string{"<IsTruncated>true</IsTruncated>"}},
		{"alice", "ListAccessKeys", 403, nil},
		{"root", "ListAccessKeys", 200, []string{rootKey, "!" + key}},
		{"root", "UpdateAccessKey UserName=alice Status=Inactive AccessKeyId=" + key, 200, nil},
		{"root", "ListAccessKeys UserName=alice", 200, []string{"<AccessKeyId>" + key + "</AccessKeyId><Status>Inactive</Status>"}},
		{"root", "UpdateAccessKey UserName=alice Status=On AccessKeyId=" + key, 400, []string{"Member must satisfy enum value set: [Active, Inactive, Expired]"}},
		{"root", "UpdateAccessKey UserName=alice Status=Expired AccessKeyId=" + key, 400, []string{"ValidationError"}},
		{"root", "UpdateAccessKey Status=Inactive AccessKeyId=" + key, 404, failure("NoSuchEntity", "The Access Key with id "+key+" cannot be found.")},
		{"root", "GetAccessKeyLastUsed AccessKeyId=" + key, 200, []string{"<UserName>alice</UserName>", "<ServiceName>N/A</ServiceName><Region>N/A</Region>", "!LastUsedDate"}},
		{"other", "GetAccessKeyLastUsed AccessKeyId=" + key, 403, []string{"is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key " + key}},
		{"root", "DeleteAccessKey UserName=alice AccessKeyId=" + key, 200, nil},
		{"root", "DeleteAccessKey AccessKeyId=" + rootKey, 200, nil},

		{"root", "CreateServiceSpecificCredential UserName=non-existent-user ServiceName=bedrock.amazonaws.com", 404, failure("NoSuchEntity", "The user with name non-existent-user cannot be found.")},
		{"root", "CreateServiceSpecificCredential UserName=alice ServiceName=lambda.amazonaws.com", 404, failure("NoSuchEntity", "No such service lambda.amazonaws.com is supported for Service Specific Credentials")},
		{"root", "CreateServiceSpecificCredential UserName=alice ServiceName=bedrock.amazonaws.com CredentialAgeDays=36601", 400, []string{"Member must have value less than or equal to 36600"}},
		{"root", "ListServiceSpecificCredentials UserName=alice", 200, []string{id, "!ServiceCredentialSecret", "<Status>Active</Status>"}},
		{"root", "ListServiceSpecificCredentials AllUsers=true ServiceName=bedrock.amazonaws.com", 200, []string{id}},
		{"root", "ListServiceSpecificCredentials", 200, []string{"!" + id}},
		{"root", "UpdateServiceSpecificCredential UserName=alice Status=Inactive ServiceSpecificCredentialId=" + id, 200, nil},
		{"root", "ListServiceSpecificCredentials UserName=alice", 200, []string{"<Status>Inactive</Status>"}},
		{"root", "DeleteServiceSpecificCredential UserName=alice ServiceSpecificCredentialId=satisfiesregexbutstillinvalid", 404, failure("NoSuchEntity", "No such credential satisfiesregexbutstillinvalid exists")},
		{"root", "ResetServiceSpecificCredential UserName=wrong-user-name ServiceSpecificCredentialId=" + id, 404, failure("NoSuchEntity", "The user with name wrong-user-name cannot be found.")},
		{"root", "DeleteServiceSpecificCredential UserName=alice ServiceSpecificCredentialId=totally-wrong-credential-id", 400, []string{"Member must satisfy regular expression pattern: [\\w]+"}},
	})
	if err := bring(reset); !fault.Is(err, fault.InvalidAPIKey) {
		t.Errorf("an inactive key: %v", err)
	}
	r.must("root", "UpdateServiceSpecificCredential UserName=alice Status=Active ServiceSpecificCredentialId="+id)
	r.now = r.now.AddDate(0, 0, 30)
	r.run([]step{
		{"root", "ListServiceSpecificCredentials UserName=alice", 200, []string{"<Status>Expired</Status>"}},
		{"root", "DeleteServiceSpecificCredential UserName=alice ServiceSpecificCredentialId=" + id, 200, nil},
	})
}

func match(t *testing.T, body, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("%s\nis not like %s", body, pattern)
	}
	return m[1]
}

func TestAccount(t *testing.T) {
	r := newRig(t)
	const p = "arn:aws:iam::123456789012:policy/p"
	for _, line := range []string{
		"CreateUser UserName=alice Tags.member.1.Key=k Tags.member.1.Value=v", "CreateUser UserName=bob", "CreateGroup GroupName=g", "CreateRole RoleName=r AssumeRolePolicyDocument=$TRUST",
		"CreatePolicy PolicyName=p PolicyDocument=$ALLOW", "AddUserToGroup UserName=alice GroupName=g", "AttachGroupPolicy GroupName=g PolicyArn=" + p,
		"PutUserPolicy UserName=alice PolicyName=inline PolicyDocument=$ALLOW", "PutRolePolicy RoleName=r PolicyName=ri PolicyDocument=$ALLOW",
		"PutUserPermissionsBoundary UserName=alice PermissionsBoundary=" + p,
	} {
		r.must("root", line)
	}
	r.run([]step{
		{"root", "GetAccountAuthorizationDetails", 200, []string{
			"<UserPolicyList><member><PolicyName>inline</PolicyName><PolicyDocument>" + escape(allow) + "</PolicyDocument></member></UserPolicyList><GroupList><member>g</member></GroupList>",
			"<AttachedManagedPolicies><member><PolicyName>p</PolicyName><PolicyArn>" + p + "</PolicyArn></member></AttachedManagedPolicies>",
			"<PermissionsBoundaryArn>" + p, "<RolePolicyList><member><PolicyName>ri</PolicyName>", "arn:aws:iam::aws:policy/AdministratorAccess",
			"<PolicyVersionList><member><Document>" + escape(allow) + "</Document><VersionId>v1</VersionId>"}},
		{"root", "GetAccountAuthorizationDetails Filter.member.1=Group Filter.member.2=LocalManagedPolicy", 200, []string{"<UserDetailList></UserDetailList>", "<GroupName>g</GroupName>", "!aws:policy/Admin", "!<RoleName>"}},
		{"root", "GetAccountAuthorizationDetails Filter.member.1=Users", 400, []string{"ValidationError"}},
		{"root", "GetAccountSummary", 200, []string{"<entry><key>Users</key><value>2</value></entry>", "<entry><key>PolicyVersionsInUse</key><value>1</value></entry>", "<entry><key>AccountAccessKeysPresent</key><value>1</value></entry>"}},
		{"root", "ListMFADevices", 200, []string{"<MFADevices></MFADevices>", "<IsTruncated>false</IsTruncated>"}},
		{"root", "ListVirtualMFADevices AssignmentStatus=Assigned", 200, []string{"<VirtualMFADevices></VirtualMFADevices>"}},
		{"root", "ListMFADevices UserName=alice", 200, []string{"<MFADevices></MFADevices>"}},
		{"root", "ListSigningCertificates UserName=alice", 200, []string{"<Certificates></Certificates>"}},
		{"root", "ListSSHPublicKeys UserName=alice", 200, []string{"<SSHPublicKeys></SSHPublicKeys>"}},
		{"root", "DeleteLoginProfile UserName=alice", 404, failure("NoSuchEntity", "Login Profile for User alice cannot be found.")},
		{"bob", "ListMFADevices UserName=alice", 403, []string{"not authorized to perform: iam:ListMFADevices on resource: arn:aws:iam::123456789012:user/alice"}},
		{"root", "ListSigningCertificates UserName=nobody", 404, failure("NoSuchEntity", "The user with name nobody cannot be found.")},
		{"root", "DeleteLoginProfile UserName=nobody", 404, failure("NoSuchEntity", "The user with name nobody cannot be found.")},
		{"root", "ListAccountAliases", 200, []string{"<AccountAliases></AccountAliases>"}},
	})
	// Page by page everything comes once.
	var names []string
	for marker := ""; ; {
		line := "GetAccountAuthorizationDetails MaxItems=2"
		if marker != "" {
			line += " Marker=" + marker
		}
		body := r.must("root", line)
		for _, m := range regexp.MustCompile(`<(?:UserName|GroupName|RoleName)>(\w+)<|<PolicyId>(\w+)<`).FindAllStringSubmatch(body, -1) {
			names = append(names, m[1]+m[2])
		}
		m := regexp.MustCompile(`<Marker>(\S+)</Marker>`).FindStringSubmatch(body)
		if m == nil {
			break
		}
		marker = m[1]
	}
	if len(names) != 10 || !slices.Equal(names[:4], []string{"alice", "bob", "g", "r"}) {
		t.Errorf("%v", names)
	}
}

// TestAccess: who may what is what policies say of ARNs, tags, boundaries and policies, and group and managed policies count.
func TestAccess(t *testing.T) {
	r := newRig(t)
	policy := func(statements string) string {
		return strings.Join(strings.Fields(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), "")
	}
	for _, line := range []string{
		"CreateUser UserName=alice", "CreateUser UserName=target Path=/eng/ Tags.member.1.Key=team Tags.member.1.Value=a", "CreateGroup GroupName=admins",
		"AddUserToGroup GroupName=admins UserName=alice",
		"CreatePolicy PolicyName=p PolicyDocument=$ALLOW",
	} {
		r.must("root", line)
	}
	const denied = "<Code>AccessDenied</Code>"
	r.run([]step{
		{"alice", "GetUser UserName=target", 403, failure("AccessDenied", "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: iam:GetUser on resource: arn:aws:iam::123456789012:user/eng/target because no identity-based policy allows the iam:GetUser action")},
		{"alice", "GetUser UserName=nobody", 403, []string{"on resource: arn:aws:iam::123456789012:user/nobody because"}},
		{"alice", "ListUsers", 403, []string{"on resource: arn:aws:iam::123456789012:user/ because"}},
		{"alice", "ListPolicies", 403, []string{"on resource: policy path / because"}},
		{"root", "PutGroupPolicy GroupName=admins PolicyName=g PolicyDocument=" + policy(`{"Effect":"Allow","Action":["iam:Get*","iam:CreateUser"],"Resource":"arn:aws:iam::*:user/eng/*"},
			{"Effect":"Allow","Action":["iam:*AccessKey*","iam:GetUser"],"Resource":"arn:aws:iam::*:user/${aws:username}"}`), 200, nil},
		{"alice", "GetUser UserName=target", 200, nil},
		{"alice", "GetUser", 200, []string{"<UserName>alice</UserName>"}},
		{"alice", "CreateUser UserName=x Path=/eng/", 200, nil},
		{"alice", "CreateUser UserName=y", 403, []string{denied}},
		{"alice", "CreateUser UserName=y Path=/eng/ Tags.member.1.Key=k Tags.member.1.Value=v", 403, []string{"iam:TagUser on resource: arn:aws:iam::123456789012:user/eng/y"}},
		{"alice", "CreateAccessKey", 200, nil},
		{"alice", "CreateAccessKey UserName=target", 403, []string{denied}},
		{"root", "RemoveUserFromGroup GroupName=admins UserName=alice", 200, nil},
		{"alice", "GetUser UserName=target", 403, []string{denied}},

		// An attached policy counts, in the version that is the default.
		{"root", "AttachUserPolicy UserName=alice PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", 200, nil},
		{"alice", "ListUsers", 200, nil},
		{"alice", "ListPolicies", 200, nil},
		{"alice", "GetPolicy PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", 200, nil},
		{"alice", "GetPolicy PolicyArn=arn:aws:iam::999999999999:policy/p", 403, []string{"because no resource-based policy allows the iam:GetPolicy action"}},
		// A boundary bounds.
		{"root", "PutUserPermissionsBoundary UserName=alice PermissionsBoundary=arn:aws:iam::aws:policy/AmazonBedrockReadOnly", 200, nil},
		{"alice", "ListUsers", 403, []string{"because no permissions boundary allows the iam:ListUsers action"}},
		{"root", "DeleteUserPermissionsBoundary UserName=alice", 200, nil},
		{"alice", "ListUsers", 200, nil},
		{"root", "DetachUserPolicy UserName=alice PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", 200, nil},
		{"alice", "ListUsers", 403, []string{denied}},

		// Tags, boundaries and policies in conditions.
		{"root", "PutUserPolicy UserName=alice PolicyName=c PolicyDocument=" + policy(`
			{"Effect":"Allow","Action":"iam:DeleteUser","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}},
			{"Effect":"Allow","Action":["iam:TagUser","iam:UntagUser"],"Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["cost"]}}},
			{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnLike":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AmazonBedrock*"}}},
			{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"arn:aws:iam::123456789012:policy/p"}}},
			{"Effect":"Allow","Action":"iam:CreateServiceSpecificCredential","Resource":"*","Condition":{"StringEquals":{"iam:ServiceSpecificCredentialServiceName":"bedrock.amazonaws.com"},"NumericLessThanEquals":{"iam:ServiceSpecificCredentialAgeDays":"30"}}}`), 200, nil},
		{"alice", "DeleteUser UserName=target", 403, []string{denied}},
		{"root", "TagUser UserName=alice Tags.member.1.Key=Team Tags.member.1.Value=a", 200, nil},
		{"alice", "AttachUserPolicy UserName=target PolicyArn=arn:aws:iam::aws:policy/AmazonBedrockReadOnly", 200, nil},
		{"alice", "AttachUserPolicy UserName=target PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess", 403, []string{denied}},
		{"alice", "TagUser UserName=target Tags.member.1.Key=cost Tags.member.1.Value=1", 200, nil},
		{"alice", "TagUser UserName=target Tags.member.1.Key=other Tags.member.1.Value=1", 403, []string{denied}},
		{"alice", "UntagUser UserName=target TagKeys.member.1=team", 403, []string{denied}},
		{"alice", "CreateUser UserName=bounded PermissionsBoundary=arn:aws:iam::123456789012:policy/p", 200, nil},
		{"alice", "CreateUser UserName=unbounded", 403, []string{denied}},
		{"alice", "CreateServiceSpecificCredential UserName=target ServiceName=bedrock.amazonaws.com CredentialAgeDays=31", 403, []string{denied}},
		{"alice", "CreateServiceSpecificCredential UserName=target ServiceName=bedrock.amazonaws.com", 403, []string{denied}},
		{"alice", "CreateServiceSpecificCredential UserName=target ServiceName=bedrock.amazonaws.com CredentialAgeDays=30", 200, nil},
		{"alice", "DeleteUser UserName=target", 409, []string{"DeleteConflict"}}, // allowed, but not yet

		// Who gets another name or path, both must be allowed for.
		{"root", "PutUserPolicy UserName=alice PolicyName=c PolicyDocument=" + policy(`{"Effect":"Allow","Action":["iam:UpdateUser","iam:UpdateGroup"],"Resource":[
			"arn:aws:iam::*:user/eng/*","arn:aws:iam::*:user/${aws:username}","arn:aws:iam::*:group/eng/*"]}`), 200, nil},
		{"root", "CreateGroup GroupName=devs Path=/eng/", 200, nil},
		{"alice", "UpdateUser UserName=target NewPath=/", 403, []string{"iam:UpdateUser on resource: arn:aws:iam::123456789012:user/target because"}},
		{"alice", "UpdateUser UserName=target NewPath=/admin/ NewUserName=t", 403, []string{"on resource: arn:aws:iam::123456789012:user/admin/t because"}},
		{"alice", "UpdateUser UserName=alice NewUserName=boss", 403, []string{"on resource: arn:aws:iam::123456789012:user/boss because"}},
		{"alice", "UpdateUser UserName=bounded NewPath=/eng/", 403, []string{"on resource: arn:aws:iam::123456789012:user/bounded because"}},
		{"alice", "UpdateUser UserName=target NewUserName=goal NewPath=/eng/web/", 200, nil},
		{"alice", "UpdateUser UserName=GOAL NewUserName=target", 200, nil},
		{"alice", "UpdateGroup GroupName=devs NewGroupName=admin2 NewPath=/", 403, []string{"on resource: arn:aws:iam::123456789012:group/admin2 because"}},
		{"alice", "UpdateGroup GroupName=devs NewGroupName=dev", 200, nil},

		// Nothing of one account is seen from another.
		{"other", "GetUser UserName=target", 404, nil},
		{"other", "ListUsers", 200, []string{"<Users></Users>"}},
		{"other", "GetPolicy PolicyArn=arn:aws:iam::123456789012:policy/p", 403, []string{denied}},
		{"other", "ListPolicies Scope=Local", 200, []string{"<Policies></Policies>"}},
		{"other", "CreateUser UserName=target", 200, []string{"arn:aws:iam::999999999999:user/target"}},
	})
}

// Sources of the places: the examples of `aws iam simulate-custom-policy help` and `simulate-principal-policy help`.
func TestSimulate(t *testing.T) {
	r := newRig(t)
	lines := `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "*",
      "Resource": "*"
    },
    {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::é*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "${aws:username, 'x'}"}}}
  ]
}`
	one := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}`
	ask := func(who, action string, params ...string) string {
		t.Helper()
		f := url.Values{"Action": {action}}
		for i := 0; i < len(params); i += 2 {
			f.Set(params[i], params[i+1])
		}
		status, body := r.send(who, f)
		return strconv.Itoa(status) + " " + body
	}
	check := func(got string, want ...string) {
		t.Helper()
		for _, w := range want {
			if w, not := strings.CutPrefix(w, "!"); strings.Contains(got, w) == not {
				t.Errorf("%s\nwant %s", got, w)
			}
		}
	}
	decided := func(action, decision string) string {
		return "<EvalActionName>" + action + "</EvalActionName><EvalResourceName>*</EvalResourceName><EvalDecision>" + decision + "</EvalDecision>"
	}
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", one, "ActionNames.member.1", "dynamodb:CreateBackup", "ActionNames.member.2", "s3:GetObject",
		"ContextEntries.member.1.ContextKeyName", "AWS:currentTime", "ContextEntries.member.1.ContextKeyValues.member.1", "2019-04-25T11:00:00Z", "ContextEntries.member.1.ContextKeyType", "date"),
		"200 ", decided("dynamodb:CreateBackup", "allowed"), decided("s3:GetObject", "implicitDeny"), "<SourcePolicyId>PolicyInputList.1</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType>"+
			"<StartPosition><Line>1</Line><Column>37</Column></StartPosition><EndPosition><Line>1</Line><Column>"+strconv.Itoa(len(one))+"</Column></EndPosition>", "<MissingContextValues></MissingContextValues>")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", one, "ActionNames.member.1", "dynamodb:CreateBackup"),
		decided("dynamodb:CreateBackup", "implicitDeny"), "<MissingContextValues><member>aws:CurrentTime</member></MissingContextValues>", "!SourcePolicyId")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", lines, "ActionNames.member.1", "s3:GetObject", "ResourceArns.member.1", "arn:aws:s3:::éa", "ResourceArns.member.2", "arn:aws:s3:::b",
		"ContextEntries.member.1.ContextKeyName", "aws:PrincipalTag/team", "ContextEntries.member.1.ContextKeyValues.member.1", "x"),
		"<EvalDecision>explicitDeny</EvalDecision>", "<StartPosition><Line>8</Line><Column>7</Column></StartPosition><EndPosition><Line>9</Line><Column>",
		"<EvalDecision>allowed</EvalDecision>", "<StartPosition><Line>3</Line><Column>17</Column></StartPosition><EndPosition><Line>8</Line><Column>6</Column></EndPosition>",
		"<member>aws:username</member>")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", lines, "PermissionsBoundaryPolicyInputList.member.1", allow, "ActionNames.member.1", "iam:GetUser", "ActionNames.member.2", "bedrock:InvokeModel"),
		decided("iam:GetUser", "implicitDeny"), decided("bedrock:InvokeModel", "allowed"), "<AllowedByPermissionsBoundary>false<", "<AllowedByPermissionsBoundary>true<")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", allow, "ActionNames.member.1", "s3:GetObject", "CallerArn", "arn:aws:iam::123456789012:user/alice",
		"ResourcePolicy", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/alice"},"Action":"s3:GetObject","Resource":"*"}}`),
		decided("s3:GetObject", "allowed"), "<SourcePolicyId>ResourcePolicy</SourcePolicyId>")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", allow, "ActionNames.member.1", "s3:GetObject", "ResourcePolicy", "{}"), "400 ", "<Code>InvalidInput</Code>")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", "{}", "ActionNames.member.1", "s3:GetObject"), "400 ", "<Code>InvalidInput</Code><Message>PolicyInputList.1: ")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", allow, "ActionNames.member.1", "s3:*"), "400 ", "<Code>InvalidInput</Code>")
	page := ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", allow, "ActionNames.member.1", "a:a", "ActionNames.member.2", "a:b", "ActionNames.member.3", "a:c", "MaxItems", "2")
	check(page, "<EvalActionName>a:b<", "!a:c", "<IsTruncated>true</IsTruncated>")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", allow, "ActionNames.member.1", "a:a", "ActionNames.member.2", "a:b", "ActionNames.member.3", "a:c", "Marker", match(t, page, "<Marker>(.*)</Marker>")),
		"<EvalActionName>a:c<", "!a:b", "<IsTruncated>false</IsTruncated>")
	// Of a name that is given twice the last counts, whatever its case.
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", one, "ActionNames.member.1", "dynamodb:CreateBackup",
		"ContextEntries.member.1.ContextKeyName", "aws:CurrentTime", "ContextEntries.member.1.ContextKeyValues.member.1", "2019-04-25T11:00:00Z",
		"ContextEntries.member.2.ContextKeyName", "AWS:CURRENTTIME", "ContextEntries.member.2.ContextKeyValues.member.1", "2009-04-25T11:00:00Z"),
		decided("dynamodb:CreateBackup", "implicitDeny"), "<MissingContextValues></MissingContextValues>")
	// Long documents are asked less at a time; the pages have all answers.
	many := url.Values{"Action": {"SimulateCustomPolicy"}, "MaxItems": {"1000"}, "PolicyInputList.member.1": {allow + strings.Repeat(" ", 131072-len(allow))}}
	for i := range 100 {
		many.Set(fmt.Sprint("ActionNames.member.", i+1), fmt.Sprint("a:b", i))
	}
	answers := 0
	for {
		status, body := r.send("root", many)
		n := strings.Count(body, "<EvalActionName>")
		if status != 200 || n > 64 {
			t.Fatalf("%d, %d answers", status, n)
		}
		answers += n
		if !strings.Contains(body, "<IsTruncated>true<") {
			break
		}
		many.Set("Marker", match(t, body, "<Marker>(.*)</Marker>"))
	}
	if answers != 100 {
		t.Errorf("%d answers to 100 questions", answers)
	}
	check(ask("root", "GetContextKeysForCustomPolicy", "PolicyInputList.member.1", one, "PolicyInputList.member.2", lines),
		"<ContextKeyNames><member>aws:CurrentTime</member><member>aws:PrincipalTag/team</member><member>aws:username</member></ContextKeyNames>")

	for _, line := range []string{
		"CreateUser UserName=alice Tags.member.1.Key=team Tags.member.1.Value=x", "CreateGroup GroupName=g", "AddUserToGroup GroupName=g UserName=alice",
		"PutGroupPolicy GroupName=g PolicyName=of-g PolicyDocument=$ALLOW",
	} {
		r.must("root", line)
	}
	const alice = "arn:aws:iam::123456789012:user/alice"
	own := strings.Join(strings.Fields(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"x"}}}}`), "")
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "ActionNames.member.1", "bedrock:InvokeModel", "ActionNames.member.2", "iam:GetUser"),
		decided("bedrock:InvokeModel", "allowed"), "<SourcePolicyId>of-g</SourcePolicyId>", decided("iam:GetUser", "implicitDeny"))
	r.must("root", "AttachUserPolicy UserName=alice PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess")
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "ActionNames.member.1", "iam:GetUser"),
		decided("iam:GetUser", "allowed"), "<SourcePolicyId>AdministratorAccess</SourcePolicyId>")
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "PolicyInputList.member.1", own, "ActionNames.member.1", "s3:GetObject", "ResourceArns.member.1", "arn:aws:s3:::alice/x"),
		"<EvalDecision>explicitDeny</EvalDecision>", "<SourcePolicyId>PolicyInputList.1</SourcePolicyId>", "<MissingContextValues></MissingContextValues>")
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::123456789012:group/g", "ActionNames.member.1", "iam:GetUser"), decided("iam:GetUser", "implicitDeny"))
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::123456789012:user/nobody", "ActionNames.member.1", "iam:GetUser"), "404 ", "<Code>NoSuchEntity</Code>")
	check(ask("other", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "ActionNames.member.1", "iam:GetUser"), "403 ")
	check(ask("root", "GetContextKeysForPrincipalPolicy", "PolicySourceArn", alice, "PolicyInputList.member.1", own), "<member>aws:PrincipalTag/team</member><member>aws:username</member>")

	// "Specifies whether the simulated operation is allowed by the Organizations service control policies that impact the simulated
	// user's account": https://docs.aws.amazon.com/IAM/latest/APIReference/API_OrganizationsDecisionDetail.html. They are no input, so
	// their statements are not told.
	guard := func(name, document string) {
		t.Helper()
		if err := r.people.PutGuardrail(t.Context(), account, name, document); err != nil {
			t.Fatal(err)
		}
	}
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "ActionNames.member.1", "iam:GetUser"), decided("iam:GetUser", "allowed"), "!OrganizationsDecisionDetail")
	guard("home", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}}`)
	from := func(region string) string {
		return ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "ActionNames.member.1", "bedrock:InvokeModel", "PermissionsBoundaryPolicyInputList.member.1", allow,
			"ContextEntries.member.1.ContextKeyName", "aws:RequestedRegion", "ContextEntries.member.1.ContextKeyValues.member.1", region)
	}
	check(from("eu-west-1"), decided("bedrock:InvokeModel", "allowed"), "<AllowedByOrganizations>true<", "<AllowedByPermissionsBoundary>true<", "<SourcePolicyId>AdministratorAccess<")
	check(from("us-east-1"), decided("bedrock:InvokeModel", "explicitDeny"), "<AllowedByOrganizations>false<", "<AllowedByPermissionsBoundary>true<", "<MatchedStatements></MatchedStatements>")
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::123456789012:group/g", "ActionNames.member.1", "bedrock:InvokeModel", "ActionNames.member.2", "iam:GetUser"),
		decided("bedrock:InvokeModel", "explicitDeny"), "<MissingContextValues><member>aws:RequestedRegion</member></MissingContextValues>",
		decided("iam:GetUser", "implicitDeny"), "<AllowedByOrganizations>true<")
	check(ask("root", "GetContextKeysForPrincipalPolicy", "PolicySourceArn", alice), "<member>aws:RequestedRegion</member>")
	guard(iam.FullAccess, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"iam:GetUser","Resource":"*"}}`)
	check(ask("root", "SimulatePrincipalPolicy", "PolicySourceArn", alice, "ActionNames.member.1", "iam:GetUser"), decided("iam:GetUser", "implicitDeny"), "<AllowedByOrganizations>false<", "<MatchedStatements></MatchedStatements>")
	check(ask("root", "SimulateCustomPolicy", "PolicyInputList.member.1", allow, "ActionNames.member.1", "bedrock:InvokeModel"), decided("bedrock:InvokeModel", "allowed"), "!OrganizationsDecisionDetail")
}

// model is the part of botocore's service model of iam (2010-05-08, botocore 1.43.11) that is served here.
type model struct {
	Operations map[string]struct {
		Input, Output string
		Errors        []struct {
			Code   string
			Status int
		}
	}
	Shapes map[string]*struct {
		Type               string
		Members            map[string]string
		Member, Key, Value string
		Required           []string
		Min, Max           *float64
		Enum               []string
	}
	asked map[string]bool
}

func readModel(t *testing.T) *model {
	t.Helper()
	m := &model{asked: map[string]bool{}}
	b, err := os.ReadFile("testdata/service_model.json")
	if err == nil {
		err = json.Unmarshal(b, m, json.MatchCaseInsensitiveNames(true))
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// everyService are the errors that any operation may give:
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var everyService = map[string]int{"ValidationError": 400, "AccessDenied": 403}

// An element is one of an XML answer.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

// check holds an answer against the model: the wrapper, every member, and of an error its code and status.
func (m *model) check(t *testing.T, action string, status int, body []byte) {
	t.Helper()
	op, ok := m.Operations[action]
	if !ok {
		t.Fatalf("the model has no %s", action)
	}
	m.asked[action] = true
	var root element
	if err := xml.Unmarshal(body, &root); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if root.XMLName.Space != "https://iam.amazonaws.com/doc/2010-05-08/" {
		t.Errorf("%s: the name space is %q", action, root.XMLName.Space)
	}
	if status != 200 {
		var e struct {
			Code string `xml:"Error>Code"`
			Type string `xml:"Error>Type"`
			ID   string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(body, &e); err != nil {
			t.Fatal(err)
		}
		good := everyService[e.Code] == status
		for _, known := range op.Errors {
			good = good || known.Code == e.Code && known.Status == status
		}
		if !good || e.Type != "Sender" || e.ID == "" {
			t.Errorf("%s: the model has no %d: %s", action, status, body)
		}
		return
	}
	if root.XMLName.Local != action+"Response" || len(root.Children) == 0 || root.Children[len(root.Children)-1].XMLName.Local != "ResponseMetadata" {
		t.Fatalf("%s: %s", action, body)
	}
	if op.Output == "" {
		if len(root.Children) != 1 {
			t.Errorf("%s has no output: %s", action, body)
		}
		return
	}
	if len(root.Children) != 2 || root.Children[0].XMLName.Local != action+"Result" {
		t.Fatalf("%s: %s", action, body)
	}
	m.shape(t, action, op.Output, &root.Children[0])
}

func (m *model) shape(t *testing.T, at, name string, e *element) {
	s := m.Shapes[name]
	switch s.Type {
	case "structure":
		seen := map[string]bool{}
		for i := range e.Children {
			c := &e.Children[i]
			member, ok := s.Members[c.XMLName.Local]
			if !ok || seen[c.XMLName.Local] {
				t.Errorf("%s: %s has no %s, or one", at, name, c.XMLName.Local)
				continue
			}
			seen[c.XMLName.Local] = true
			m.shape(t, at+"."+c.XMLName.Local, member, c)
		}
		for _, r := range s.Required {
			// The account's root has neither a name nor a path.
			if !seen[r] && !(name == "User" && (r == "UserName" || r == "Path")) && !(name == "AccessKey" && r == "UserName") {
				t.Errorf("%s: %s is missing", at, r)
			}
		}
	case "list":
		for i := range e.Children {
			if e.Children[i].XMLName.Local != "member" {
				t.Errorf("%s: a %s in a list", at, e.Children[i].XMLName.Local)
			}
			m.shape(t, at, s.Member, &e.Children[i])
		}
	case "map":
		for i := range e.Children {
			entry := &e.Children[i]
			if entry.XMLName.Local != "entry" || len(entry.Children) != 2 {
				t.Errorf("%s: %+v is no entry", at, entry)
				continue
			}
			m.shape(t, at, s.Key, &entry.Children[0])
			m.shape(t, at, s.Value, &entry.Children[1])
		}
	case "timestamp":
		if _, err := time.Parse(time.RFC3339, e.Text); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	case "integer":
		if _, err := strconv.Atoi(e.Text); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	case "boolean":
		if e.Text != "true" && e.Text != "false" {
			t.Errorf("%s: %q is no boolean", at, e.Text)
		}
	case "string":
		// The type of a policy that decided is "IAM Policy" in AWS's answers, which the model does not know.
		if s.Enum != nil && !slices.Contains(s.Enum, e.Text) && e.Text != "IAM Policy" {
			t.Errorf("%s: %q is none of %v", at, e.Text, s.Enum)
		}
	}
}

// TestConstraints: of every operation each member that the model requires is asked for, and a value that the model's bounds and
// enumerations do not take is refused. Sent is one wrong member at a time, with others that are right.
func TestConstraints(t *testing.T) {
	r := newRig(t)
	for _, op := range iamapi.New(r.people).Ops {
		m, ok := r.model.Operations[op.Name]
		if !ok {
			t.Errorf("the model has no %s", op.Name)
			continue
		}
		if m.Input == "" {
			continue
		}
		in := r.model.Shapes[m.Input]
		right := url.Values{"Action": {op.Name}}
		for _, name := range in.Required {
			r.fill(right, name, in.Members[name])
		}
		refuse := func(f url.Values, member, constraint string) {
			t.Helper()
			status, body := r.send("root", f)
			where := "&#39;" + strings.ToLower(member[:1]) + member[1:] + "&#39; failed to satisfy constraint: " + constraint
			if status != 400 || !strings.Contains(body, "<Code>ValidationError</Code>") || !strings.Contains(body, where) {
				t.Errorf("%s %v: %d %s\nwant %s", op.Name, f, status, body, where)
			}
		}
		for _, name := range in.Required {
			f := without(right, name)
			refuse(f, name, "Member must not be null")
		}
		for name, shape := range in.Members {
			s := r.model.Shapes[shape]
			f := without(right, name)
			switch {
			case s.Type == "string" && s.Enum != nil:
				f.Set(name, "NoSuchWord")
				refuse(f, name, "Member must satisfy enum value set: ")
			case s.Type == "string" && s.Max != nil:
				f.Set(name, "/"+strings.Repeat("x", 140000))
				refuse(f, name, "Member must have length less than or equal to ")
			case s.Type == "integer" && s.Max != nil:
				f.Set(name, strconv.Itoa(int(*s.Max)+1))
				refuse(f, name, "Member must have value less than or equal to "+strconv.Itoa(int(*s.Max)))
				f.Set(name, strconv.Itoa(int(*s.Min)-1))
				refuse(f, name, "Member must have value greater than or equal to "+strconv.Itoa(int(*s.Min)))
			case s.Type == "list" && s.Max != nil:
				for i := range int(*s.Max) + 1 {
					r.fill(f, name+".member."+strconv.Itoa(i+1), s.Member)
				}
				refuse(f, name, "Member must have length less than or equal to "+strconv.Itoa(int(*s.Max)))
			}
		}
	}
}

// fill puts a value of a shape that its constraints take under name.
func (r *rig) fill(f url.Values, name, shape string) {
	switch s := r.model.Shapes[shape]; {
	case s.Type == "list":
		r.fill(f, name+".member.1", s.Member)
	case s.Type == "structure":
		for member, shape := range s.Members {
			r.fill(f, name+"."+member, shape)
		}
	case s.Enum != nil:
		f.Set(name, s.Enum[0])
	case strings.HasSuffix(name, "VersionId"):
		f.Set(name, "v1")
	case s.Type == "string":
		f.Set(name, "x"+strings.Repeat("y", 19))
	}
}

// without is f without a member and what is below it.
func without(f url.Values, name string) url.Values {
	out := url.Values{}
	for k, v := range f {
		if k != name && !strings.HasPrefix(k, name+".") {
			out[k] = v
		}
	}
	return out
}

// TestExceptions holds the table against the model: each code is that of one of its exceptions, with its status.
func TestExceptions(t *testing.T) {
	known := map[string]int{
		"ServiceFailure": 500, "ValidationError": 400, "NoSuchEntity": 404, "AccessDenied": 403, "EntityAlreadyExists": 409, "LimitExceeded": 409,
		"DeleteConflict": 409, "ConcurrentModification": 409, "MalformedPolicyDocument": 400, "InvalidInput": 400, "Throttling": 400, "ServiceUnavailable": 503,
		"PolicyEvaluation": 500,
	}
	for _, op := range readModel(t).Operations {
		for _, e := range op.Errors {
			if s, ok := known[e.Code]; ok && s != e.Status {
				t.Errorf("%s is %d in the model", e.Code, e.Status)
			}
		}
	}
	exception := iamapi.New(nil).Exception
	for _, k := range fault.Kinds() {
		if e, ok := exception(k); ok && known[e.Code] != e.Status {
			t.Errorf("%v is %+v", k, e)
		}
	}
	for _, k := range []fault.Kind{fault.Internal, fault.Validation, fault.NotFound, fault.AccessDenied, fault.Conflict, fault.QuotaExceeded, fault.InUse, fault.Stale, fault.MalformedPolicy, fault.InvalidInput} {
		if _, ok := exception(k); !ok {
			t.Errorf("no word for %v", k)
		}
	}
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"outcrop/audit"
	"outcrop/iam"
)

// recordedEvents are those that are recorded in dir, as they are exported.
func recordedEvents(t *testing.T, dir string) []audit.Event {
	t.Helper()
	st, sealer, err := openFolder(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var events []audit.Event
	err = st.ReadEvents(t.Context(), func(tr *audit.Trail) error {
		if err := audit.Verify(tr, sealer, nil); err != nil {
			return err
		}
		for r, err := range tr.Records {
			if err != nil {
				return err
			}
			var e audit.Event
			if err := json.Unmarshal(r.Event, &e); err != nil {
				return err
			}
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// TestAudit calls a whole server, each service of it, and reads what its record says: before the server stops what must be
// there when an answer is, and all of it afterwards.
func TestAudit(t *testing.T) {
	const secret = "a-secret-for-the-audit"
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", "ROOTKEYFORAUDIT")
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", secret)
	for _, data := range []string{"none", "all"} {
		t.Run(data, func(t *testing.T) {
			dir := t.TempDir()
			c := defaults()
			c.Listen, c.Audit.DataEvents, c.Audit.File = "127.0.0.1:0", data, filepath.Join(dir, "audit.jsonl")
			s, err := New(context.Background(), c, dir, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			closed := false
			defer func() {
				if !closed {
					s.Close()
				}
			}()
			h := httptest.NewServer(s.services)
			defer h.Close()
			if _, err := s.people.CreateUser(t.Context(), c.AccountID, "alice"); err != nil {
				t.Fatal(err)
			}
			key, err := s.people.CreateAccessKey(t.Context(), c.AccountID, "alice")
			if err != nil {
				t.Fatal(err)
			}
			root := &client{url: h.URL, http: h.Client(), credentials: aws.Credentials{AccessKeyID: "ROOTKEYFORAUDIT", SecretAccessKey: secret}}
			alice := &client{url: h.URL, http: h.Client(), credentials: aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}}
			liar := &client{url: h.URL, http: h.Client(), credentials: aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: "wrong"}}
			if _, _, err := s.people.CreateBearerKey(t.Context(), c.AccountID, "alice", 0); err != nil {
				t.Fatal(err)
			}
			_, token, err := s.people.CreateBearerKey(t.Context(), c.AccountID, "alice", 0)
			if err != nil {
				t.Fatal(err)
			}

			type line struct {
				who, source, name, code string
				readOnly, bearer        bool
			}
			const model = "anthropic.claude-3-haiku-20240307-v1:0"
			converse := map[string]any{"messages": []any{map[string]any{"role": "user", "content": []any{map[string]string{"text": "a-very-secret-prompt"}}}}}
			month := map[string]any{"TimePeriod": map[string]string{"Start": "2026-01-01", "End": "2026-02-01"}, "Granularity": "MONTHLY", "Metrics": []string{"UnblendedCost"}}
			form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
			var want []line
			for _, call := range []struct {
				by                    *client
				service, method, path string
				header                http.Header
				body                  any
				line                  line
				durable, data         bool
			}{
				{by: root, service: "bedrock", method: "POST", path: "/inference-profiles", body: map[string]any{"inferenceProfileName": "p", "modelSource": map[string]string{"copyFrom": "arn:aws:bedrock:us-east-1::foundation-model/" + model}},
					line: line{"root", "bedrock", "CreateInferenceProfile", "", false, false}, durable: true},
				{by: root, service: "bedrock", method: "GET", path: "/inference-profiles", line: line{"root", "bedrock", "ListInferenceProfiles", "", true, false}},
				{by: root, service: "bedrock", method: "DELETE", path: "/inference-profiles/none", line: line{"root", "bedrock", "DeleteInferenceProfile", "ResourceNotFoundException", false, false}, durable: true},
				{by: alice, service: "bedrock", method: "GET", path: "/inference-profiles/p", line: line{"alice", "bedrock", "GetInferenceProfile", "AccessDenied", true, false}, durable: true},
				{by: liar, service: "bedrock", method: "GET", path: "/foundation-models", line: line{"", "bedrock", "ListFoundationModels", "InvalidSignatureException", true, false}, durable: true},
				{by: alice, service: "bedrock", method: "POST", path: "/model/" + model + "/converse", body: converse, line: line{"alice", "bedrock", "Converse", "AccessDenied", true, false}, durable: true},
				{by: liar, service: "bedrock", method: "POST", path: "/model/" + model + "/converse", body: converse, line: line{"", "bedrock", "Converse", "InvalidSignatureException", true, false}, durable: true},
				{by: root, service: "bedrock", method: "POST", path: "/model/" + model + "/converse", body: converse, line: line{"root", "bedrock", "Converse", "", true, false}, data: true},
				{by: root, service: "bedrock", method: "POST", path: "/model/" + model + "/converse-stream", body: converse, line: line{"root", "bedrock", "ConverseStream", "", true, false}, data: true},
				{by: root, service: "bedrock", method: "POST", path: "/model/" + model + "/converse", body: map[string]any{"messages": 1}, line: line{"root", "bedrock", "Converse", "SerializationException", true, false}, data: true},
				{by: alice, service: "ce", method: "POST", path: "/", header: target("AWSInsightsIndexService.GetCostAndUsage"), body: month, line: line{"alice", "ce", "GetCostAndUsage", "AccessDenied", true, false}, durable: true},
				{by: root, service: "ce", method: "POST", path: "/", header: target("AWSInsightsIndexService.GetCostAndUsage"), body: month, line: line{"root", "ce", "GetCostAndUsage", "", true, false}},
				{by: root, service: "cloudtrail", method: "POST", path: "/", header: target("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"), body: map[string]any{}, line: line{"root", "cloudtrail", "LookupEvents", "", true, false}},
				{by: alice, service: "cloudtrail", method: "POST", path: "/", header: target("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"), body: map[string]any{}, line: line{"alice", "cloudtrail", "LookupEvents", "AccessDenied", true, false}, durable: true},
				{by: alice, service: "sts", method: "GET", path: "/?Action=GetCallerIdentity&Version=2011-06-15", header: form, line: line{"alice", "sts", "GetCallerIdentity", "", true, false}},
				{by: root, service: "outcrop", method: "GET", path: "/outcrop/routes", line: line{"root", "outcrop", "ListRoutes", "", true, false}},
				{by: alice, service: "outcrop", method: "GET", path: "/outcrop/routes", line: line{"alice", "outcrop", "ListRoutes", "AccessDenied", true, false}, durable: true},
			} {
				resp, err := call.by.send(t.Context(), call.method, call.path, call.service, "us-east-1", call.header, call.body)
				if (err == nil) != (call.line.code == "") {
					t.Errorf("%s %s: %v", call.method, call.path, err)
				}
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				call.line.source += ".amazonaws.com"
				if !call.data || data == "all" {
					want = append(want, call.line)
				}
				if call.durable { // on disk when the answer is here, and with it all before it
					events := recordedEvents(t, dir)
					if e := events[len(events)-1]; e.Name != call.line.name || e.ErrorCode != call.line.code {
						t.Errorf("%s is not recorded when it is answered, %s is", call.line.name, e.Name)
					}
				}
			}
			// What IAM gives away is not in the record.
			secrets := []string{secret, key.Secret, token, "very-secret-prompt"}
			for _, action := range []string{"CreateUser", "CreateAccessKey", "CreateServiceSpecificCredential&ServiceName=bedrock.amazonaws.com"} {
				resp, err := root.send(t.Context(), "GET", "/?Action="+action+"&UserName=bob&Version=2010-05-08", "iam", "us-east-1", form, nil)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range regexp.MustCompile("<(?:SecretAccessKey|ServiceCredentialSecret|ServicePassword)>([^<]+)<").FindAllSubmatch(text, -1) {
					secrets = append(secrets, string(m[1]))
				}
				name, _, _ := strings.Cut(action, "&")
				want = append(want, line{"root", "iam.amazonaws.com", name, "", false, false})
			}
			if len(secrets) != 6 {
				t.Errorf("IAM gave %d secrets", len(secrets)-4)
			}
			// An API key, and one that there is not.
			for _, k := range []struct {
				token string
				line  line
			}{{token, line{"alice", "bedrock.amazonaws.com", "ListInferenceProfiles", "AccessDenied", true, true}}, {token[:len(token)-8] + "AAAAAAAA", line{"", "bedrock.amazonaws.com", "ListInferenceProfiles", "AccessDenied", true, false}}} {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", h.URL+"/inference-profiles", nil)
				r.Header.Set("Authorization", "Bearer "+k.token)
				resp, err := h.Client().Do(r)
				if err != nil || resp.StatusCode != 403 {
					t.Fatalf("%v %v", resp, err)
				}
				resp.Body.Close()
				want = append(want, k.line)
			}
			h.Close()
			closed = true
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var got []line
			for _, e := range recordedEvents(t, dir) {
				got = append(got, line{e.UserName(), e.Source, e.Name, e.ErrorCode, e.ReadOnly, e.Additional.CallWithBearerToken})
				if e.ReadOnly && e.ResponseElements.String() != "null" || e.Region == "" && e.UserName() != "" || e.RecipientAccountID != c.AccountID && e.UserName() != "" || e.SourceIP != "127.0.0.1" {
					t.Errorf("%+v", e)
				}
				if denied := e.ErrorCode == "AccessDenied" && e.UserName() != ""; denied != (e.Additional.Decision != nil) {
					t.Errorf("%s: the decision is %+v", e.Name, e.Additional.Decision)
				}
			}
			// Events that nobody waits for may be told a moment after the answer: streams, at their end.
			order := func(a, b line) int {
				return strings.Compare(a.source+a.name+a.code+a.who, b.source+b.name+b.code+b.who)
			}
			slices.SortStableFunc(got, order)
			slices.SortStableFunc(want, order)
			if !slices.Equal(got, want) {
				t.Errorf("recorded\n%v, want\n%v", got, want)
			}
			file, err := os.ReadFile(c.Audit.File)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(file), "\n"); n != len(want) {
				t.Errorf("the file has %d lines, want %d", n, len(want))
			}
			for _, s := range secrets {
				if strings.Contains(string(file), s) {
					t.Errorf("%q is in the record", s)
				}
			}
		})
	}
}

// A role that was assumed from another account is in the records of both: in its own without the caller's name. A refusal is in the
// caller's alone. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html
func TestAuditOfTwoAccounts(t *testing.T) {
	const mine, theirs, role = "000000000000", "111122223333", "arn:aws:iam::111122223333:role/x"
	dir := t.TempDir()
	c := defaults()
	c.Listen = "127.0.0.1:0"
	s, err := New(context.Background(), c, dir, io.Discard)
	must(t, err)
	closed := false
	defer func() {
		if !closed {
			s.Close()
		}
	}()
	h := httptest.NewServer(s.services)
	defer h.Close()
	ctx := t.Context()
	must(t, s.people.EnsureRoot(ctx, theirs, "", ""))
	_, err = s.people.CreateEntity(ctx, iam.Entity{Account: theirs, Kind: iam.RoleKind, Name: "x", Path: "/", MaxSession: time.Hour,
		Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}}`})
	must(t, err)
	alice, err := s.people.CreateUser(ctx, mine, "alice")
	must(t, err)
	key, err := s.people.CreateAccessKey(ctx, mine, "alice")
	must(t, err)
	by := &client{url: h.URL, http: h.Client(), credentials: aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}}
	assume := func() error {
		resp, err := by.send(ctx, "GET", "/?Action=AssumeRole&Version=2011-06-15&RoleSessionName=s1&RoleArn="+url.QueryEscape(role), "sts", "us-east-1", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, nil)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if assume() == nil {
		t.Error("alice may assume the role")
	}
	must(t, s.people.PutUserPolicy(ctx, mine, "alice", "all", []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)))
	must(t, assume())
	closed = true
	must(t, s.Close())

	events := recordedEvents(t, dir)
	if len(events) != 3 {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	refused, own, other := events[0], events[1], events[2]
	if refused.ErrorCode != "AccessDenied" || refused.RecipientAccountID != mine || refused.SharedEventID != "" {
		t.Errorf("%+v", refused)
	}
	if own.RecipientAccountID != mine || own.UserIdentity.ARN != alice.ARN() || own.SharedEventID == "" || own.SharedEventID != other.SharedEventID || own.ID == other.ID {
		t.Errorf("%+v", own)
	}
	if other.RecipientAccountID != theirs || other.UserIdentity != (audit.Identity{Type: "AWSAccount", PrincipalID: alice.ID, AccountID: mine}) || other.Name != "AssumeRole" || other.RequestID != own.RequestID ||
		len(other.Resources) == 0 || other.Resources[0] != (audit.Resource{ARN: role, AccountID: theirs, Type: "AWS::IAM::Role"}) || !strings.Contains(string(other.ResponseElements), `"accessKeyId":"ASIA`) {
		t.Errorf("%+v %s", other, other.ResponseElements)
	}
}

// TestAuditOfCommands: what is changed beside the server is recorded too, and every command that changes something is known.
func TestAuditOfCommands(t *testing.T) {
	dir := t.TempDir()
	s, err := New(t.Context(), defaults(), dir, io.Discard) // they run beside a server
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	document := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(document, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"users", "create", "alice"}, {"users", "create", "alice"}, {"users", "put-policy", "alice", "p", document}, {"users", "list"},
		{"keys", "create", "alice"}, {"keys", "create", "--bearer", "alice"}, {"users", "delete-policy", "alice", "p"},
		{"guard", "--tag", "team"}, {"guard", "--tag", "team", "--create", "Team", "--attach", "user/alice"},
	} {
		if _, err := run(t.Context(), append(args, "--data", dir)...); err != nil && strings.Join(args, " ") != "users create alice" {
			t.Errorf("%v: %v", args, err)
		}
	}
	var got []string
	for _, e := range recordedEvents(t, dir) {
		got = append(got, e.Name+" "+e.RequestParameters.String()+" "+e.ErrorCode+" "+e.UserName())
		if !strings.HasPrefix(e.UserAgent, "outcrop ") || e.Region != "us-east-1" {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		`CreateUser {"userName":"alice"}  root`, `CreateUser {"userName":"alice"} conflict root`, `PutUserPolicy {"policyName":"p","userName":"alice"}  root`,
		`CreateAccessKey {"userName":"alice"}  root`, `CreateServiceSpecificCredential {"userName":"alice"}  root`, `DeleteUserPolicy {"policyName":"p","userName":"alice"}  root`,
		`CreatePolicy {"attach":["user/alice"],"policyName":"Team","type":"identity"}  root`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	for _, group := range []*cobra.Command{usersCommand(), keysCommand()} {
		root := &cobra.Command{Use: "outcrop"}
		root.AddCommand(group)
		for _, cmd := range group.Commands() {
			if e := changeOf(cmd, []string{"alice", "AKIA", "x"}); (e == nil) != (cmd.Name() == "list") {
				t.Errorf("%s is recorded as %+v", cmd.CommandPath(), e)
			}
		}
	}
}

// TestAuditRestart: a record that was altered is put aside, and the new one says so, with a server running.
func TestAuditRestart(t *testing.T) {
	dir := t.TempDir()
	s, err := New(t.Context(), defaults(), dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	must := func(args ...string) string {
		t.Helper()
		out, err := run(t.Context(), append(args, "--data", dir)...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out
	}
	must("users", "create", "alice")
	must("keys", "create", "alice")
	other := filepath.Join(t.TempDir(), "other.key")
	if err := os.WriteFile(other, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("another key file", func(t *testing.T) {
		t.Setenv("OUTCROP_KEY_FILE", other)
		if _, err := run(t.Context(), "audit", "restart", "--data", dir); err == nil || !strings.Contains(err.Error(), "the key file is not the one") {
			t.Errorf("restarts for another key file: %v", err)
		}
	})
	if _, err := run(t.Context(), "audit", "restart", "--data", dir); !errors.Is(err, audit.ErrSound) {
		t.Errorf("of a sound one: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "audit-broken-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE audit_record SET event = replace(event, 'alice', 'bobby'); UPDATE audit_head SET seal = zeroblob(80)`); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), "users", "create", "carol", "--data", dir); err == nil {
		t.Error("a change goes by unrecorded")
	}
	out := must("audit", "restart")
	if !strings.Contains(out, "not the one that was sealed") || !strings.Contains(out, "2 records are put aside") {
		t.Errorf("%s", out)
	}
	must("users", "create", "carol")
	must("audit", "verify")
	events := recordedEvents(t, dir)
	if len(events) != 2 || events[0].Name != "RestartAuditRecord" || events[0].UserName() != "root" || events[1].Name != "CreateUser" {
		t.Errorf("recorded %+v", events)
	}
	aside, err := filepath.Glob(filepath.Join(dir, "audit-broken-*.jsonl"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("%v, %v", aside, err)
	}
	text, err := os.ReadFile(aside[0])
	if err != nil || !strings.Contains(string(text), "bobby") {
		t.Errorf("%s, %v", text, err)
	}
}

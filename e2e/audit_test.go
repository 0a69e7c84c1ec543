package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// auditEvent is what the tests read of an audit event.
type auditEvent struct {
	EventName, EventSource, ErrorCode, RequestID, AwsRegion string
	UserIdentity                                            struct{ Type, UserName, Arn string }
	ReadOnly                                                bool
	RequestParameters, ResponseElements                     map[string]any
}

// exported are the events that `outcrop audit export` prints.
func (s *server) exported(args ...string) (events []auditEvent) {
	s.t.Helper()
	for line := range strings.Lines(s.manage(append([]string{"audit", "export"}, args...)...)) {
		var e auditEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	return events
}

// TestAuditKill kills the server while it is asked for changes, and for what is refused. Whatever was answered is in the
// record, once, and the record is whole.
func TestAuditKill(t *testing.T) {
	first := start(t, options{})
	mallory, err := first.user("mallory", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	profile := first.profile(t.Context(), "us-east-1", "changed", modelARN("us-east-1", haiku), nil)
	if code := first.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	var mu sync.Mutex
	answered := map[string]string{} // request id -> operation
	once := func(client *http.Client, base string, n int) bool {
		// A change that no quota bounds: a fast machine asks for thousands.
		method, path, operation, body, who, want := "POST", "/tagResource", "TagResource", "", root, 200
		switch n % 3 {
		case 0:
			body = fmt.Sprintf(`{"resourceARN":%q,"tags":[{"key":"Change","value":"%d"}]}`, profile, n)
		case 1:
			method, path, operation, who, want = "GET", "/inference-profiles", "ListInferenceProfiles", mallory, 403
		case 2:
			path, operation, body, who, want = "/model/"+escape(haiku)+"/converse", "Converse", converseBody, mallory, 403
		}
		r, err := sign(t.Context(), method, base+path, "bedrock", "us-east-1", []byte(body), who, time.Now())
		if err != nil {
			return false
		}
		resp, err := client.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if resp.StatusCode != want {
			t.Errorf("%s: %s %s", operation, resp.Status, text)
		}
		mu.Lock()
		defer mu.Unlock()
		answered[resp.Header.Get("X-Amzn-Requestid")] = operation
		return err == nil
	}
	const kills = 8
	for range kills {
		s := start(t, options{data: first.data, killed: true})
		var callers sync.WaitGroup
		transport := &http.Transport{MaxIdleConnsPerHost: 8}
		client := &http.Client{Transport: transport}
		for i := range 8 {
			callers.Go(func() {
				for n := i; once(client, s.url, n); n++ {
				}
			})
		}
		time.Sleep(100*time.Millisecond + time.Duration(rand.Int64N(int64(300*time.Millisecond))))
		s.cmd.Process.Kill()
		<-s.ended
		callers.Wait()
		transport.CloseIdleConnections()
	}
	last := start(t, options{data: first.data})
	last.manage("audit", "verify")
	found := map[string]int{}
	for _, e := range last.exported() {
		found[e.RequestID]++
		if want, ok := answered[e.RequestID]; ok && want != e.EventName {
			t.Errorf("%s is recorded as %s, want %s", e.RequestID, e.EventName, want)
		}
	}
	for id, operation := range answered {
		if found[id] != 1 {
			t.Errorf("%s %s was answered and is recorded %d times", operation, id, found[id])
		}
	}
	if len(answered) < 10*kills {
		t.Errorf("too little happened to prove anything: %d answers", len(answered))
	}
	t.Logf("%d answers, %d events", len(answered), len(found))
}

// TestAuditTampered changes the database of a stopped server, and is found out.
func TestAuditTampered(t *testing.T) {
	s := start(t, options{})
	for _, name := range []string{"one", "two", "three"} {
		s.profile(t.Context(), "us-east-1", name, modelARN("us-east-1", haiku), nil)
	}
	head := lastLine(s.manage("audit", "verify"))
	_, noted, _ := strings.Cut(head, " ")
	s.profile(t.Context(), "us-east-1", "four", modelARN("us-east-1", haiku), nil)
	s.manage("audit", "verify", "--head", noted)
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	interpreter := python(t, "sqlite3")
	if r := command(t, nil, interpreter, "-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"UPDATE audit_record SET event=replace(event,'two','TWO') WHERE seq=2\"); c.commit()", filepath.Join(s.data, "outcrop.db")); r.code != 0 {
		t.Fatal(r.stderr)
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if r := command(t, nil, bin, "audit", "verify", "--data", s.data); r.code != 1 || !strings.Contains(r.stderr, "audit record 2 is not what was recorded") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// TestAuditCLI asks for the events of a morning with the AWS CLI: testdata/audit.sh.
func TestAuditCLI(t *testing.T) {
	s, dir := awsScript(t, "audit", "")
	type list struct {
		Events []struct {
			EventName, ReadOnly, Username, CloudTrailEvent string
			Resources                                      []struct{ ResourceType, ResourceName string }
		}
	}
	for _, c := range []struct {
		file string
		want string // names of the events
	}{
		{"changes.json", "TagResource CreateInferenceProfile"},
		{"resource.json", "TagResource CreateInferenceProfile"},
		{"paged.json", "ListInferenceProfiles ListInferenceProfiles TagResource"},
		{"elsewhere.json", ""},
	} {
		var names []string
		for _, e := range decode[list](t, dir, c.file).Events {
			names = append(names, e.EventName)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s has %q, want %q", c.file, got, c.want)
		}
	}
	created := decode[list](t, dir, "changes.json").Events[1]
	var whole auditEvent
	if err := json.Unmarshal([]byte(created.CloudTrailEvent), &whole); err != nil {
		t.Fatal(err)
	}
	if created.Username != "root" || whole.UserIdentity.Type != "Root" || whole.RequestParameters["inferenceProfileName"] != "watched" ||
		whole.RequestParameters["description"] != "HIDDEN_DUE_TO_SECURITY_REASONS" || whole.ResponseElements["status"] != "ACTIVE" || strings.Contains(created.CloudTrailEvent, "quarterly") {
		t.Errorf("%+v", created)
	}
	if tag := decode[auditEvent](t, dir, "tag.json"); tag.EventName != "TagResource" || tag.RequestParameters["tags"] == nil {
		t.Errorf("%+v", tag)
	}
	refused := 0
	for _, e := range s.exported("--since", "24h") {
		if e.ErrorCode == "InvalidSignatureException" && e.UserIdentity.Type == "Unknown" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d events of the wrong secret", refused)
	}
	if got := s.exported("--until", "2020-01-01"); len(got) != 0 {
		t.Errorf("%d events before 2020", len(got))
	}
	if most, err := os.ReadFile(filepath.Join(dir, "most.txt")); err != nil || !bytes.Contains(most, []byte("InvalidMaxResultsException")) {
		t.Errorf("%v: %s", err, most)
	}
}

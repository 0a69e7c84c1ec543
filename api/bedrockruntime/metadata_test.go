package bedrockruntime_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"outcrop/converse"
	"outcrop/ledger"
	"outcrop/upstream"
)

// witness is an upstream that remembers what it was asked.
type witness struct {
	instant
	asked *upstream.Request
}

func (w *witness) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	w.asked = r
	return w.instant.Send(ctx, r)
}

// patient is a ResponseRecorder whose reads have deadlines, as a connection's.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error { return nil }

// metadataRig sends requests of the account's root, one after the other.
type metadataRig struct {
	*rig
	*witness
}

func newMetadataRig(t *testing.T) *metadataRig {
	w := &witness{}
	return &metadataRig{newRig(t, w, nil), w}
}

func (m *metadataRig) send(r *http.Request, body string) *httptest.ResponseRecorder {
	m.asked = nil
	r.Body = io.NopCloser(strings.NewReader(body))
	w := patient{httptest.NewRecorder()}
	m.ServeHTTP(w, r)
	return w.ResponseRecorder
}

// calls are the entries of the ledger by operation.
func (m *metadataRig) calls(t *testing.T) map[string]ledger.Entry {
	t.Helper()
	if err := m.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := map[string]ledger.Entry{}
	for e, err := range m.store.Calls(t.Context(), "", time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		calls[e.Operation] = *e
	}
	return calls
}

const (
	messagesBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"messages":[{"role":"user","content":"Say hello in one word."}]}`
	converseBody = `{"messages":[{"role":"user","content":[{"text":"Say hello in one word."}]}]%s}`
	haikuPath    = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/"
)

// TestMetadata: what a caller says of a call, in each operation's own way, is in the ledger and goes on to the upstream.
func TestMetadata(t *testing.T) {
	m := newMetadataRig(t)
	// The header is the one in AWS's guide, cost-mgmt-request-metadata.
	header := `{"team": "orchestrator", "environment": "preview-test", "test_case": "invoke_model_sync", "none": ""}`
	said := map[string]string{"team": "orchestrator", "environment": "preview-test", "test_case": "invoke_model_sync", "none": ""}
	sorted := []ledger.Tag{{Key: "environment", Value: "preview-test"}, {Key: "none", Value: ""}, {Key: "team", Value: "orchestrator"}, {Key: "test_case", Value: "invoke_model_sync"}}
	inBody := fmt.Sprintf(converseBody, `,"requestMetadata":`+header)
	for _, c := range []struct{ operation, path, header, body string }{
		{"InvokeModel", "invoke", header, messagesBody},
		{"InvokeModelWithResponseStream", "invoke-with-response-stream", header, messagesBody},
		{"Converse", "converse", "", inBody},
		{"ConverseStream", "converse-stream", "", inBody},
	} {
		w := m.send(signed(t, rootKey, secret, haikuPath+c.path, c.body, c.header), c.body)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.operation, w.Code, w.Body)
		}
		if h := w.Header(); h.Get("X-Outcrop-Served-Region") != "us-east-1" || h.Get("X-Outcrop-Upstream") != "a" || h.Get("X-Outcrop-Attempts") != "1" {
			t.Errorf("%s: headers %v", c.operation, h)
		}
		if got := m.calls(t)[c.operation].Metadata; !reflect.DeepEqual(got, sorted) {
			t.Errorf("%s: the ledger has %v", c.operation, got)
		}
		if n := m.asked.Native; c.header != "" && n.Header["X-Amzn-Bedrock-Request-Metadata"] != c.header {
			t.Errorf("%s: the upstream is given the headers %v", c.operation, n.Header)
		}
		if got := m.asked.Body.RequestMetadata; !maps.Equal(got, said) {
			t.Errorf("%s: the upstream is given %v", c.operation, got)
		}
	}
}

func TestNoMetadata(t *testing.T) {
	m := newMetadataRig(t)
	for operation, path := range map[string]string{"InvokeModel": "invoke", "InvokeModelWithResponseStream": "invoke-with-response-stream"} {
		if w := m.send(signed(t, rootKey, secret, haikuPath+path, messagesBody, ""), messagesBody); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", operation, w.Code, w.Body)
		}
		e, ok := m.calls(t)[operation]
		if _, sent := m.asked.Native.Header["X-Amzn-Bedrock-Request-Metadata"]; !ok || e.Metadata != nil || sent || m.asked.Body.RequestMetadata != nil {
			t.Errorf("%s: metadata %v, to the upstream %v", operation, e.Metadata, m.asked.Native.Header)
		}
	}
}

// TestMetadataRefused: the limits are those of shape RequestMetadata in the service model (botocore bedrock-runtime
// 2023-09-30), whichever way metadata comes.
func TestMetadataRefused(t *testing.T) {
	m := newMetadataRig(t)
	pairs := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"k%d":"v"`, i))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	for name, c := range map[string]struct {
		value  string
		ok     bool
		header bool // in a body it would be allowed, or the protocol's to refuse
	}{
		"every character that is allowed": {value: `{"aZ09 :_@$#=/+,-.":"aZ09 :_@$#=/+,-.\t\n"}`, ok: true},
		"16 pairs":                        {value: pairs(16), ok: true},
		"17 pairs":                        {value: pairs(17)},
		"no pairs":                        {value: `{}`},
		"empty key":                       {value: `{"":"v"}`},
		"a key of 256":                    {value: `{"` + strings.Repeat("k", 256) + `":""}`, ok: true},
		"a key of 257":                    {value: `{"` + strings.Repeat("k", 257) + `":""}`},
		"a value of 256":                  {value: `{"k":"` + strings.Repeat("v", 256) + `"}`, ok: true},
		"a value of 257":                  {value: `{"k":"` + strings.Repeat("v", 257) + `"}`},
		"a character in a key":            {value: `{"k!":"v"}`},
		"a character in a value":          {value: `{"k":"a;b"}`},
		"a letter of another alphabet":    {value: `{"k":"\u00e9"}`},
		"a number":                        {value: `{"k":1}`, header: true},
		"a null":                          {value: `{"k":null}`, header: true},
		"a list":                          {value: `["k"]`, header: true},
		"a string":                        {value: `"k"`, header: true},
		"nothing":                         {value: `null`, header: true},
		"a key twice":                     {value: `{"k":"a","k":"b"}`, header: true},
		"no JSON":                         {value: `project=demo`, header: true},
		"more than JSON":                  {value: `{"k":"v"} {}`, header: true},
		"a header of 9,000 characters":    {value: strings.ReplaceAll(pairs(6), "v", strings.Repeat(`\u0076`, 250)), header: true},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(r *http.Request, body string) {
				t.Helper()
				w := m.send(r, body)
				switch {
				case c.ok && w.Code != http.StatusOK:
					t.Errorf("%d %s", w.Code, w.Body)
				case !c.ok && (w.Code != http.StatusBadRequest || !strings.HasPrefix(w.Header().Get("X-Amzn-Errortype"), "ValidationException") || !strings.Contains(w.Body.String(), "'requestMetadata'")):
					t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
				case !c.ok && m.asked != nil:
					t.Error("the upstream was asked")
				}
			}
			check(signed(t, rootKey, secret, haikuPath+"invoke", messagesBody, c.value), messagesBody)
			check(signed(t, rootKey, secret, haikuPath+"invoke-with-response-stream", messagesBody, c.value), messagesBody)
			if !c.header {
				body := fmt.Sprintf(converseBody, `,"requestMetadata":`+c.value)
				check(signed(t, rootKey, secret, haikuPath+"converse", body, ""), body)
			}
		})
	}
}

// TestMetadataUnsigned: "must be included in SignedHeaders" says AWS's guide. Who only forwards a request cannot say
// whose it is.
func TestMetadataUnsigned(t *testing.T) {
	m := newMetadataRig(t)
	r := signed(t, rootKey, secret, haikuPath+"invoke", messagesBody, "")
	r.Header.Set("X-Amzn-Bedrock-Request-Metadata", `{"team":"x"}`)
	if w := m.send(r, messagesBody); w.Code != http.StatusForbidden || !strings.HasPrefix(w.Header().Get("X-Amzn-Errortype"), "InvalidSignatureException") || m.asked != nil {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

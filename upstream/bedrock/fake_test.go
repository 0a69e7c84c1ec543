package bedrock

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-json-experiment/json"

	"outcrop/converse"
	"outcrop/upstream/upstreamtest"
)

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	nova       = "amazon.nova-micro-v1:0"
)

// service is an Amazon Bedrock that is not there. It refuses what AWS would: a wrong signature, a path or a body that is
// not in the service model.
type service struct {
	behaviour upstreamtest.Behaviour
	answer    http.HandlerFunc // in the place of behaviour, after the signature is verified
}

// open starts s and returns its provider.
func open(t testing.TB, s *service, change func(*Config)) *Provider {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c := Config{Name: "aws", Endpoint: server.URL, Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, "")}
	if change != nil {
		change(&c)
	}
	p, err := New(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func refuse(w http.ResponseWriter, status int, name, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", "63dfbcb2-3536-4906-b10d-e5b126b3c0ae")
	w.Header().Set("X-Amzn-Errortype", name+":http://internal.amazon.com/coral/com.amazon.bedrock/")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q}`, message)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		if err := verify(r, body, testSecret); err != nil {
			refuse(w, 403, "InvalidSignatureException", err.Error())
			return
		}
	}
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	stream := strings.HasSuffix(r.URL.Path, "/converse-stream")
	if !stream && !strings.HasSuffix(r.URL.Path, "/converse") {
		refuse(w, 404, "UnknownOperationException", "")
		return
	}
	// The members are those of the service model; more of them are refused as AWS ignores them.
	var q struct {
		Messages        []message         `json:"messages"`
		System          []map[string]any  `json:"system"`
		InferenceConfig map[string]any    `json:"inferenceConfig"`
		RequestMetadata map[string]string `json:"requestMetadata"`
		ToolConfig      *struct {
			Tools []struct {
				ToolSpec struct {
					Name        string                    `json:"name"`
					Description string                    `json:"description"`
					InputSchema map[string]map[string]any `json:"inputSchema"`
				} `json:"toolSpec"`
			} `json:"tools"`
			ToolChoice map[string]map[string]string `json:"toolChoice"`
		} `json:"toolConfig"`
	}
	if err := json.Unmarshal(body, &q, json.RejectUnknownMembers(true)); err != nil || len(q.Messages) == 0 {
		refuse(w, 400, "ValidationException", fmt.Sprint("malformed: ", err))
		return
	}
	if s.behaviour.Refuses(w, func(status int) {
		if status == http.StatusTooManyRequests {
			refuse(w, status, "ThrottlingException", "Too many tokens per day, please wait before trying again.")
		} else {
			refuse(w, status, "InternalServerException", "The system encountered an unexpected error during processing. Try your request again.")
		}
	}) {
		return
	}
	pieces, tool := s.behaviour.Pieces(), ""
	if q.ToolConfig != nil {
		if _, ok := q.ToolConfig.ToolChoice["any"]; ok {
			tool = q.ToolConfig.Tools[0].ToolSpec.Name
		}
		if c, ok := q.ToolConfig.ToolChoice["tool"]; ok {
			tool = c["name"]
		}
	}
	if tool != "" {
		pieces = []string{`{"city"`, `: "`, `Paris`, `"}`}
	}
	if stream {
		s.stream(r.Context(), w, pieces, tool)
	} else {
		s.whole(r.Context(), w, pieces, tool)
	}
}

type message struct {
	Role    string           `json:"role"`
	Content []map[string]any `json:"content"`
}

// whole answers as the recorded Converse of opentelemetry-python-contrib's test_converse_with_content does.
func (s *service) whole(ctx context.Context, w http.ResponseWriter, pieces []string, tool string) {
	block, stop := map[string]any{"text": strings.Join(pieces, "")}, "end_turn"
	if tool != "" {
		var input any
		_ = json.Unmarshal([]byte(strings.Join(pieces, "")), &input)
		block, stop = map[string]any{"toolUse": map[string]any{"name": tool, "toolUseId": "tooluse_JZ11QcxSQ3m3xacMQKVIKw", "input": input}}, "tool_use"
	}
	b, _ := json.Marshal(map[string]any{
		"metrics": map[string]int{"latencyMs": 811}, "stopReason": stop,
		"output": map[string]any{"message": map[string]any{"role": "assistant", "content": []any{block}}},
		"usage":  map[string]int{"inputTokens": 8, "outputTokens": 10, "totalTokens": 18},
	})
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	s.behaviour.Whole(ctx, w, string(b))
}

// stream answers as the recorded ConverseStreams do.
func (s *service) stream(ctx context.Context, w http.ResponseWriter, pieces []string, tool string) {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	send := func(name, payload string) {
		_, _ = w.Write(encode("event", ":event-type", name, payload))
		_ = http.NewResponseController(w).Flush()
	}
	send("messageStart", `{"p":"abcdefghijklmn","role":"assistant"}`)
	if tool != "" {
		send("contentBlockStart", fmt.Sprintf(`{"contentBlockIndex":0,"p":"abcdefgh","start":{"toolUse":{"name":%q,"toolUseId":"tooluse_JZ11QcxSQ3m3xacMQKVIKw"}}}`, tool))
	}
	for i, piece := range pieces {
		if s.behaviour.Ends(ctx, w, i) {
			return
		}
		delta := fmt.Sprintf(`{"text":%q}`, piece)
		if tool != "" {
			delta = fmt.Sprintf(`{"toolUse":{"input":%q}}`, piece)
		}
		send("contentBlockDelta", `{"contentBlockIndex":0,"delta":`+delta+`,"p":"abcde"}`)
	}
	send("contentBlockStop", `{"contentBlockIndex":0,"p":"abcdefghijk"}`)
	stop := "end_turn"
	if tool != "" {
		stop = "tool_use"
	}
	send("messageStop", fmt.Sprintf(`{"p":"abcd","stopReason":%q}`, stop))
	send("metadata", `{"metrics":{"latencyMs":625},"p":"abcdefghijklmnopqrst","usage":{"inputTokens":8,"outputTokens":10,"totalTokens":18}}`)
}

// encode makes a frame with the AWS SDK's encoder.
func encode(kind, nameHeader, name, payload string) []byte {
	var m eventstream.Message
	m.Headers.Set(nameHeader, eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Payload = []byte(payload)
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// verify checks a signature from the text of AWS's specification alone.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func verify(r *http.Request, body []byte, secret string) error {
	fields := map[string]string{}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for part := range strings.SplitSeq(rest, ", ") {
		k, v, _ := strings.Cut(part, "=")
		fields[k] = v
	}
	scope := strings.Split(fields["Credential"], "/")
	signed := strings.Split(fields["SignedHeaders"], ";")
	date := r.Header.Get("X-Amz-Date")
	if scheme != "AWS4-HMAC-SHA256" || len(scope) != 5 || scope[3] != "bedrock" || scope[4] != "aws4_request" || len(date) < 8 || scope[1] != date[:8] {
		return fmt.Errorf("malformed: %q", r.Header.Get("Authorization"))
	}
	must := []string{"host", "x-amz-date"}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz") || n == "content-type" {
			must = append(must, n)
		}
	}
	for _, name := range must {
		if !slices.Contains(signed, name) {
			return fmt.Errorf("%s is not signed", name)
		}
	}
	if !slices.IsSorted(signed) {
		return errors.New("the signed headers are not sorted")
	}
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	// Every service but S3 encodes the path again.
	c := "POST\n" + strings.ReplaceAll(r.URL.EscapedPath(), "%", "%25") + "\n\n"
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(len(body))
		}
		c += name + ":" + strings.TrimSpace(value) + "\n"
	}
	c += "\n" + fields["SignedHeaders"] + "\n" + sum(body)
	mac := []byte("AWS4" + secret)
	for _, part := range append(scope[1:], "AWS4-HMAC-SHA256\n"+date+"\n"+strings.Join(scope[1:], "/")+"\n"+sum([]byte(c))) {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(part))
		mac = h.Sum(nil)
	}
	if got := hex.EncodeToString(mac); got != fields["Signature"] {
		return fmt.Errorf("the signature is not that of\n%s", c)
	}
	return nil
}

// read ranges over what came of a Send, with copies of what is valid for a moment.
func read(s converse.Stream, err error) ([]converse.Event, error) {
	if err != nil {
		return nil, err
	}
	var es []converse.Event
	for e, err := range s {
		if err != nil {
			return es, err
		}
		e.Native = bytes.Clone(e.Native)
		es = append(es, e)
	}
	return es, nil
}

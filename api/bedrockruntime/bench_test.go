package bedrockruntime_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"outcrop/api/bedrockruntime"
	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/store"
	"outcrop/upstream"
	"outcrop/wire"
)

const (
	account = "000000000000"
	haiku   = "anthropic.claude-3-haiku-20240307-v1:0"
	rootKey = "AKIDEXAMPLE"
	secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// instant is an upstream that costs nothing.
type instant struct{}

func (instant) Send(context.Context, *upstream.Request) (converse.Stream, error) { return answer, nil }
func (instant) Close() error                                                     { return nil }

func answer(yield func(converse.Event, error) bool) {
	_ = yield(converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant}, nil) &&
		yield(converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "The team agreed to move the batch jobs first."}, nil) &&
		yield(converse.Event{Kind: converse.BlockStop}, nil) &&
		yield(converse.Event{Kind: converse.MessageStop, StopReason: converse.StopEndTurn}, nil) &&
		yield(converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 230, OutputTokens: 100}}, nil)
}

// nowhere is an index that forgets.
type nowhere struct{}

func (nowhere) Position(context.Context, string, string) (ledger.Position, error) { return 0, nil }
func (nowhere) Apply(context.Context, *ledger.Batch) error                        { return nil }

// rig is the service on a real directory, ledger, store and catalog, with a user alice.
type rig struct {
	*wire.Server
	alice  iam.Credentials
	ledger *ledger.Ledger
	store  *store.Store
}

const alicePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":["us-east-1","us-west-2"]}}}]}`

// newRig makes a rig whose upstream is p. A nil index is the store.
func newRig(b testing.TB, p upstream.Provider, index ledger.Index) *rig {
	ctx, dir := b.Context(), b.TempDir()
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	st, err := store.Open(ctx, filepath.Join(dir, "outcrop.db"))
	must(err)
	if index == nil {
		index = st
	}
	sealer, err := iam.OpenSealer(filepath.Join(dir, "key"), true)
	must(err)
	d, err := iam.Open(ctx, iam.Config{Store: st, Sealer: sealer})
	must(err)
	must(d.EnsureRoot(ctx, account, rootKey, secret))
	_, err = d.CreateUser(ctx, account, "alice")
	must(err)
	must(d.PutUserPolicy(ctx, account, "alice", "p", []byte(alicePolicy)))
	alice, err := d.CreateAccessKey(ctx, account, "alice")
	must(err)
	cat, err := catalog.Load()
	must(err)
	rater := cost.NewRater(cat)
	l, err := ledger.New(ctx, ledger.Config{Dir: filepath.Join(dir, "journal"), Index: index, Recover: invoke.Recovered(cat, rater)})
	must(err)
	b.Cleanup(func() {
		if err := errors.Join(l.Close(context.Background()), st.Close()); err != nil {
			b.Error(err)
		}
	})
	profiles, err := profile.Open(ctx, profile.Config{Store: st.Profiles(), Catalog: cat})
	must(err)
	guard := iam.NewGuard(iam.GuardConfig{})
	s, err := wire.NewServer(wire.Config{
		Services: []*wire.Service{bedrockruntime.New(invoke.New(invoke.Config{
			Profiles: profiles, Guard: guard, Ledger: l, Rater: rater, Upstreams: []*upstream.Upstream{{Name: "a", Provider: p}}, Clock: time.Now,
		}))},
		Authenticator: d.Authenticator(), Guard: guard, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	must(err)
	return &rig{s, alice, l, st}
}

// signed is a request as AWS's SDKs send it, without its body. metadata is the header of request metadata, "" for none.
func signed(b testing.TB, id, key, path, body, metadata string) *http.Request {
	if metadata == "" {
		return signedWith(b, id, key, path, body, nil)
	}
	return signedWith(b, id, key, path, body, map[string]string{"x-amzn-bedrock-request-metadata": metadata})
}

// signedWith is signed with headers of Bedrock's, by their names in small letters.
func signedWith(b testing.TB, id, key, path, body string, headers map[string]string) *http.Request {
	now := time.Now().UTC().Format("20060102T150405Z")
	hash := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	r := &http.Request{
		Method: "POST", RequestURI: path, Host: "127.0.0.1:4141", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:50000", ContentLength: int64(len(body)),
		Header: http.Header{
			"Accept-Encoding": {"identity"}, "User-Agent": {"Boto3/1.40"}, "Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))}, "X-Amz-Date": {now},
			"Amz-Sdk-Invocation-Id": {"6f1c2d1e-6a5b-4c3d-9e8f-0a1b2c3d4e5f"}, "Amz-Sdk-Request": {"attempt=1; max=3"},
		},
	}
	var err error
	if r.URL, err = url.ParseRequestURI(path); err != nil {
		b.Fatal(err)
	}
	names := "amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date"
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		names += ";" + name
		r.Header.Set(name, headers[name])
	}
	canonical := "POST\n" + strings.ReplaceAll(path, "%", "%25") + "\n\n"
	for name := range strings.SplitSeq(names, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + value + "\n"
	}
	scope := now[:8] + "/us-east-1/bedrock/aws4_request"
	mac := []byte("AWS4" + key)
	for _, part := range []string{now[:8], "us-east-1", "bedrock", "aws4_request", "AWS4-HMAC-SHA256\n" + now + "\n" + scope + "\n" + hash(canonical+"\n"+names+"\n"+hash(body))} {
		m := hmac.New(sha256.New, mac)
		m.Write([]byte(part))
		mac = m.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+id+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(mac))
	return r
}

// sink is a ResponseWriter that keeps the status only.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Flush()                      {}

func (s *sink) SetReadDeadline(time.Time) error { return nil }

// BenchmarkConverse is one call through everything but HTTP and an upstream: signature, decoding, validation, policy,
// both records of the ledger, the answer. The wait for the disk is in the time; TMPDIR=/dev/shm takes it out.
func BenchmarkConverse(b *testing.B) {
	const prompt = `Here are the notes of Tuesday's \"platform\" meeting. Write a summary for people who were not there:\nwhat was decided, who does what until when, and which questions stayed open. Keep names as they are.\n`
	plain := fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":"%s"}]}],"inferenceConfig":{"maxTokens":256,"temperature":0.2}}`, strings.Repeat(prompt, 5))
	tools := fmt.Sprintf(`{"system":[{"text":"%[1]s"}],"messages":[{"role":"user","content":[{"text":"%[1]s"}]},{"role":"assistant","content":[{"text":"%[1]s"},{"toolUse":{"toolUseId":"tooluse_1","name":"get_weather","input":{"city":"Paris"}}}]},`+
		`{"role":"user","content":[{"toolResult":{"toolUseId":"tooluse_1","content":[{"text":"%[1]s"}],"status":"success"}}]}],"inferenceConfig":{"maxTokens":512,"temperature":0.5,"topP":0.9,"stopSequences":["END"]},`+
		`"toolConfig":{"tools":[{"toolSpec":{"name":"get_weather","description":"%[1]s","inputSchema":{"json":{"type":"object","properties":{"city":{"type":"string"}}}}}}]}}`, prompt)
	s := newRig(b, instant{}, nowhere{})
	for _, c := range []struct{ name, id, secret, model, body string }{
		{"root", rootKey, secret, haiku, plain},
		{"root tools", rootKey, secret, haiku, tools},
		{"user conditions profile", s.alice.ID, s.alice.Secret, "us." + haiku, plain},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := "/model/" + strings.ReplaceAll(c.model, ":", "%3A") + "/converse"
			r, w, body := signed(b, c.id, c.secret, path, c.body, ""), &sink{header: http.Header{}}, strings.NewReader("")
			r.Body = io.NopCloser(body)
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(c.body)
				clear(w.header)
				if s.ServeHTTP(w, r); w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

package bedrockruntime_test

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
)

// scripted answers with its events.
type scripted struct {
	instant
	events []converse.Event
	pulled func(i int) // after the event i has been taken
	err    error       // what follows the events
}

func (s *scripted) Send(context.Context, *upstream.Request) (converse.Stream, error) {
	return func(yield func(converse.Event, error) bool) {
		for i, e := range s.events {
			if !yield(e, nil) {
				return
			}
			if s.pulled != nil {
				s.pulled(i)
			}
		}
		if s.err != nil {
			yield(converse.Event{}, s.err)
		}
	}, nil
}

// TestNothingIsHeldBack: when no other event is ready, the chunks of all before are on their way. A ping of Anthropic's makes
// no chunk, and a content_block_stop none of Titan's.
func TestNothingIsHeldBack(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string
		events     []converse.Event
	}{
		"passed on": {haikuPath, messagesBody, []converse.Event{
			{Kind: converse.Chunk, Native: []byte(`{"type":"message_start"}`), Name: "message_start"},
			{Kind: converse.Chunk, Native: []byte(`{"type":"content_block_delta"}`), Name: "content_block_delta", More: true},
			{Kind: converse.Chunk, Native: []byte(`{"type":"ping"}`), Name: "ping"},
			{Kind: converse.Metadata, Native: []byte(`{"type":"message_stop"}`), Name: "message_stop"},
		}},
		"translated": {"/model/amazon.titan-text-express-v1/", `{"inputText":"Say hello in one word."}`, []converse.Event{
			{Kind: converse.MessageStart, Role: converse.RoleAssistant},
			{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hello", More: true},
			{Kind: converse.BlockStop},
			{Kind: converse.MessageStop, StopReason: converse.StopEndTurn}, {Kind: converse.Metadata},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := patient{httptest.NewRecorder()}
			before := 0
			up := &scripted{events: c.events, pulled: func(i int) {
				switch i {
				case 0:
					before = w.Body.Len()
				case 2:
					if w.Body.Len() == before {
						t.Error("the chunk is held back")
					}
				}
			}}
			r := newRig(t, up, nil)
			q := signed(t, rootKey, secret, c.path+"invoke-with-response-stream", c.body, "")
			q.Body = io.NopCloser(strings.NewReader(c.body))
			r.ServeHTTP(w, q)
			if w.Code != 200 || strings.Count(w.Body.String(), ":event-type") < 2 {
				t.Errorf("%d %q", w.Code, w.Body)
			}
		})
	}
}

// TestErrorsInStreams: whatever ends a stream that has begun is an exception that the stream has a member for, with its
// message: SDKs show nothing of another. The members are those of botocore's bedrock-runtime 2023-09-30.
func TestErrorsInStreams(t *testing.T) {
	up := &scripted{events: []converse.Event{
		{Kind: converse.MessageStart, Role: converse.RoleAssistant},
		{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hello"},
	}}
	r := newRig(t, up, nil)
	both := []string{"internalServerException", "modelStreamErrorException", "validationException", "throttlingException", "serviceUnavailableException"}
	for _, c := range []struct {
		name, path, body string
		members          []string
	}{
		{"ConverseStream", haikuPath + "converse-stream", `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`, both},
		{"InvokeModelWithResponseStream", haikuPath + "invoke-with-response-stream", messagesBody, append([]string{"modelTimeoutException"}, both...)},
	} {
		for _, k := range fault.Kinds() {
			up.err = fault.New(k, "It is the kind.")
			w := patient{httptest.NewRecorder()}
			q := signed(t, rootKey, secret, c.path, c.body, "")
			q.Body = io.NopCloser(strings.NewReader(c.body))
			r.ServeHTTP(w, q)
			var last eventstream.Message
			for in, d := bytes.NewReader(w.Body.Bytes()), eventstream.NewDecoder(); in.Len() > 0; {
				var err error
				if last, err = d.Decode(in, nil); err != nil {
					t.Fatalf("%s, %v: %v in %d %q", c.name, k, err, w.Code, w.Body)
				}
			}
			name := last.Headers.Get(":exception-type")
			if name == nil || !slices.Contains(c.members, name.String()) {
				t.Errorf("%s, %v: the stream ends in %v %s", c.name, k, last.Headers, last.Payload)
				continue
			}
			if name.String() != "internalServerException" && !strings.Contains(string(last.Payload), "It is the kind.") {
				t.Errorf("%s, %v: %v says %s", c.name, k, name, last.Payload)
			}
			if k == fault.ModelTimeout && slices.Contains(c.members, "modelTimeoutException") && name.String() != "modelTimeoutException" {
				t.Errorf("%s, %v: %v", c.name, k, name)
			}
		}
	}
}

package bedrockruntime_test

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/upstream"
)

// scripted answers with its events.
type scripted struct {
	instant
	events []converse.Event
	pulled func(i int) // after the event i has been taken
}

func (s *scripted) Send(context.Context, *upstream.Request) (converse.Stream, error) {
	return func(yield func(converse.Event, error) bool) {
		for i, e := range s.events {
			if !yield(e, nil) {
				return
			}
			s.pulled(i)
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

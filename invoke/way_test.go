package invoke

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/fault"
	"outcrop/profile"
	"outcrop/routing"
	"outcrop/upstream"
)

// TestProvider: whatever a bug makes a candidate, nothing is asked outside the route's destinations, and the log says so.
func TestProvider(t *testing.T) {
	var log bytes.Buffer
	table := routing.New(routing.Defaults, time.Now())
	v := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Clock: time.Now, Routing: table})
	route := &profile.Route{Model: &catalog.Model{ID: "m"}, ARN: "arn:the-profile", Targets: []profile.Target{{Region: "us-east-1", ModelID: "m"}, {Region: "us-west-2", ModelID: "m"}}}
	for _, c := range []struct {
		region, model string
		ok            bool
	}{{"us-east-1", "m", true}, {"us-west-2", "m", true}, {"eu-west-1", "m", false}, {"", "m", false}, {"us-east-1", "another", false}} {
		log.Reset()
		_, err := v.provider(route, &candidate{
			Upstream: &upstream.Upstream{Name: "u"}, region: c.region, target: table.Target(routing.Name{Upstream: "u", Model: c.model}),
		}, "the-id")
		if c.ok != (err == nil) || !c.ok && (!fault.Is(err, fault.Internal) || !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "the-id")) {
			t.Errorf("%s in %q: %v, log %q", c.model, c.region, err, &log)
		}
	}
}

// TestWays: what is remembered of routes has a bound, and is renewed.
func TestWays(t *testing.T) {
	now := time.Now()
	v := New(Config{Clock: time.Now})
	route := &profile.Route{Model: &catalog.Model{ID: "m"}}
	w := v.way(route, now)
	if v.way(route, now.Add(renewed-1)) != w || v.way(route, now.Add(renewed)) == w {
		t.Error("a way stands for an hour")
	}
	for range 3 * maxWays {
		v.way(&profile.Route{Model: route.Model}, now)
	}
	n := 0
	v.ways.byRoute.Range(func(any, any) bool { n++; return true })
	if n > maxWays {
		t.Errorf("%d ways are remembered", n)
	}
}

// TestKey: what begins alike has one key, through one profile, however it goes on.
func TestKey(t *testing.T) {
	text := func(s string) converse.ContentBlock { return converse.ContentBlock{Text: &s} }
	key := func(policy, arn, system string, turns ...string) routing.Key {
		p, err := routing.ParsePolicy(policy)
		if err != nil {
			t.Fatal(err)
		}
		b := &converse.Request{}
		if system != "" {
			b.System = []converse.SystemBlock{{Text: &system}}
		}
		for _, s := range turns {
			b.Messages = append(b.Messages, converse.Message{Role: converse.RoleUser, Content: []converse.ContentBlock{text(s)}})
		}
		r := &run{call: &Call{Body: b}, route: &profile.Route{ARN: arn}, way: &way{set: routing.NewSet(p, nil)}}
		return r.key()
	}
	one := key("weighted", "arn", "You are helpful.", "hello")
	if one == 0 || one != key("default", "arn", "You are helpful.", "hello", "hi", "and then?") {
		t.Error("the turns of a conversation go apart")
	}
	for name, other := range map[string]routing.Key{
		"profile":       key("weighted", "another", "You are helpful.", "hello"),
		"system prompt": key("weighted", "arn", "You are not.", "hello"),
		"none":          key("weighted", "arn", "", "hello"),
		"first message": key("weighted", "arn", "You are helpful.", "hi"),
	} {
		if other == 0 || other == one {
			t.Errorf("another %s has the same key", name)
		}
	}
	for _, policy := range []string{"latency", "weighted affinity=off"} {
		if key(policy, "arn", "You are helpful.", "hello") != 0 {
			t.Errorf("%s has a key", policy)
		}
	}
}

package profile_test

import (
	"context"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/profile"
	"outcrop/routing"
)

// TestRoutingTag: the tag is read when it is set, and is the route's policy until it is taken away.
func TestRoutingTag(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	create := func(tags ...profile.Tag) (*profile.Profile, error) {
		return w.Create(ctx, account, "us-east-1", profile.CreateRequest{
			Name: "n", Source: "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0", Tags: tags,
		})
	}
	tag := func(value string) profile.Tag { return profile.Tag{Key: "outcrop:routing", Value: value} }
	policy := func(p *profile.Profile) *routing.Policy {
		t.Helper()
		r, err := w.Resolve(account, "us-east-1", p.ID)
		if err != nil {
			t.Fatal(err)
		}
		return r.Policy
	}
	p, err := create(tag("priority us-west-2 us-east-1 hedge=p95"))
	if err != nil {
		t.Fatal(err)
	}
	if got := policy(p); got == nil || got.String() != "priority us-west-2 us-east-1 hedge=p95" {
		t.Errorf("policy %v", got)
	}
	for _, bad := range []struct {
		tag   profile.Tag
		words []string
	}{
		{tag("fastest"), []string{"outcrop:routing", `"fastest" is none of default`}},
		{tag(""), []string{"it is empty"}},
		{tag("weighted us-east-1=3 eu-west-1=1"), []string{"eu-west-1, which is no destination", "us-east-1, us-west-2"}},
		{profile.Tag{Key: "outcrop:colour", Value: "red"}, []string{"outcrop:colour", "are reserved"}},
		{profile.Tag{Key: "Outcrop:Routing", Value: "default"}, []string{"Outcrop:Routing", "are reserved"}},
	} {
		_, err := create(bad.tag)
		wantFault(t, err, fault.Validation, bad.words...)
		wantFault(t, w.Tag(ctx, account, "us-east-1", p.ARN, []profile.Tag{bad.tag}), fault.Validation, bad.words...)
	}
	if got := policy(p); got == nil || got.Mode != routing.Priority {
		t.Errorf("a tag that was refused has changed the policy to %v", got)
	}
	if err := w.Tag(ctx, account, "us-east-1", p.ARN, []profile.Tag{tag("latency")}); err != nil || policy(p).Mode != routing.Latency {
		t.Errorf("%v, %v", policy(p), err)
	}
	if err := w.Untag(ctx, account, "us-east-1", p.ARN, []string{"outcrop:routing"}); err != nil || policy(p) != nil {
		t.Errorf("%v, %v", policy(p), err)
	}
	// A profile on a model of its own Region has that one destination.
	alone, err := w.Create(ctx, account, tokyo, profile.CreateRequest{Name: "n", Source: haikuTokyo, Tags: []profile.Tag{tag("cost")}})
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, w.Tag(ctx, account, tokyo, alone.ARN, []profile.Tag{tag("priority us-east-1")}), fault.Validation, "Its destinations are "+tokyo)
}

// TestRoutingTagUnread: a tag that this release cannot read, as another may have written it, is the default.
func TestRoutingTagUnread(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	p := w.create(t, profile.CreateRequest{Name: "n"})
	if _, _, err := w.store.Profiles().EditTags(ctx, account, tokyo, p.ID, time.Now(), func([]profile.Tag) ([]profile.Tag, error) {
		return []profile.Tag{{Key: "outcrop:routing", Value: "clairvoyant"}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if r, err := w.Resolve(account, tokyo, p.ID); err != nil || r.Policy != nil || len(r.Profile.Tags) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

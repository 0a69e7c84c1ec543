package cost

import (
	"context"
	"strings"
	"time"

	"outcrop/ledger"
)

// Costs are allocated by tags. Besides the tags of profiles, which have the keys that they were given, these are read as
// tags: a tag's key is the one name in Cost Explorer's API that its owner chooses, so that clients know nothing of ours.
const (
	// PrincipalTagPrefix begins the key of a tag of who called: a user's, a role's or a session's. It is AWS's.
	// Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/cost-allocation-tags.html
	PrincipalTagPrefix = "iamPrincipal/"

	// MetadataPrefix begins the key of what callers say of their calls (requestMetadata).
	MetadataPrefix = "requestMetadata/"

	// Keys that every charge has.
	PrincipalKey   = "outcrop:principal"   // the caller's ARN
	SessionNameKey = "outcrop:sessionName" // of a role's session; none of others
	ModelKey       = "outcrop:model"       // the foundation model's id
	ProfileNameKey = "outcrop:profileName" // the profile's name as of its newest call, the model's id without one
)

// OwnKeys are the keys of tags that nobody has given.
var OwnKeys = []string{ModelKey, PrincipalKey, ProfileNameKey, SessionNameKey}

// OtherValue is the value of metadata of which there is more than counts in the rollups.
const OtherValue = "(other)"

// OfCaller reports whether the tag key is of who called or of what they said: only a Query with Split tells rows apart by it.
func OfCaller(key string) bool {
	return key == PrincipalKey || key == SessionNameKey || strings.HasPrefix(key, PrincipalTagPrefix) || strings.HasPrefix(key, MetadataPrefix)
}

// Tagging is how an account sees the tags of what was charged. The zero value is every tag, as of the calls.
type Tagging struct {
	Inactive map[string]bool         // keys that are not to be seen
	Profiles map[string][]ledger.Tag // by ARN: the tags of these profiles instead of those of the calls; see AsOf
}

// Tag returns the value of the tag key, and whether there is such a tag.
func (t *Tagging) Tag(c *Charges, key string) (value string, ok bool) {
	if t.Inactive[key] {
		return "", false
	}
	switch key {
	case PrincipalKey:
		return c.Principal, c.Principal != ""
	case SessionNameKey:
		return sessionName(c.Principal)
	case ModelKey:
		return c.Resource.ModelID, true
	case ProfileNameKey:
		return c.Resource.Label(), true
	}
	if name, ok := strings.CutPrefix(key, PrincipalTagPrefix); ok {
		return find(c.PrincipalTags, name)
	}
	if name, ok := strings.CutPrefix(key, MetadataPrefix); ok {
		return find(c.Metadata, name)
	}
	return find(t.profile(c), key)
}

// Keys calls yield with the key of each tag of c, but for OwnKeys.
func (t *Tagging) Keys(c *Charges, yield func(key string)) {
	for _, of := range []struct {
		prefix string
		tags   []ledger.Tag
	}{{"", t.profile(c)}, {PrincipalTagPrefix, c.PrincipalTags}, {MetadataPrefix, c.Metadata}} {
		for i := range of.tags {
			if key := of.prefix + of.tags[i].Key; !t.Inactive[key] {
				yield(key)
			}
		}
	}
}

// Untagged reports whether the profile that was called has no tags.
func (t *Tagging) Untagged(c *Charges) bool {
	for _, tag := range t.profile(c) {
		if !t.Inactive[tag.Key] {
			return false
		}
	}
	return true
}

// profile is the tags of the profile that was called.
func (t *Tagging) profile(c *Charges) []ledger.Tag {
	if tags, ok := t.Profiles[c.Resource.ARN]; ok {
		return tags
	}
	return c.Tags
}

func find(tags []ledger.Tag, key string) (value string, ok bool) {
	for i := range tags {
		if tags[i].Key == key {
			return tags[i].Value, true
		}
	}
	return "", false
}

// By groups by the value of a tag, "" for what does not have it.
func (t *Tagging) By(key string) Dimension {
	return func(c *Charges) string {
		v, _ := t.Tag(c, key)
		return v
	}
}

// sessionName is the last part of arn:aws:sts::000000000000:assumed-role/ROLE/SESSION.
func sessionName(principal string) (name string, ok bool) {
	_, rest, ok := strings.Cut(principal, ":assumed-role/")
	if !ok {
		return "", false
	}
	_, name, ok = strings.Cut(rest, "/")
	return name, ok
}

// Tagged is the tags that a profile had from a moment on.
type Tagged struct {
	ARN     string
	Since   time.Time
	Tags    []ledger.Tag // sorted by key
	Deleted bool         // the profile was deleted at this moment; it has no tags
}

// AsOf returns the tags of every profile in a history as they stood at a time, by ARN. A profile that was not there yet has
// the tags that it was made with, one that had been deleted those that it had last.
func AsOf(history []Tagged, at time.Time) map[string][]ledger.Tag {
	tags := map[string][]ledger.Tag{}
	for i := range history {
		h := &history[i]
		if h.Deleted {
			continue
		}
		if _, ok := tags[h.ARN]; ok && h.Since.After(at) {
			continue
		}
		tags[h.ARN] = h.Tags
	}
	return tags
}

// TagStatus is whether reports show the tag key.
type TagStatus struct {
	Key     string
	Active  bool
	Changed time.Time
}

// Inactive returns the keys that are not active, nil where there are none.
func Inactive(statuses []TagStatus) map[string]bool {
	var keys map[string]bool
	for _, s := range statuses {
		if !s.Active {
			if keys == nil {
				keys = map[string]bool{}
			}
			keys[s.Key] = true
		}
	}
	return keys
}

// Allocations is what is known of tags beyond those of the calls. store implements it.
type Allocations interface {
	// TagHistory returns the tags that the account's profiles have had, sorted by ARN and time. It goes back to the making
	// of a profile, but not to before tags were kept: see docs/costs.md.
	TagHistory(ctx context.Context, account string) ([]Tagged, error)

	// TagStatuses returns the keys whose status was ever set, sorted; all others are active.
	TagStatuses(ctx context.Context, account string) ([]TagStatus, error)

	// SetTagStatuses sets the status of keys. Changed stays what it was where Active does.
	SetTagStatuses(ctx context.Context, account string, statuses []TagStatus) error
}

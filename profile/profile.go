// Package profile is inference profiles: application profiles, which accounts own and tag, and the system-defined ones
// of the catalog as an account sees them. Resolve turns what a caller names into a Route.
package profile

import (
	"time"

	"outcrop/catalog"
	"outcrop/routing"
)

// Tag is one tag.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Types and the one status of a profile, as the service model has them.
const (
	Application   = "APPLICATION"
	SystemDefined = "SYSTEM_DEFINED"
	Active        = "ACTIVE"
)

// Profile is an inference profile as one account sees it in one Region. Values are never changed once they are in a
// snapshot; callers do not change what Get and List give them.
type Profile struct {
	ARN         string
	ID          string // 12 of [a-z0-9], or a system profile's id
	Name        string
	Description string // "" when none was given
	Type        string // Application or SystemDefined
	Account     string
	Region      string   // the source Region
	Source      string   // copyFrom of an application profile; "" for a system-defined one
	ModelID     string   // the foundation model behind it
	Geo         string   // "" for a profile on a model in its own Region; else the system profile's geography, "global" too
	Models      []string // the model ARNs that AWS shows, in its order
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Tags        []Tag  // sorted by key; application profiles only
	Token       string // the clientRequestToken it was made with; "" when none
	TokenDigest string // digest of the whole request made with Token, to tell a retry from a reuse
}

// Target is one place a call may be sent to.
type Target struct {
	Region  string // the destination
	ModelID string
}

// Route is what a modelId means to a caller in a Region, at one moment.
type Route struct {
	Profile *Profile        // nil for a bare foundation model
	Model   *catalog.Model  // the model behind it
	Scope   string          // the price's scope: "region", "global" or the geography
	Source  string          // the source Region
	Policy  *routing.Policy // how a target is chosen; nil is the default
	Targets []Target        // the destinations, the source Region first where it is one: a call is served there or nowhere
	ARN     string          // what the call counts as used: the profile's ARN, or the foundation model's

	// Authorize is every resource that must be allowed, in the order AWS checks them: the profile, then each model
	// ARN behind it.
	Authorize []Resource
}

// Resource is one ARN to authorize and the Region it is asked for in: a global profile's model outside any Region is
// asked for with "unspecified".
type Resource struct {
	ARN    string
	Region string

	// Context is the condition keys that come with it: aws:RequestedRegion, bedrock:InferenceProfileArn behind a
	// profile, and aws:ResourceTag/* of an application profile itself. It is shared by all calls: never changed.
	Context map[string][]string
}

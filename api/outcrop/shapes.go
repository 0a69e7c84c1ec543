package outcrop

import "time"

type listRoutesInput struct{}

// Routes is the answer of ListRoutes.
type Routes struct {
	Targets []Target `json:"targets"`
	Unused  []string `json:"unusedUpstreams,omitempty"` // to which no call has led yet

	// Unserved is the account's application profiles that have destinations without an upstream for their model.
	Unserved []Unserved `json:"unservedProfiles,omitempty"`
}

// Unserved is a profile with destinations in which nothing answers.
type Unserved struct {
	ARN     string   `json:"arn"`
	Name    string   `json:"name"`
	ModelID string   `json:"modelId"`
	Regions []string `json:"unservedRegions,omitempty"` // none where the model itself is no longer known
	All     bool     `json:"allRegions"`                // there are no others: every call fails
}

// Target is the live state of one target. Times are milliseconds, 0 and left out where they are not known.
type Target struct {
	Upstream       string    `json:"upstream"`
	Regions        []string  `json:"regions,omitempty"` // that it stands for; none is all
	ModelID        string    `json:"modelId"`
	Health         string    `json:"health"` // well, on trial, out
	OutUntil       time.Time `json:"outUntil,omitzero"`
	ThrottledUntil time.Time `json:"throttledUntil,omitzero"`
	InFlight       int       `json:"inFlight"`
	ServerInFlight int       `json:"serverInFlight"` // calls of all models of the server
	FirstEvent     float64   `json:"firstEventMillis,omitzero"`
	Whole          float64   `json:"wholeAnswerMillis,omitzero"`
	ErrorRate      float64   `json:"errorRate"` // of the calls of the last ten seconds
	Calls          int       `json:"calls"`     // in them
	LastFailure    *Failure  `json:"lastFailure,omitzero"`
}

// Failure is what went wrong last.
type Failure struct {
	Time time.Time `json:"time"`
	What string    `json:"what"`
}

type profileInput struct {
	Profile string `json:"-" uri:"profile" required:"true" min:"1" max:"2048"`
}

type explainInput struct {
	profileInput
	User *string `json:"-" query:"user" min:"1" max:"64"`
}

// Identity is what a name stands for.
type Identity struct {
	ARN     string `json:"arn"`
	Name    string `json:"name,omitzero"`
	Type    string `json:"type,omitzero"` // APPLICATION, SYSTEM_DEFINED; none of a foundation model
	ModelID string `json:"modelId"`
	Source  string `json:"sourceRegion"`
	Scope   string `json:"scope"` // region, global, or the geography
}

// Routing is where a call would go.
type Routing struct {
	Policy   string   `json:"routingPolicy"`
	Order    []Choice `json:"order"`
	Unserved []string `json:"unservedRegions,omitempty"` // destinations without an upstream for the model
}

// Choice is one target, in the order in which they would be tried.
type Choice struct {
	Upstream   string  `json:"upstream"`
	Region     string  `json:"region"`
	Model      string  `json:"upstreamModel"`
	Why        string  `json:"why"`
	InFlight   int     `json:"inFlight"`
	FirstEvent float64 `json:"firstEventMillis,omitzero"`
	Wait       float64 `json:"waitMillis,omitzero"` // until it may be asked again
}

// Route is the answer of GetRoute.
type Route struct {
	Identity
	Routing
}

// Explanation is the answer of ExplainProfile.
type Explanation struct {
	Identity
	CopiedFrom   string   `json:"copiedFrom,omitzero"`
	Tags         []Tag    `json:"tags,omitempty"`
	Destinations []string `json:"destinations"`
	Resources    []string `json:"authorizedResources"` // each must be allowed, in this order
	Callers      []Caller `json:"callers"`
	Price        *Price   `json:"price,omitzero"` // none where it is not known: calls are unrated
	Routing
}

// Tag is one tag of a profile.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Caller is what one principal may do with a profile.
type Caller struct {
	Principal string     `json:"principal"`
	Invoke    Permission `json:"invoke"`
	Stream    Permission `json:"stream"`
}

// Permission is whether one operation is allowed, and why it is not.
type Permission struct {
	Allowed bool   `json:"allowed"`
	Why     string `json:"why,omitzero"` // it is not
}

// Price is in nano-USD: for a million tokens, and of Units for a piece.
type Price struct {
	ID           string           `json:"priceId"`
	Input        *int64           `json:"inputNanoUsd,omitzero"`
	Output       *int64           `json:"outputNanoUsd,omitzero"`
	CacheRead    *int64           `json:"cacheReadNanoUsd,omitzero"`
	CacheWrite   *int64           `json:"cacheWriteNanoUsd,omitzero"`
	CacheWrite1h *int64           `json:"cacheWrite1hNanoUsd,omitzero"`
	Units        map[string]int64 `json:"unitNanoUsd,omitempty"`
	GPUHour      int64            `json:"gpuHourNanoUsd,omitzero"` // of all GPUs that answer; a call is charged its time, divided by GPUCalls
	GPUCalls     int64            `json:"gpuCalls,omitzero"`
	Inferred     bool             `json:"inferred,omitzero"` // some of it follows a rule and was not read from a price list
	Effective    time.Time        `json:"effective,omitzero"`
}

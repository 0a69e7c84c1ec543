// Package catalog is facts: foundation models, system-defined inference profiles by source Region, and prices, as
// embedded, dated data with a strict loader. It knows nothing of any account.
package catalog

import "time"

// Catalog is the facts of one date. It never changes once loaded; it is safe for concurrent use.
type Catalog struct {
	Date     time.Time // the day the data was put together
	models   map[string]*Model
	profiles map[string]*Profile
	order    struct{ models, profiles []string } // ids in the order they are listed
	prices   map[priceKey]*Price
}

// Model is a foundation model.
type Model struct {
	ID               string
	Name             string // the display name: "Claude 3 Haiku"
	Provider         string // "Anthropic"
	InputModalities  []string
	OutputModalities []string
	Streaming        bool
	OnDemand         bool     // callable by its own id, without a profile, in Regions
	Regions          []string // where it can be called without crossing Regions, sorted; an upper bound, see the data's notes
	Status           string   // ACTIVE or LEGACY
	StartOfLife      time.Time
	Legacy           time.Time // zero when not known, as the others
	EndOfLife        time.Time
	ExtendedAccess   time.Time
	ContextTokens    int64  // 0 unknown
	MaxOutputTokens  int64  // 0 unknown
	UsageName        string // how AWS abbreviates it in usage types: "Claude3Haiku"
	Inferred         bool   // some of this is inferred, not read from AWS
}

// Profile is a system-defined inference profile.
type Profile struct {
	ID          string // "us.anthropic.claude-3-haiku-20240307-v1:0"
	Geo         string // "us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"
	Name        string // "US Anthropic Claude 3 Haiku"
	ModelID     string
	Routes      map[string][]string // source Region -> destination Regions in AWS's order
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Inferred    bool // its routes follow its geography's pattern and were not read from AWS
	description string
}

// Price is what one model's tokens cost from one source Region in one scope, in nano-USD per 1,000,000 tokens
// (1 USD per million is 1e9). A nil pointer means that no such price is known, which is not the same as free.
type Price struct {
	ID           string // stable key with its version: "anthropic.claude-3-haiku-20240307-v1:0/region/*@2026-08-06"
	Input        *int64
	Output       *int64
	CacheRead    *int64
	CacheWrite   *int64 // time to live 5 minutes
	CacheWrite1h *int64
	Effective    time.Time // the first instant that it holds for
	Inferred     bool
}

type priceKey struct{ model, scope, region string }

// Package catalog is facts: foundation models, system-defined inference profiles by source Region, and prices, as
// embedded, dated data with a strict loader, and what operators lay over it: newer facts, and geographies of their own. It
// knows nothing of any account.
package catalog

import (
	"slices"
	"strings"
	"time"

	"outcrop/arn"
)

// Catalog is the facts of one date. It never changes once loaded; it is safe for concurrent use.
type Catalog struct {
	Date time.Time // the day the data was put together

	models   map[string]*Model
	profiles map[string]*Profile
	byModel  map[string][]*Profile               // the profiles of a model, in order
	bySource map[string][]*Profile               // the profiles offered from a Region, in order
	order    struct{ models, profiles []string } // ids in the order they are listed
	tariffs  map[tariffKey]*tariffs
	unpriced map[string]string // model -> why no price of it is known

	upstreams, contracts bool       // some prices are of one upstream, or negotiated
	discounts            []discount // the highest first
}

// Model is a foundation model.
type Model struct {
	ID               string
	Name             string // the display name: "Claude 3 Haiku"
	Provider         string // "Anthropic"
	InputModalities  []string
	OutputModalities []string
	Streaming        bool
	OnDemand         bool      // callable by its own id, without a profile, in Regions
	Provisioned      bool      // a context variant that AWS sells as provisioned throughput only, listed in Regions
	Regions          []string  // where it can be called without crossing Regions, sorted; an upper bound, see the data's notes
	Status           string    // ACTIVE or LEGACY
	Legacy           time.Time // zero when not known, as the others
	EndOfLife        time.Time
	ExtendedAccess   time.Time
	ContextTokens    int64  // 0 unknown
	MaxOutputTokens  int64  // 0 unknown
	UsageName        string // how it is abbreviated in usage types: "Claude3Haiku"; unique
	Inferred         bool   // some of this is inferred, not read from AWS
}

// Profile is a system-defined inference profile.
type Profile struct {
	ID        string // "us.anthropic.claude-3-haiku-20240307-v1:0"
	Geo       string // "us", "eu", "apac", "jp", "au", "ca", "us-gov", "global", or an operator's own
	Name      string // "US Anthropic Claude 3 Haiku"
	ModelID   string
	Routes    map[string][]string // source Region -> destination Regions in AWS's order
	CreatedAt time.Time           // where a capture shows it, else the catalog's date
	UpdatedAt time.Time
	Inferred  bool // its routes follow its geography's pattern and were not read from AWS

	description string // with {destinations} where they are named
}

// Global is the geography of profiles that serve in every commercial Region, and the scope of their prices.
const Global = "global"

// InRegion is the scope of the prices of a model that is called without crossing Regions.
const InRegion = "region"

// Service is what Cost Explorer calls SERVICE, for every model: AWS shows what is sold through its marketplace under the
// model's own name ("Claude Sonnet 4.5 (Amazon Bedrock Edition)"), which makes a filter on the service lose most of what
// people spend.
const Service = "Amazon Bedrock"

// Model returns a foundation model.
func (c *Catalog) Model(id string) (*Model, bool) {
	m, ok := c.models[id]
	return m, ok
}

// AllModels returns every foundation model, in the order they are listed.
func (c *Catalog) AllModels() []*Model {
	ms := make([]*Model, len(c.order.models))
	for i, id := range c.order.models {
		ms[i] = c.models[id]
	}
	return ms
}

// Models returns the foundation models that AWS lists in region: those callable there on demand or as provisioned
// throughput, and those that a system-defined profile offers from there.
func (c *Catalog) Models(region string) []*Model {
	var ms []*Model
	for _, id := range c.order.models {
		if c.Listed(id, region) {
			ms = append(ms, c.models[id])
		}
	}
	return ms
}

// Listed reports whether Models(region) has the model.
func (c *Catalog) Listed(modelID, region string) bool {
	m, ok := c.models[modelID]
	return ok && (m.in(region) || c.InProfile(modelID, region))
}

// OnDemand reports whether AWS serves the model in region by its own id.
func (c *Catalog) OnDemand(modelID, region string) bool {
	m, ok := c.models[modelID]
	return ok && m.OnDemand && m.in(region)
}

// InProfile reports whether a system-defined profile with the model is offered from region.
func (c *Catalog) InProfile(modelID, region string) bool {
	return slices.ContainsFunc(c.byModel[modelID], func(p *Profile) bool { _, ok := p.Routes[region]; return ok })
}

func (m *Model) in(region string) bool {
	_, ok := slices.BinarySearch(m.Regions, region)
	return ok
}

// Profile returns a system-defined profile, wherever it is offered.
func (c *Catalog) Profile(id string) (*Profile, bool) {
	p, ok := c.profiles[id]
	return p, ok
}

// AllProfiles returns every system-defined profile, in the order they are listed.
func (c *Catalog) AllProfiles() []*Profile {
	ps := make([]*Profile, len(c.order.profiles))
	for i, id := range c.order.profiles {
		ps[i] = c.profiles[id]
	}
	return ps
}

// Profiles returns the system-defined profiles that are offered from sourceRegion, in the order they are listed. The
// caller does not change the slice.
func (c *Catalog) Profiles(sourceRegion string) []*Profile { return c.bySource[sourceRegion] }

// Crosses reports whether an upstream that is AWS, when it is asked in region for what it calls name, chooses itself among
// Regions: name is the id of a cross-Region inference profile, or its ARN. regions are those that it chooses among, none where
// that is not known.
func (c *Catalog) Crosses(name, region string) (regions []string, crosses bool) {
	id := name[strings.LastIndexByte(name, '/')+1:]
	if p, ok := c.profiles[id]; ok {
		return p.Routes[region], true
	}
	if _, model, ok := strings.Cut(id, "."); ok {
		_, crosses = c.models[model]
	}
	return nil, crosses
}

// Destinations returns the Regions that profile id may serve in when called from region, in AWS's order; nil when it
// is not offered there. For a global profile they are all commercial Regions. The caller does not change the slice.
func (c *Catalog) Destinations(id, region string) []string {
	p, ok := c.profiles[id]
	if !ok {
		return nil
	}
	return p.Routes[region]
}

// ProfileDescription returns what AWS says of profile id in region: "Routes requests to Anthropic Claude 3 Haiku in
// us-east-1, us-east-2 and us-west-2."; "" when it is not offered there.
func (c *Catalog) ProfileDescription(id, region string) string {
	p, ok := c.profiles[id]
	if !ok || len(p.Routes[region]) == 0 {
		return ""
	}
	return p.describe(p.Routes[region])
}

// ProfileModels returns the ARNs that AWS shows as the models of profile id in region: one for each destination, or,
// for a global profile, the model's ARN without a Region and then that of the source Region. It is nil when the
// profile is not offered there.
func (c *Catalog) ProfileModels(id, region string) []string {
	p, ok := c.profiles[id]
	if !ok || len(p.Routes[region]) == 0 {
		return nil
	}
	if p.Geo == Global {
		return []string{arn.FoundationModel("", p.ModelID), arn.FoundationModel(region, p.ModelID)}
	}
	arns := make([]string, len(p.Routes[region]))
	for i, r := range p.Routes[region] {
		arns[i] = arn.FoundationModel(r, p.ModelID)
	}
	return arns
}

// Unpriced returns why no price of a model is known, and whether that is so.
func (c *Catalog) Unpriced(modelID string) (why string, ok bool) {
	why, ok = c.unpriced[modelID]
	return why, ok
}

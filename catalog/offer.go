package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"outcrop/arn"
)

// Offer is what Amazon Bedrock lists in one Region, as an account sees it: the answers of ListFoundationModels and of
// ListInferenceProfiles with type SYSTEM_DEFINED, of which the members are read that catalogues have.
type Offer struct {
	Region   string
	Models   []OfferedModel
	Profiles []OfferedProfile
}

// OfferedModel is a member of modelSummaries.
type OfferedModel struct {
	ID        string   `json:"modelId"`
	Name      string   `json:"modelName"`
	Provider  string   `json:"providerName"`
	Input     []string `json:"inputModalities"`
	Output    []string `json:"outputModalities"`
	Streaming bool     `json:"responseStreamingSupported"`
	Inference []string `json:"inferenceTypesSupported"`
	Lifecycle struct {
		Status         string    `json:"status"`
		EndOfLife      time.Time `json:"endOfLifeTime"`
		Legacy         time.Time `json:"legacyTime"`
		ExtendedAccess time.Time `json:"publicExtendedAccessTime"`
	} `json:"modelLifecycle"`
}

// OfferedProfile is a member of inferenceProfileSummaries.
type OfferedProfile struct {
	ID          string    `json:"inferenceProfileId"`
	Name        string    `json:"inferenceProfileName"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
	Models      []struct {
		ARN string `json:"modelArn"`
	} `json:"models"`
}

// With returns f as it is when offers, one a Region, are right, on the day of now: other Regions stay as they are, and so
// does what no listing tells. Of prices it says nothing. Models that had reached the end of their life by then stay too:
// AWS lists them no longer, and one's own servers serve on.
func (f *Facts) With(offers []Offer, now time.Time) *Facts {
	today := now.UTC().Format(time.DateOnly)
	n := &Facts{Date: today, Sources: []string{"ListFoundationModels and ListInferenceProfiles, " + today}, own: true}
	asked := map[string]bool{}
	models := map[string]map[string]*OfferedModel{}     // id -> Region -> as it is listed there
	profiles := map[string]map[string]*OfferedProfile{} // likewise
	for i := range offers {
		o := &offers[i]
		asked[o.Region] = true
		for j := range o.Models {
			put(models, o.Models[j].ID, o.Region, &o.Models[j])
		}
		for j := range o.Profiles {
			put(profiles, o.Profiles[j].ID, o.Region, &o.Profiles[j])
		}
	}
	retired := map[string]bool{}
	for _, m := range f.Models {
		listed := models[m.ID]
		delete(models, m.ID)
		if len(listed) == 0 && m.EndOfLife != "" && m.EndOfLife <= today {
			retired[m.ID] = true
			n.Models = append(n.Models, m)
			continue
		}
		before := m
		m.Regions = slices.DeleteFunc(slices.Clone(m.Regions), func(r string) bool { return asked[r] })
		m.patch(listed)
		if len(listed) > 0 || len(m.Regions) > 0 || !f.listed(&before, asked) || f.offered(m.ID, func(r string) bool { return !asked[r] }) {
			n.Models = append(n.Models, m)
		}
	}
	abbreviated := map[string]bool{}
	for _, m := range f.Models {
		abbreviated[cmp.Or(m.UsageName, usageName(m.Name))] = true
	}
	for _, id := range slices.Sorted(maps.Keys(models)) {
		m := ModelFact{ID: id}
		m.patch(models[id])
		if abbreviated[usageName(m.Name)] { // two models of one name: the id tells them apart
			m.UsageName = usageName(m.Name + "-" + id)
		}
		abbreviated[cmp.Or(m.UsageName, usageName(m.Name))] = true
		n.Models = append(n.Models, m)
	}
	slices.SortFunc(n.Models, func(a, b ModelFact) int { return strings.Compare(a.ID, b.ID) })

	for _, p := range f.Profiles {
		listed := profiles[p.ID]
		delete(profiles, p.ID)
		if len(listed) == 0 && retired[p.Model] {
			n.Profiles = append(n.Profiles, p)
			continue
		}
		p.From = slices.DeleteFunc(slices.Clone(p.From), func(r string) bool { return asked[r] })
		routes := make(map[string][]string, len(p.Routes))
		for source, destinations := range p.Routes {
			if !asked[source] {
				routes[source] = destinations
			}
		}
		p.Routes = routes
		p.patch(listed)
		if len(p.From)+len(p.Routes) > 0 {
			n.Profiles = append(n.Profiles, p)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(profiles)) {
		p := ProfileFact{ID: id, Routes: map[string][]string{}}
		p.patch(profiles[id])
		for _, o := range profiles[id] {
			if !o.CreatedAt.IsZero() && !o.UpdatedAt.IsZero() {
				p.CreatedAt, p.UpdatedAt = o.CreatedAt.UTC().Format(time.RFC3339Nano), o.UpdatedAt.UTC().Format(time.RFC3339Nano)
			}
		}
		n.Profiles = append(n.Profiles, p)
	}
	return n
}

func put[T any](m map[string]map[string]*T, id, region string, v *T) {
	if m[id] == nil {
		m[id] = map[string]*T{}
	}
	m[id][region] = v
}

// listed reports whether f lists the model in any of regions.
func (f *Facts) listed(m *ModelFact, regions map[string]bool) bool {
	in := func(r string) bool { return regions[r] }
	return slices.ContainsFunc(m.Regions, in) || f.offered(m.ID, in)
}

// offered reports whether a profile with the model is offered from a Region of which where is true.
func (f *Facts) offered(model string, where func(region string) bool) bool {
	return slices.ContainsFunc(f.Profiles, func(p ProfileFact) bool {
		return p.Model == model && (slices.ContainsFunc(p.From, where) || slices.ContainsFunc(slices.Collect(maps.Keys(p.Routes)), where))
	})
}

// patch takes over what the listings of some Regions say; m.Regions has none of those.
func (m *ModelFact) patch(listed map[string]*OfferedModel) {
	var onDemand, provisioned []string
	for _, region := range slices.Sorted(maps.Keys(listed)) {
		o := listed[region]
		if slices.Contains(o.Inference, "ON_DEMAND") {
			onDemand = append(onDemand, region)
		} else if slices.Contains(o.Inference, "PROVISIONED") {
			provisioned = append(provisioned, region)
		}
		m.Name, m.Provider, m.Input, m.Output, m.Streaming, m.Status = o.Name, o.Provider, o.Input, o.Output, o.Streaming, o.Lifecycle.Status
		for _, d := range []struct {
			from time.Time
			to   *string
		}{{o.Lifecycle.Legacy, &m.Legacy}, {o.Lifecycle.ExtendedAccess, &m.ExtendedAccess}, {o.Lifecycle.EndOfLife, &m.EndOfLife}} {
			if !d.from.IsZero() {
				*d.to = d.from.UTC().Format(time.DateOnly)
			}
		}
	}
	switch {
	case len(onDemand) > 0:
		m.OnDemand, m.Provisioned, m.Regions = true, false, append(m.Regions, onDemand...)
	case len(provisioned) > 0 && !m.OnDemand:
		m.Provisioned, m.Regions = true, append(m.Regions, provisioned...)
	}
	if len(m.Regions) == 0 && len(listed) > 0 {
		m.OnDemand, m.Provisioned = false, false
	}
	slices.Sort(m.Regions)
}

// patch takes over what the listings of some Regions say; p.From and p.Routes have none of those.
func (p *ProfileFact) patch(listed map[string]*OfferedProfile) {
	for _, region := range slices.Sorted(maps.Keys(listed)) {
		o := listed[region]
		var to []string
		for _, m := range o.Models {
			a, err := arn.Parse(m.ARN)
			if err != nil {
				continue
			}
			_, p.Model = a.Split()
			to = append(to, a.Region)
		}
		p.Geo = strings.TrimSuffix(p.ID, "."+p.Model)
		p.Name = o.Name
		if p.Geo == Global {
			p.From = append(p.From, region)
		} else {
			p.Routes[region] = to
		}
		if p.Description != "" {
			continue
		}
		p.Description = o.Description
		if p.Geo != Global {
			if p.Description = strings.Replace(o.Description, enumerate(to), destinations, 1); !strings.Contains(p.Description, destinations) {
				p.Description = "Routes requests to " + o.Name + " in " + destinations + "."
			}
		}
	}
	slices.Sort(p.From)
}

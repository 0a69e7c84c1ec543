package catalog

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Difference is one entry in which two sets of facts differ.
type Difference struct {
	Kind   string  `json:"kind"` // model, profile, price, unpriced, discount or exchange
	ID     string  `json:"id"`   // of a price: MODEL/SCOPE/REGION@DAY, with * for all Regions
	What   string  `json:"what"` // new, gone or changed
	Fields []Field `json:"fields,omitempty"`
}

// Field is a member with another value, in the form of catalogue files; a member within a member has both names:
// "status", "routes.us-east-1". A value that is not there is null.
type Field struct {
	Name string         `json:"name"`
	Old  jsontext.Value `json:"old"`
	New  jsontext.Value `json:"new"`
}

// Diff returns where newer differs from f, in the order models, profiles, prices, unpriced, discounts, exchange, each by id, and as facts to lay
// over f what of it is new or changed. A section that newer does not have at all says nothing. The order within a list and
// what is marked as inferred make no difference.
func (f *Facts) Diff(newer *Facts) ([]Difference, *Facts, error) {
	over := &Facts{Date: newer.Date, Sources: newer.Sources, own: newer.own}
	var all []Difference
	for _, section := range []func() ([]Difference, error){
		func() (d []Difference, err error) {
			over.Models, d, err = differ("model", f.Models, newer.Models, func(m *ModelFact) string { return m.ID })
			return d, err
		},
		func() (d []Difference, err error) {
			over.Profiles, d, err = differ("profile", f.Profiles, newer.Profiles, func(p *ProfileFact) string { return p.ID })
			return d, err
		},
		func() (d []Difference, err error) {
			over.Prices, d, err = differ("price", f.Prices, newer.Prices, (*PriceFact).ID)
			return d, err
		},
		func() (d []Difference, err error) {
			over.Unpriced, d, err = differ("unpriced", f.Unpriced, newer.Unpriced, func(u *UnpricedFact) string { return u.Model })
			return d, err
		},
		func() (d []Difference, err error) {
			over.Discounts, d, err = differ("discount", f.Discounts, newer.Discounts, (*DiscountFact).id)
			return d, err
		},
		func() (d []Difference, err error) {
			over.Exchange, d, err = differ("exchange", f.Exchange, newer.Exchange, (*ExchangeFact).id)
			return d, err
		},
	} {
		d, err := section()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, d...)
	}
	return all, over, nil
}

// differ compares one section and returns what to lay over the older one.
func differ[T any](kind string, older, newer []T, key func(*T) string) (over []T, ds []Difference, err error) {
	if newer == nil {
		return nil, nil, nil
	}
	index := func(list []T) map[string]*T {
		m := make(map[string]*T, len(list))
		for i := range list {
			m[key(&list[i])] = &list[i]
		}
		return m
	}
	was, is := index(older), index(newer)
	ids := maps.Clone(was)
	maps.Copy(ids, is)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		switch before, now := was[id], is[id]; {
		case before == nil:
			over, ds = append(over, *now), append(ds, Difference{Kind: kind, ID: id, What: "new"})
		case now == nil:
			ds = append(ds, Difference{Kind: kind, ID: id, What: "gone"})
		default:
			fields, err := compareFacts(before, now)
			if err != nil {
				return nil, nil, err
			}
			if len(fields) > 0 {
				over, ds = append(over, *now), append(ds, Difference{kind, id, "changed", fields})
			}
		}
	}
	return over, ds, nil
}

// compareFacts returns the members in which two facts of a kind differ.
func compareFacts(before, now any) ([]Field, error) {
	a, err := members(before)
	if err != nil {
		return nil, err
	}
	b, err := members(now)
	if err != nil {
		return nil, err
	}
	var fields []Field
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name != "inferred" && string(a[name]) != string(b[name]) {
			fields = append(fields, Field{name, orNull(a[name]), orNull(b[name])})
		}
	}
	return fields, nil
}

func orNull(v jsontext.Value) jsontext.Value {
	if v == nil {
		return jsontext.Value("null")
	}
	return v
}

// members is a fact's members as texts that are equal when the values mean the same: lists sorted, objects opened.
func members(fact any) (map[string]jsontext.Value, error) {
	text, err := json.Marshal(fact, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	var top map[string]jsontext.Value
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, err
	}
	flat := make(map[string]jsontext.Value, len(top))
	for name, v := range top {
		within := map[string]jsontext.Value{name: v}
		if v.Kind() == '{' {
			var inner map[string]jsontext.Value
			if err := json.Unmarshal(v, &inner); err != nil {
				return nil, err
			}
			delete(within, name)
			for k, v := range inner {
				within[name+"."+k] = v
			}
		}
		for k, v := range within {
			if v.Kind() == '[' {
				var list []string
				if err := json.Unmarshal(v, &list); err != nil {
					return nil, err
				}
				slices.Sort(list)
				if v, err = json.Marshal(list); err != nil {
					return nil, err
				}
			}
			flat[k] = v
		}
	}
	return flat, nil
}

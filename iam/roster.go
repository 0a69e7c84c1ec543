package iam

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"outcrop/fault"
)

// Roster is what one account has, as of one moment: its entities, their keys and policies, and AWS's own policies. It never
// changes. What another account has cannot be found in it.
type Roster struct {
	account string
	created time.Time

	entities []*Entity // by kind, then by name
	names    map[entityName]*Entity
	ids      map[string]*Entity
	groups   map[string][]*Entity // by the user's id
	members  map[string][]*Entity // by the group's id
	keys     map[string][]*AccessKey
	bearers  map[string][]*BearerKey
	inline   map[string][]*InlinePolicy
	attached map[string][]string // ARNs

	managed  []*ManagedPolicy // by ARN; AWS's too
	arns     map[string]*ManagedPolicy
	versions map[string][]*PolicyVersion // by the policy's id, by number
	used     map[string]*usage           // by ARN

	guardrails []Guardrail // by name
}

type entityName struct {
	kind Kind
	name string // in lower case: names are ASCII
}

// usage is who has a managed policy.
type usage struct {
	attached []*Entity
	bounded  []*Entity
}

// rosters sorts the state by accounts. What belongs to nobody, which no change leaves behind, is left out.
func (r *Rows) rosters() map[string]*Roster {
	all := make(map[string]*Roster, len(r.Accounts))
	for _, a := range r.Accounts {
		all[a.ID] = &Roster{
			account: a.ID, created: a.CreatedAt, names: map[entityName]*Entity{}, ids: map[string]*Entity{}, groups: map[string][]*Entity{}, members: map[string][]*Entity{},
			keys: map[string][]*AccessKey{}, bearers: map[string][]*BearerKey{}, inline: map[string][]*InlinePolicy{}, attached: map[string][]string{},
			managed: slices.Clone(awsPolicies.managed), arns: map[string]*ManagedPolicy{}, versions: map[string][]*PolicyVersion{}, used: map[string]*usage{},
		}
	}
	owners := make(map[string]*Roster, len(r.Entities)) // by entity or policy id
	for i := range r.Entities {
		if e := &r.Entities[i]; all[e.Account] != nil {
			o := all[e.Account]
			owners[e.ID], o.ids[e.ID] = o, e
			o.entities = append(o.entities, e)
			o.names[entityName{e.Kind, strings.ToLower(e.Name)}] = e
			if e.Boundary != "" {
				o.usage(e.Boundary).bounded = append(o.usage(e.Boundary).bounded, e)
			}
		}
	}
	for _, m := range r.Members {
		if o := owners[m.User]; o != nil && owners[m.Group] == o {
			o.groups[m.User] = append(o.groups[m.User], o.ids[m.Group])
			o.members[m.Group] = append(o.members[m.Group], o.ids[m.User])
		}
	}
	for i := range r.Keys {
		if k := &r.Keys[i]; all[k.Account] != nil && (k.Owner == "" || owners[k.Owner] == all[k.Account]) {
			all[k.Account].keys[k.Owner] = append(all[k.Account].keys[k.Owner], k)
		}
	}
	for i := range r.Bearers {
		if o := owners[r.Bearers[i].Owner]; o != nil {
			o.bearers[r.Bearers[i].Owner] = append(o.bearers[r.Bearers[i].Owner], &r.Bearers[i])
		}
	}
	for i := range r.Inline {
		if o := owners[r.Inline[i].Owner]; o != nil {
			o.inline[r.Inline[i].Owner] = append(o.inline[r.Inline[i].Owner], &r.Inline[i])
		}
	}
	for i := range r.Managed {
		if p := &r.Managed[i]; all[p.Account] != nil {
			owners[p.ID] = all[p.Account]
			all[p.Account].managed = append(all[p.Account].managed, p)
		}
	}
	for i := range r.Versions {
		if o := owners[r.Versions[i].Policy]; o != nil {
			o.versions[r.Versions[i].Policy] = append(o.versions[r.Versions[i].Policy], &r.Versions[i])
		}
	}
	for _, a := range r.Attachments {
		if o := owners[a.Owner]; o != nil {
			o.attached[a.Owner] = append(o.attached[a.Owner], a.Policy)
			o.usage(a.Policy).attached = append(o.usage(a.Policy).attached, o.ids[a.Owner])
		}
	}
	for _, g := range r.Guardrails {
		if o := all[g.Account]; o != nil {
			o.guardrails = append(o.guardrails, g)
		}
	}
	for _, o := range all {
		slices.SortFunc(o.entities, byName)
		for _, lists := range []map[string][]*Entity{o.groups, o.members} {
			for _, l := range lists {
				slices.SortFunc(l, byName)
			}
		}
		for _, u := range o.used {
			slices.SortFunc(u.attached, byName)
			slices.SortFunc(u.bounded, byName)
		}
		slices.SortFunc(o.managed, func(a, b *ManagedPolicy) int { return strings.Compare(a.ARN(), b.ARN()) })
		for _, p := range o.managed {
			o.arns[p.ARN()] = p
		}
	}
	return all
}

func byName(a, b *Entity) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name))
}

func (o *Roster) usage(arn string) *usage {
	if o.used[arn] == nil {
		o.used[arn] = &usage{}
	}
	return o.used[arn]
}

// Guardrails returns the policies that bound the account, by name. None bound nothing.
func (o *Roster) Guardrails() []Guardrail { return o.guardrails }

// CreatedAt returns when the account was made.
func (o *Roster) CreatedAt() time.Time { return o.created }

// Entity finds an entity by its name, in any case.
func (o *Roster) Entity(kind Kind, name string) (*Entity, error) {
	if e := o.names[entityName{kind, strings.ToLower(name)}]; e != nil {
		return e, nil
	}
	return nil, fault.New(fault.NotFound, "The %s with name %s cannot be found.", kind, name)
}

// Find finds an entity by its ARN.
func (o *Roster) Find(arn string) (*Entity, error) {
	rest, _ := strings.CutPrefix(arn, "arn:aws:iam::"+o.account+":")
	kind, _, _ := strings.Cut(rest, "/")
	if e := o.names[entityName{Kind(kind), strings.ToLower(rest[strings.LastIndexByte(rest, '/')+1:])}]; e != nil && e.ARN() == arn {
		return e, nil
	}
	return nil, fault.New(fault.NotFound, "The Principal in PolicySourceArn %s does not exist.", arn)
}

// Entities returns the entities of a kind whose paths begin with prefix, by name.
func (o *Roster) Entities(kind Kind, prefix string) []*Entity {
	var out []*Entity
	for _, e := range o.entities {
		if e.Kind == kind && strings.HasPrefix(e.Path, prefix) {
			out = append(out, e)
		}
	}
	return out
}

// Groups returns the groups of a user, by name.
func (o *Roster) Groups(user *Entity) []*Entity { return o.groups[user.ID] }

// Members returns the users in a group, by name.
func (o *Roster) Members(group *Entity) []*Entity { return o.members[group.ID] }

// Keys returns the access keys of a user, or of root where user is nil, by id and without their secrets.
func (o *Roster) Keys(user *Entity) []AccessKey {
	var out []AccessKey
	for _, k := range o.keys[user.idOrRoot()] {
		public := *k
		public.Secret = nil
		out = append(out, public)
	}
	return out
}

// KeyOwner returns the user that an access key is of, nil for root. ok is false for a key that there is not.
func (o *Roster) KeyOwner(id string) (user *Entity, ok bool) {
	for owner, keys := range o.keys {
		if slices.ContainsFunc(keys, func(k *AccessKey) bool { return k.ID == id }) {
			return o.ids[owner], true
		}
	}
	return nil, false
}

// Bearers returns a user's long-term API keys, by id and without the hashes of their secrets.
func (o *Roster) Bearers(user *Entity) []BearerKey {
	var out []BearerKey
	for _, k := range o.bearers[user.ID] {
		public := *k
		public.Hash = nil
		out = append(out, public)
	}
	return out
}

// Inline returns an entity's inline policies, by name.
func (o *Roster) Inline(e *Entity) []*InlinePolicy { return o.inline[e.ID] }

// InlinePolicy returns one of an entity's inline policies.
func (o *Roster) InlinePolicy(e *Entity, name string) (*InlinePolicy, error) {
	for _, p := range o.inline[e.ID] {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "The %s policy with name %s cannot be found.", e.Kind, name)
}

// Attached returns the managed policies that are attached to an entity, by ARN.
func (o *Roster) Attached(e *Entity) []*ManagedPolicy {
	var out []*ManagedPolicy
	for _, arn := range o.attached[e.ID] {
		if p := o.arns[arn]; p != nil {
			out = append(out, p)
		}
	}
	return out
}

// Policies returns the managed policies, by ARN: the account's own, AWS's, or both.
func (o *Roster) Policies(own, aws bool) []*ManagedPolicy {
	var out []*ManagedPolicy
	for _, p := range o.managed {
		if p.Account == awsAccount && aws || p.Account != awsAccount && own {
			out = append(out, p)
		}
	}
	return out
}

// Policy finds a managed policy by its ARN.
func (o *Roster) Policy(arn string) (*ManagedPolicy, error) {
	if p := o.arns[arn]; p != nil {
		return p, nil
	}
	if rest, ok := strings.CutPrefix(arn, "arn:"); !ok || strings.Count(rest, ":") < 4 {
		return nil, fault.New(fault.Validation, "Invalid ARN:  Could not be parsed!") // as AWS says it, spaces and all
	}
	return nil, fault.New(fault.NotFound, "Policy %s was not found.", arn)
}

// Versions returns the versions of a managed policy, the newest first.
func (o *Roster) Versions(p *ManagedPolicy) []*PolicyVersion {
	versions := o.versions[p.ID]
	if p.Account == awsAccount {
		versions = awsPolicies.versions[p.ID]
	}
	versions = slices.Clone(versions)
	slices.Reverse(versions)
	return versions
}

// Version returns one version of a managed policy.
func (o *Roster) Version(p *ManagedPolicy, number int) (*PolicyVersion, error) {
	for _, v := range o.Versions(p) {
		if v.Number == number {
			return v, nil
		}
	}
	return nil, fault.New(fault.NotFound, "Policy %s version v%d does not exist or is not attachable.", p.ARN(), number)
}

// UsedBy returns the entities that a managed policy is attached to, and those that it bounds.
func (o *Roster) UsedBy(p *ManagedPolicy) (attached, bounded []*Entity) {
	if u := o.used[p.ARN()]; u != nil {
		return u.attached, u.bounded
	}
	return nil, nil
}

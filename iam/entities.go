package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"outcrop/fault"
	"outcrop/policy"
)

// The quotas of IAM. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxGroupsPerUser    = 10
	MaxTags             = 50 // of an entity or policy
	minSession          = time.Hour
	maxSession          = 12 * time.Hour
	maxTrustSize        = 2048 // of a role's trust policy, without white space
	maxPath             = 512
	maxDescription      = 1000
	maxUserOrRoleName   = 64
	maxGroupOrOtherName = 128
)

// MaxEntities is how many entities of a kind an account may have.
var MaxEntities = map[Kind]int{UserKind: 5000, GroupKind: 300, RoleKind: 1000}

// plural is what messages about quotas call a kind.
var plural = map[Kind]string{UserKind: "Users", GroupKind: "Groups", RoleKind: "Roles"}

// singular is the kind's name as a word of its own: "User".
func (k Kind) singular() string { return strings.TrimSuffix(plural[k], "s") }

var idPrefix = map[Kind]string{UserKind: "AIDA", GroupKind: "AGPA", RoleKind: "AROA"}

// CreateUser makes a user in an account that exists.
func (d *Directory) CreateUser(ctx context.Context, account, name string) (Entity, error) {
	return d.CreateEntity(ctx, Entity{Account: account, Kind: UserKind, Name: name})
}

// CreateEntity makes a user, a group or a role in an account that exists. Its id and its time are given to it; a path that is
// "" is "/", and a longest session of 0 an hour.
func (d *Directory) CreateEntity(ctx context.Context, e Entity) (Entity, error) {
	e.ID, e.CreatedAt = newID(idPrefix[e.Kind], 17), d.now()
	if e.Path == "" {
		e.Path = "/"
	}
	if err := e.check(); err != nil {
		return e, err
	}
	tags, err := mergeTags(nil, e.Tags)
	if err != nil {
		return e, err
	}
	e.Tags = tags
	if e.Kind == RoleKind {
		if e.MaxSession == 0 {
			e.MaxSession = minSession
		}
		if err := checkRole(&e); err != nil {
			return e, err
		}
	}
	err = d.change(ctx, e.Account, func(o *Roster) (Changes, error) {
		if _, err := o.Entity(e.Kind, e.Name); err == nil {
			return Changes{}, nameTaken(e.Kind, e.Name)
		}
		if most := MaxEntities[e.Kind]; len(o.Entities(e.Kind, "/")) >= most {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for %sPerAccount: %d", plural[e.Kind], most)
		}
		if err := o.checkBoundary(e.Boundary); err != nil {
			return Changes{}, err
		}
		return Changes{Put: Rows{Entities: []Entity{e}}}, nil
	})
	return e, err
}

func nameTaken(kind Kind, name string) error {
	return fault.New(fault.Conflict, "%s with name %s already exists.", kind.singular(), name)
}

// check holds the name and the path against what IAM takes.
func (e *Entity) check() error {
	most := maxUserOrRoleName
	if e.Kind == GroupKind {
		most = maxGroupOrOtherName
	}
	if err := checkName(string(e.Kind)+"Name", e.Name, most); err != nil {
		return err
	}
	return checkPath(e.Path)
}

// checkPath takes "/" and "/a/b/". The words are those of IAM.
func checkPath(path string) error {
	bad := len(path) > maxPath || !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/")
	for i := 0; i < len(path) && !bad; i++ {
		bad = path[i] < '!' || path[i] > '~'
	}
	if bad {
		return fault.New(fault.Validation, "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return nil
}

// checkRole holds what only roles have against what IAM takes.
func checkRole(e *Entity) error {
	if e.MaxSession < minSession || e.MaxSession > maxSession || e.MaxSession%time.Second != 0 {
		return fault.New(fault.Validation, "1 validation error detected: Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must have value between %d and %d",
			e.MaxSession/time.Second, minSession/time.Second, maxSession/time.Second)
	}
	if len([]rune(e.Description)) > maxDescription {
		return fault.New(fault.Validation, "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to %d", maxDescription)
	}
	return checkTrust(e.Trust)
}

// checkBoundary takes the ARN of a managed policy that there is, or "".
func (o *Roster) checkBoundary(arn string) error {
	if arn == "" {
		return nil
	}
	if _, err := o.Policy(arn); fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "Scope ARN: %s does not exist or is not attachable.", arn)
	} else if err != nil {
		return err
	}
	return nil
}

// edit changes an entity that there is.
func (d *Directory) edit(ctx context.Context, account string, kind Kind, name string, change func(*Roster, *Entity) error) (Entity, error) {
	var out Entity
	err := d.change(ctx, account, func(o *Roster) (Changes, error) {
		e, err := o.Entity(kind, name)
		if err != nil {
			return Changes{}, err
		}
		out = *e
		if err := change(o, &out); err != nil {
			return Changes{}, err
		}
		return Changes{Put: Rows{Entities: []Entity{out}}}, nil
	})
	return out, err
}

// MoveEntity gives a user or a group another name, another path, or both; "" leaves what there is. Everything that it has stays
// with it, and the trust policies that name it go on to.
func (d *Directory) MoveEntity(ctx context.Context, account string, kind Kind, name, newName, newPath string) error {
	return d.apply(ctx, func(s *snapshot) (Changes, error) {
		o := s.rosters[account]
		if o == nil {
			return Changes{}, noAccount(account)
		}
		e, err := o.Entity(kind, name)
		if err != nil {
			return Changes{}, err
		}
		moved := *e
		if newName != "" {
			if other, err := o.Entity(kind, newName); err == nil && other.ID != e.ID {
				return Changes{}, nameTaken(kind, newName)
			}
			moved.Name = newName
		}
		if newPath != "" {
			moved.Path = newPath
		}
		return Changes{Put: Rows{Entities: append(s.trusting(e, moved.ARN()), moved)}}, moved.check()
	})
}

// trusting returns the roles of all accounts whose trust policies name e by its ARN, as they are when they name it by another ARN
// or by its id. As in AWS a trust policy means whoever had the name when it was written, and nobody who gets it later.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html (IAM user principals)
func (s *snapshot) trusting(e *Entity, name string) (changed []Entity) {
	if e.Kind == GroupKind {
		return nil
	}
	for _, o := range s.rosters {
		for _, role := range o.entities {
			if role.Kind != RoleKind || role.ID == e.ID {
				continue
			}
			if trust := policy.RenamePrincipal(role.Trust, e.ARN(), name); trust != role.Trust {
				other := *role
				other.Trust = trust
				changed = append(changed, other)
			}
		}
	}
	return changed
}

// UpdateRole gives a role another description, another longest session, or both; nil leaves what there is.
func (d *Directory) UpdateRole(ctx context.Context, account, name string, description *string, session *time.Duration) (Entity, error) {
	return d.edit(ctx, account, RoleKind, name, func(_ *Roster, e *Entity) error {
		if description != nil {
			e.Description = *description
		}
		if session != nil {
			e.MaxSession = *session
		}
		return checkRole(e)
	})
}

// SetTrust says anew who may assume a role.
func (d *Directory) SetTrust(ctx context.Context, account, role, document string) error {
	_, err := d.edit(ctx, account, RoleKind, role, func(_ *Roster, e *Entity) error {
		e.Trust = document
		return checkRole(e)
	})
	return err
}

// SetBoundary bounds what a user or a role may do by a managed policy, or takes the bound away where arn is "".
func (d *Directory) SetBoundary(ctx context.Context, account string, kind Kind, name, arn string) error {
	_, err := d.edit(ctx, account, kind, name, func(o *Roster, e *Entity) error {
		if arn == "" && e.Boundary == "" {
			return fault.New(fault.NotFound, "%s %s does not have a permissions boundary.", kind.singular(), e.Name)
		}
		e.Boundary = arn
		return o.checkBoundary(arn)
	})
	return err
}

// TagEntity adds tags to a user or a role, in place of those with the same keys.
func (d *Directory) TagEntity(ctx context.Context, account string, kind Kind, name string, tags []Tag) error {
	_, err := d.edit(ctx, account, kind, name, func(_ *Roster, e *Entity) (err error) {
		e.Tags, err = mergeTags(e.Tags, tags)
		return err
	})
	return err
}

// UntagEntity takes tags from a user or a role. Keys that it does not have are no error.
func (d *Directory) UntagEntity(ctx context.Context, account string, kind Kind, name string, keys []string) error {
	_, err := d.edit(ctx, account, kind, name, func(_ *Roster, e *Entity) error {
		e.Tags = withoutTags(e.Tags, keys)
		return nil
	})
	return err
}

// mergeTags adds tags to those that there are.
func mergeTags(have, add []Tag) ([]Tag, error) {
	out := slices.Clone(have)
	for i, t := range add {
		same := func(o Tag) bool { return strings.EqualFold(o.Key, t.Key) }
		if slices.ContainsFunc(add[:i], same) {
			return nil, fault.New(fault.InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return nil, fault.New(fault.InvalidInput, "Tag keys that begin with aws: are reserved for AWS: %s", t.Key)
		}
		if j := slices.IndexFunc(out, same); j >= 0 {
			out[j] = t
		} else {
			out = append(out, t)
		}
	}
	if len(out) > MaxTags {
		return nil, fault.New(fault.QuotaExceeded, "The number of tags has reached the maximum limit.")
	}
	slices.SortFunc(out, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func withoutTags(have []Tag, keys []string) []Tag {
	return slices.DeleteFunc(slices.Clone(have), func(t Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
}

// AddMember puts a user into a group. One who is there already stays.
func (d *Directory) AddMember(ctx context.Context, account, group, user string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		u, g, err := o.pair(user, group)
		if err != nil {
			return Changes{}, err
		}
		if have := o.Groups(u); len(have) >= MaxGroupsPerUser && !slices.Contains(have, g) {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for GroupsPerUser: %d", MaxGroupsPerUser)
		}
		return Changes{Put: Rows{Members: []Member{{Group: g.ID, User: u.ID}}}}, nil
	})
}

// RemoveMember takes a user out of a group. One who is not in it is no error.
func (d *Directory) RemoveMember(ctx context.Context, account, group, user string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		u, g, err := o.pair(user, group)
		if err != nil {
			return Changes{}, err
		}
		return Changes{Delete: Rows{Members: []Member{{Group: g.ID, User: u.ID}}}}, nil
	})
}

func (o *Roster) pair(user, group string) (u, g *Entity, err error) {
	if u, err = o.Entity(UserKind, user); err != nil {
		return nil, nil, err
	}
	g, err = o.Entity(GroupKind, group)
	return u, g, err
}

// DeleteUser deletes a user that has nothing any more.
func (d *Directory) DeleteUser(ctx context.Context, account, name string) error {
	return d.DeleteEntity(ctx, account, UserKind, name)
}

// DeleteEntity deletes an entity that has nothing any more: no keys, policies, groups or members. Trust policies that name it do so
// by its id then, which nobody will have again.
func (d *Directory) DeleteEntity(ctx context.Context, account string, kind Kind, name string) error {
	return d.apply(ctx, func(s *snapshot) (Changes, error) {
		o := s.rosters[account]
		if o == nil {
			return Changes{}, noAccount(account)
		}
		e, err := o.Entity(kind, name)
		if err != nil {
			return Changes{}, err
		}
		first := ""
		switch {
		case len(o.keys[e.ID]) > 0:
			first = "delete access keys first"
		case len(o.bearers[e.ID]) > 0:
			first = "remove referenced objects first"
		case len(o.attached[e.ID]) > 0:
			first = "detach all policies first"
		case len(o.Inline(e)) > 0:
			first = "delete policies first"
		case len(o.Groups(e)) > 0 || len(o.Members(e)) > 0:
			first = "remove users from group first"
		}
		if first != "" {
			return Changes{}, fault.New(fault.InUse, "Cannot delete entity, must %s.", first)
		}
		return Changes{Delete: Rows{Entities: []Entity{*e}}, Put: Rows{Entities: s.trusting(e, e.ID)}}, nil
	})
}

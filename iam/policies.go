package iam

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"outcrop/fault"
	"outcrop/policy"
)

// The quotas of IAM. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxPolicies       = 1500 // managed ones of an account's own
	MaxAttached       = 10   // managed policies of an entity
	MaxVersions       = 5    // of a managed policy
	MaxManagedSize    = 6144 // of a managed policy's document, without white space
	maxPolicyNameSize = 128
)

// MaxInlineSize is the size of all inline policies of an entity together, without white space.
var MaxInlineSize = map[Kind]int{UserKind: 2048, GroupKind: 5120, RoleKind: 10240}

// checkDocument takes a policy document for an entity.
func checkDocument(name, document string) error {
	_, err := policy.Parse(name, []byte(document))
	return malformed(err)
}

// checkTrust takes a document that says who may assume a role.
func checkTrust(document string) error {
	if _, err := policy.ParseTrust("trust", []byte(document)); err != nil {
		return malformed(err)
	}
	if policySize(document) > maxTrustSize {
		return fault.New(fault.QuotaExceeded, "Cannot exceed quota for ACLSizePerRole: %d", maxTrustSize)
	}
	return nil
}

// malformed is an error of package policy as one of a document.
func malformed(err error) error {
	if fault.Is(err, fault.Validation) {
		return fault.Wrap(err, fault.MalformedPolicy, "%s", fault.From(err).Message)
	}
	return err
}

// PutUserPolicy gives a user an inline policy, in place of one of the same name.
func (d *Directory) PutUserPolicy(ctx context.Context, account, user, name string, document []byte) error {
	return d.PutInline(ctx, account, UserKind, user, name, string(document))
}

// PutInline gives an entity an inline policy, in place of one of the same name.
func (d *Directory) PutInline(ctx context.Context, account string, kind Kind, owner, name, document string) error {
	if err := checkName("policyName", name, maxPolicyNameSize); err != nil {
		return err
	}
	if err := checkDocument(name, document); err != nil {
		return err
	}
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		e, err := o.Entity(kind, owner)
		if err != nil {
			return Changes{}, err
		}
		size := policySize(document)
		for _, p := range o.Inline(e) {
			if p.Name != name {
				size += policySize(p.Document)
			}
		}
		if most := MaxInlineSize[kind]; size > most {
			return Changes{}, fault.New(fault.QuotaExceeded, "Maximum policy size of %d bytes exceeded for %s %s", most, kind, e.Name)
		}
		return Changes{Put: Rows{Inline: []InlinePolicy{{Owner: e.ID, Name: name, Document: document, UpdatedAt: d.now()}}}}, nil
	})
}

// DeleteInline takes an inline policy from an entity.
func (d *Directory) DeleteInline(ctx context.Context, account string, kind Kind, owner, name string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		e, err := o.Entity(kind, owner)
		if err != nil {
			return Changes{}, err
		}
		p, err := o.InlinePolicy(e, name)
		if err != nil {
			return Changes{}, err
		}
		return Changes{Delete: Rows{Inline: []InlinePolicy{*p}}}, nil
	})
}

// CreatePolicy makes a managed policy with a first version. Its id, its times and its version are given to it; a path that is
// "" is "/".
func (d *Directory) CreatePolicy(ctx context.Context, p ManagedPolicy, document string) (ManagedPolicy, error) {
	now := d.now()
	p.ID, p.Default, p.Last, p.CreatedAt, p.UpdatedAt = newID("ANPA", 17), 1, 1, now, now
	if p.Path == "" {
		p.Path = "/"
	}
	if err := checkName("policyName", p.Name, maxPolicyNameSize); err != nil {
		return p, err
	}
	if err := checkPath(p.Path); err != nil {
		return p, err
	}
	if err := checkManaged(p.Name, document); err != nil {
		return p, err
	}
	tags, err := mergeTags(nil, p.Tags)
	if err != nil {
		return p, err
	}
	p.Tags = tags
	err = d.change(ctx, p.Account, func(o *Roster) (Changes, error) {
		own := o.Policies(true, false)
		if slices.ContainsFunc(own, func(other *ManagedPolicy) bool { return strings.EqualFold(other.Name, p.Name) }) {
			return Changes{}, fault.New(fault.Conflict, "A policy called %s already exists. Duplicate names are not allowed.", p.Name)
		}
		if len(own) >= MaxPolicies {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for PoliciesPerAccount: %d", MaxPolicies)
		}
		return Changes{Put: Rows{
			Managed: []ManagedPolicy{p}, Versions: []PolicyVersion{{Policy: p.ID, Number: 1, Document: document, CreatedAt: now}},
		}}, nil
	})
	return p, err
}

// checkManaged takes the document of a managed policy, which has to be in the language's last version; inline policies need not.
// AWS was seen to say so in https://github.com/Meteor-Community-Packages/Meteor-CollectionFS/issues/630.
func checkManaged(name, document string) error {
	p, err := policy.Parse(name, []byte(document))
	if err != nil {
		return malformed(err)
	}
	if p.Version() != "2012-10-17" {
		return fault.New(fault.MalformedPolicy, "Policy document must be version 2012-10-17 or greater.")
	}
	if policySize(document) > MaxManagedSize {
		return fault.New(fault.QuotaExceeded, "Cannot exceed quota for PolicySize: %d", MaxManagedSize)
	}
	return nil
}

// own finds a managed policy that the account may change.
func (o *Roster) own(arn string) (*ManagedPolicy, error) {
	p, err := o.Policy(arn)
	if err == nil && p.Account == awsAccount {
		return nil, fault.New(fault.AccessDenied, "Policy %s is an AWS managed policy and cannot be changed.", arn)
	}
	return p, err
}

// CreatePolicyVersion gives a managed policy another document, which counts from now on where byDefault is set.
func (d *Directory) CreatePolicyVersion(ctx context.Context, account, arn, document string, byDefault bool) (v PolicyVersion, err error) {
	if err := checkManaged(arn, document); err != nil {
		return v, err
	}
	err = d.change(ctx, account, func(o *Roster) (Changes, error) {
		old, err := o.own(arn)
		if err != nil {
			return Changes{}, err
		}
		if len(o.Versions(old)) >= MaxVersions {
			return Changes{}, fault.New(fault.QuotaExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", MaxVersions)
		}
		p := *old
		p.Last++
		p.UpdatedAt = d.now()
		if byDefault {
			p.Default = p.Last
		}
		v = PolicyVersion{Policy: p.ID, Number: p.Last, Document: document, CreatedAt: p.UpdatedAt}
		return Changes{Put: Rows{Managed: []ManagedPolicy{p}, Versions: []PolicyVersion{v}}}, nil
	})
	return v, err
}

// SetDefaultVersion makes a version of a managed policy the one that counts.
func (d *Directory) SetDefaultVersion(ctx context.Context, account, arn string, number int) error {
	return d.editPolicy(ctx, account, arn, func(o *Roster, p *ManagedPolicy) error {
		if _, err := o.Version(p, number); err != nil {
			return err
		}
		p.Default, p.UpdatedAt = number, d.now()
		return nil
	})
}

// DeletePolicyVersion deletes a version of a managed policy that does not count.
func (d *Directory) DeletePolicyVersion(ctx context.Context, account, arn string, number int) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		p, err := o.own(arn)
		if err != nil {
			return Changes{}, err
		}
		v, err := o.Version(p, number)
		if err != nil {
			return Changes{}, err
		}
		if number == p.Default {
			return Changes{}, fault.New(fault.InUse, "Cannot delete the default version of a policy.")
		}
		return Changes{Delete: Rows{Versions: []PolicyVersion{*v}}}, nil
	})
}

// DeletePolicy deletes a managed policy that nobody has and that has but one version.
func (d *Directory) DeletePolicy(ctx context.Context, account, arn string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		p, err := o.own(arn)
		if err != nil {
			return Changes{}, err
		}
		versions := o.Versions(p)
		switch attached, bounded := o.UsedBy(p); {
		case len(attached)+len(bounded) > 0:
			return Changes{}, fault.New(fault.InUse, "Cannot delete a policy attached to entities.")
		case len(versions) > 1:
			return Changes{}, fault.New(fault.InUse, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		c := Changes{Delete: Rows{Managed: []ManagedPolicy{*p}}}
		for _, v := range versions {
			c.Delete.Versions = append(c.Delete.Versions, *v)
		}
		return c, nil
	})
}

// editPolicy changes a managed policy of the account's own.
func (d *Directory) editPolicy(ctx context.Context, account, arn string, change func(*Roster, *ManagedPolicy) error) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		old, err := o.own(arn)
		if err != nil {
			return Changes{}, err
		}
		p := *old
		if err := change(o, &p); err != nil {
			return Changes{}, err
		}
		return Changes{Put: Rows{Managed: []ManagedPolicy{p}}}, nil
	})
}

// TagPolicy adds tags to a managed policy, in place of those with the same keys.
func (d *Directory) TagPolicy(ctx context.Context, account, arn string, tags []Tag) error {
	return d.editPolicy(ctx, account, arn, func(_ *Roster, p *ManagedPolicy) (err error) {
		p.Tags, err = mergeTags(p.Tags, tags)
		return err
	})
}

// UntagPolicy takes tags from a managed policy. Keys that it does not have are no error.
func (d *Directory) UntagPolicy(ctx context.Context, account, arn string, keys []string) error {
	return d.editPolicy(ctx, account, arn, func(_ *Roster, p *ManagedPolicy) error {
		p.Tags = withoutTags(p.Tags, keys)
		return nil
	})
}

// Attach attaches a managed policy to an entity. One that is attached stays.
func (d *Directory) Attach(ctx context.Context, account string, kind Kind, owner, arn string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		e, err := o.Entity(kind, owner)
		if err != nil {
			return Changes{}, err
		}
		p, err := o.Policy(arn)
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.NotFound, "Policy %s does not exist or is not attachable.", arn)
		}
		if err != nil {
			return Changes{}, err
		}
		if have := o.attached[e.ID]; len(have) >= MaxAttached && !slices.Contains(have, arn) {
			return Changes{}, fault.New(fault.QuotaExceeded, "Cannot exceed quota for PoliciesPer%s: %d", kind.singular(), MaxAttached)
		}
		return Changes{Put: Rows{Attachments: []Attachment{{Owner: e.ID, Policy: p.ARN()}}}}, nil
	})
}

// Detach takes a managed policy from an entity that has it.
func (d *Directory) Detach(ctx context.Context, account string, kind Kind, owner, arn string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		e, err := o.Entity(kind, owner)
		if err != nil {
			return Changes{}, err
		}
		if !slices.Contains(o.attached[e.ID], arn) {
			return Changes{}, fault.New(fault.NotFound, "Policy %s was not found.", arn)
		}
		return Changes{Delete: Rows{Attachments: []Attachment{{Owner: e.ID, Policy: arn}}}}, nil
	})
}

// policySize is the characters of a document as IAM's quotas count them.
func policySize(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// FullAccess is the guardrail that allows everything, so that others need only say what is denied. It comes with the first of an
// account and can be deleted: then only what the others allow is allowed.
const FullAccess = "FullAWSAccess"

// MaxGuardrails is the policies that may bound an account. AWS attaches at most five to an account, and to each unit above it.
// Source: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
const (
	MaxGuardrails    = 5
	maxGuardrailSize = 10240 // without white space
)

// PutGuardrail bounds an account by a policy, in place of one of the same name. The first brings FullAccess with it.
func (d *Directory) PutGuardrail(ctx context.Context, account, name, document string) error {
	if err := checkName("name", name, maxPolicyNameSize); err != nil {
		return err
	}
	if err := checkDocument(name, document); err != nil {
		return err
	}
	if policySize(document) > maxGuardrailSize {
		return fault.New(fault.QuotaExceeded, "Cannot exceed quota for the size of a service control policy: %d", maxGuardrailSize)
	}
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		have := o.Guardrails()
		put := []Guardrail{{Account: account, Name: name, Document: document, UpdatedAt: d.now()}}
		if len(have) == 0 && name != FullAccess {
			put = append(put, Guardrail{account, FullAccess, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, d.now()})
		}
		if len(have) >= MaxGuardrails && !slices.ContainsFunc(have, func(g Guardrail) bool { return g.Name == name }) {
			return Changes{}, fault.New(fault.QuotaExceeded, "An account can have up to %d service control policies.", MaxGuardrails)
		}
		return Changes{Put: Rows{Guardrails: put}}, nil
	})
}

// DeleteGuardrail takes a policy away that bounds an account. After the last one nothing bounds it.
func (d *Directory) DeleteGuardrail(ctx context.Context, account, name string) error {
	return d.change(ctx, account, func(o *Roster) (Changes, error) {
		for _, g := range o.Guardrails() {
			if g.Name == name {
				return Changes{Delete: Rows{Guardrails: []Guardrail{g}}}, nil
			}
		}
		return Changes{}, fault.New(fault.NotFound, "The service control policy with name %s cannot be found.", name)
	})
}

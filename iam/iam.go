// Package iam knows who is calling and decides, through package policy, whether they may. It holds accounts, users and
// keys; it verifies AWS Signature Version 4, or an API key of Amazon Bedrock, on the raw request; and Guard.Check decides
// and records in one call. It is also where users, groups, roles, keys and policies are managed.
package iam

import (
	"context"
	"time"

	"outcrop/policy"
)

// Caller is an authenticated principal and what its credentials say of the request. It is passed explicitly, never
// hidden in a context.
type Caller struct {
	Account     string // 12 digits
	ARN         string // arn:aws:iam::000000000000:user/alice, ...:root, or of a role's session arn:aws:sts::000000000000:assumed-role/ROLE/SESSION
	ID          string // the principal's unique id: AIDA... for a user, AROA...:SESSION for a role's session, the account for root
	UserName    string // "" for root and for roles
	Root        bool   // the account's root: allowed everything in its own account that a guardrail allows
	AccessKeyID string // of a long-term API key its id, of a short-term one that of the access key that signed it
	Region      string // from the signature's scope: the source Region of the call; of a long-term API key see Config.Region and Locate
	Service     string // from the signature's scope: "bedrock", "ce", "sts"; of an API key "bedrock"

	// Of temporary credentials.
	Issued         time.Time // when they were given; zero of an access key
	Role           string    // of a role's session, the role's ARN
	SessionName    string    // likewise
	SourceIdentity string    // likewise: who is behind it, if that was said
	Provider       string    // of who came with the token of an identity provider: its ARN

	BearerTokenType string // ShortTerm or LongTerm for who came with an API key, else ""

	set    *policy.Set // what it may do, as of authentication; nil for root without a guardrail
	tags   []principalTag
	passed []Tag  // of the tags those that go on into the next role's session
	open   bool   // Region is only the default: see Locate
	origin origin // what the request itself said when it was authenticated
}

// SourceIP is the address that the request came from, "" where it is not known.
func (c *Caller) SourceIP() string { return c.origin.ip }

// Unbounded reports whether the caller may do everything in its own account: who asks many things of a Guard need ask only one.
func (c *Caller) Unbounded() bool { return c.Root && c.set == nil }

// Access is one thing to be allowed: an action on a resource, with the context keys that only the request's domain
// knows. Guard.Check adds the keys that come with the caller and the request itself (aws:PrincipalArn,
// aws:RequestedRegion unless given here, aws:CurrentTime, aws:SourceIp and so on).
type Access struct {
	Action   string
	Resource string
	Context  policy.Context
	Trust    *policy.Policy // the trust policy of the role that Resource is, which may be another account's; nil of anything else
}

// Decision is one answer of Guard.Check, as it is recorded.
type Decision struct {
	Time      time.Time
	RequestID string
	Caller    *Caller
	Access    Access
	policy.Decision
}

// Account is an account: a boundary that owns entities and everything they make.
type Account struct {
	ID        string // 12 digits
	CreatedAt time.Time
}

// Kind is what an Entity is. Its text is that of ARNs.
type Kind string

// The kinds of entities: what policies are attached to.
const (
	UserKind  Kind = "user"
	GroupKind Kind = "group"
	RoleKind  Kind = "role"
)

// Entity is a user, a group or a role.
type Entity struct {
	Account   string
	Kind      Kind
	Name      string // kept as it was given; unique among the account's of its kind, whatever its case
	Path      string // "/" or "/division/team/"
	ID        string // AIDA (user), AGPA (group) or AROA (role) and 17 of [A-Z2-7]; never used again
	CreatedAt time.Time
	Boundary  string // the ARN of the managed policy that bounds its permissions; "" is none; not of groups
	Tags      []Tag  // sorted by key; not of groups

	// Of roles.
	Trust       string        // the document that says who may assume it, as it was given
	Description string        //
	MaxSession  time.Duration // the longest that a session of it may last; whole seconds
}

// ARN returns the entity's ARN.
func (e *Entity) ARN() string { return entityARN(e.Account, e.Kind, e.Path, e.Name) }

func entityARN(account string, kind Kind, path, name string) string {
	return "arn:aws:iam::" + account + ":" + string(kind) + path + name
}

// Tag is a key with its value. Keys that differ in case only are one key.
type Tag struct{ Key, Value string }

// Member says that a user is in a group.
type Member struct {
	Group string // Entity.ID
	User  string // Entity.ID
}

// AccessKey is a long-term access key of a user or of an account's root.
type AccessKey struct {
	ID        string // AKIA and 16 of [A-Z2-7]; root's may be whatever the installation was given
	Account   string
	Owner     string // Entity.ID; "" is the account's root
	Secret    []byte // sealed, see Sealer; nil where keys are listed
	Active    bool
	CreatedAt time.Time
}

// BearerKey is a long-term API key of a user: what IAM calls a service-specific credential of bedrock.amazonaws.com.
type BearerKey struct {
	ID        string // ACCA and 17 of [A-Z2-7]
	Alias     string // the part of it that is no secret: "alice-at-123456789012"; unique
	Account   string
	Owner     string // Entity.ID of a user
	Hash      []byte // SHA-256 of the secret; nil where keys are listed
	Active    bool
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// InlinePolicy is a policy that is part of a user, group or role.
type InlinePolicy struct {
	Owner     string // Entity.ID
	Name      string
	Document  string // as it was given
	UpdatedAt time.Time
}

// ManagedPolicy is a policy that stands by itself and is attached to entities. Those of AWS have the account "aws".
type ManagedPolicy struct {
	Account     string
	Name        string // unique in the account, whatever its case
	Path        string
	ID          string // ANPA and 17 of [A-Z2-7]
	Description string
	Default     int // the number of the version that counts
	Last        int // the highest number that a version has had: none is given twice
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Tags        []Tag // sorted by key
}

// ARN returns the policy's ARN.
func (p *ManagedPolicy) ARN() string {
	return "arn:aws:iam::" + p.Account + ":policy" + p.Path + p.Name
}

// PolicyVersion is one of a managed policy's documents.
type PolicyVersion struct {
	Policy    string // ManagedPolicy.ID
	Number    int    // from 1: the API's v1
	Document  string // as it was given
	CreatedAt time.Time
}

// Attachment says that a managed policy is attached to an entity.
type Attachment struct {
	Owner  string // Entity.ID
	Policy string // its ARN
}

// Guardrail is a policy that bounds everyone in an account, its root too: what AWS Organizations calls a service control policy.
type Guardrail struct {
	Account   string
	Name      string
	Document  string // as it was given
	UpdatedAt time.Time
}

// Rows is what a Store holds. Lists are sorted by their keys, which are the fields named here.
type Rows struct {
	Accounts    []Account       // ID
	Entities    []Entity        // ID
	Members     []Member        // Group, User
	Keys        []AccessKey     // ID
	Bearers     []BearerKey     // ID
	Inline      []InlinePolicy  // Owner, Name
	Managed     []ManagedPolicy // ID
	Versions    []PolicyVersion // Policy, Number
	Attachments []Attachment    // Owner, Policy
	Guardrails  []Guardrail     // Account, Name
}

// State is everything a Store holds, as of one revision.
type State struct {
	Revision int64
	Rows
}

// Changes is what one Store.ChangePrincipals does: first it deletes, then it puts. A put replaces what has the same key. Of
// what is deleted only the key counts; deleting what is not there is no error. Accounts are never deleted.
type Changes struct{ Delete, Put Rows }

// Store keeps accounts, entities, keys and policies. Its rules are few, since a Directory decides on a whole State and
// applies what it decided only if nothing changed in between. Times are kept to the millisecond, in UTC.
type Store interface {
	// Revision returns the number of changes of domain "iam" so far; any process on the same database sees it grow.
	Revision(ctx context.Context, domain string) (int64, error)

	// Principals returns everything, as of one moment.
	Principals(ctx context.Context) (*State, error)

	// ChangePrincipals makes all the changes durable, and the revision one higher, or does nothing. It returns
	// ErrStale when the revision is not the given one any more.
	ChangePrincipals(ctx context.Context, revision int64, c Changes) error

	// KeyUses returns what PutKeyUses was given last of each key and role, in any order.
	KeyUses(ctx context.Context) ([]KeyUse, error)

	// PutKeyUses keeps the last uses of access keys and roles. It changes no revision: nothing is decided by them.
	PutKeyUses(ctx context.Context, uses []KeyUse) error
}

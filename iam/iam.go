// Package iam knows who is calling and decides, through package policy, whether they may. It holds accounts, users and
// keys; it verifies AWS Signature Version 4, or an API key of Amazon Bedrock, on the raw request; and Guard.Check decides
// and records in one call.
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
	ARN         string // arn:aws:iam::000000000000:user/alice, or ...:root
	ID          string // the principal's unique id: AIDA... for a user, the account for root
	UserName    string // "" for root
	Root        bool   // the account's root: allowed everything in its own account
	AccessKeyID string // of a long-term API key its id, of a short-term one that of the access key that signed it
	Region      string // from the signature's scope: the source Region of the call; of a long-term API key see Config.Region and Locate
	Service     string // from the signature's scope: "bedrock", "ce", "sts"; of an API key "bedrock"

	BearerTokenType string // ShortTerm or LongTerm for who came with an API key, else ""

	policies []*policy.Policy // the identity-based policies as of authentication
	open     bool             // Region is only the default: see Locate
	origin   origin           // what the request itself said when it was authenticated
}

// Access is one thing to be allowed: an action on a resource, with the context keys that only the request's domain
// knows. Guard.Check adds the keys that come with the caller and the request itself (aws:PrincipalArn,
// aws:RequestedRegion unless given here, aws:CurrentTime, aws:SourceIp and so on).
type Access struct {
	Action   string
	Resource string
	Context  policy.Context
}

// Decision is one answer of Guard.Check, as it is recorded.
type Decision struct {
	Time      time.Time
	RequestID string
	Caller    *Caller
	Access    Access
	policy.Decision
}

// Account is an account: a boundary that owns users and everything they make.
type Account struct {
	ID        string // 12 digits
	CreatedAt time.Time
}

// User is an IAM user.
type User struct {
	Account   string
	Name      string
	ID        string // AIDA and 17 of [A-Z2-7]
	CreatedAt time.Time
}

// ARN returns the user's ARN.
func (u *User) ARN() string { return "arn:aws:iam::" + u.Account + ":user/" + u.Name }

// AccessKey is a long-term access key of a user or of an account's root.
type AccessKey struct {
	ID        string // AKIA and 16 of [A-Z2-7]; root's may be whatever the installation was given
	Account   string
	User      string // "" is the account's root
	Secret    []byte // sealed, see Sealer; nil where keys are listed
	Active    bool
	CreatedAt time.Time
}

// BearerKey is a long-term API key of a user: what IAM calls a service-specific credential of bedrock.amazonaws.com.
type BearerKey struct {
	ID        string // ACCA and 17 of [A-Z2-7]
	Alias     string // the part of it that is no secret: "alice-at-123456789012"; unique
	Account   string
	User      string
	Hash      []byte // SHA-256 of the secret; nil where keys are listed
	Active    bool
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// UserPolicy is an inline policy of a user.
type UserPolicy struct {
	Account   string
	User      string
	Name      string
	Document  string // as it was given
	UpdatedAt time.Time
}

// State is everything a Store holds, as of one revision. Lists are sorted by their keys.
type State struct {
	Revision int64
	Accounts []Account
	Users    []User
	Keys     []AccessKey
	Bearers  []BearerKey
	Policies []UserPolicy
}

// Changes is what one Store.ChangePrincipals does: first it deletes, then it puts. A put replaces what has the same key (Account.ID;
// User.Account and Name; AccessKey.ID; BearerKey.ID; UserPolicy.Account, User and Name). Deleting what is not there is no
// error.
type Changes struct {
	DeleteKeys     []string     // AccessKey.ID
	DeleteBearers  []string     // BearerKey.ID
	DeletePolicies []UserPolicy // only the key's fields count
	DeleteUsers    []User       // only the key's fields count
	PutAccounts    []Account
	PutUsers       []User
	PutKeys        []AccessKey
	PutBearers     []BearerKey
	PutPolicies    []UserPolicy
}

// Store keeps accounts, users, keys and policies. Its rules are few, since a Directory decides on a whole State and
// applies what it decided only if nothing changed in between. Times are kept to the millisecond, in UTC.
type Store interface {
	// Revision returns the number of changes of domain "iam" so far; any process on the same database sees it grow.
	Revision(ctx context.Context, domain string) (int64, error)

	// Principals returns everything, as of one moment.
	Principals(ctx context.Context) (*State, error)

	// ChangePrincipals makes all the changes durable, and the revision one higher, or does nothing. It returns
	// ErrStale when the revision is not the given one any more.
	ChangePrincipals(ctx context.Context, revision int64, c Changes) error
}

package profile

import (
	"context"
	"errors"
	"time"
)

// Store keeps application profiles. Every change bumps one revision, by which another process on the same store
// notices it. profiletest.Run is the specification.
type Store interface {
	// Revision returns the number of changes so far; any process on the same store sees it grow.
	Revision(ctx context.Context) (int64, error)

	// Load returns all profiles, those of one account and Region in order of creation (CreatedAt, then ID), and a
	// revision that is not newer than they are.
	Load(ctx context.Context) ([]*Profile, int64, error)

	// Insert adds p durably, unless its account and Region already have limit profiles (ErrQuota) or one of its id
	// (ErrExists). When a profile made with the same, not empty, token is there, that one is returned instead of p
	// and nothing changes, not even the revision.
	Insert(ctx context.Context, p *Profile, limit int) (stored *Profile, revision int64, err error)

	// Delete removes a profile durably, at a time that its history keeps; ErrNotFound when it is not there.
	Delete(ctx context.Context, account, region, id string, at time.Time) (revision int64, err error)

	// EditTags replaces a profile's tags durably by what edit makes of the present ones, in one transaction, at a time that their
	// history keeps; edit may
	// be called more than once. It returns ErrNotFound when the profile is not there, and edit's error as it is.
	EditTags(ctx context.Context, account, region, id string, at time.Time, edit func([]Tag) ([]Tag, error)) (tags []Tag, revision int64, err error)
}

// Errors of a Store.
var (
	ErrNotFound = errors.New("no such profile")
	ErrExists   = errors.New("profile id is taken")
	ErrQuota    = errors.New("too many profiles")
)

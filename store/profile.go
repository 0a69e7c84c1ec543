package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/arn"
	"outcrop/profile"
)

const profileDomain = "profile"

// Profiles returns the store of application inference profiles.
func (s *Store) Profiles() profile.Store { return profileStore{s} }

type profileStore struct{ *Store }

func (s profileStore) Revision(ctx context.Context) (int64, error) {
	return s.Store.Revision(ctx, profileDomain)
}

const profileColumns = `account, region, id, name, description, source, model_id, geo, models, created_at, updated_at, token, token_digest, tags`

func (s profileStore) Load(ctx context.Context) ([]*profile.Profile, int64, error) {
	// The revision first: a change in between is then noticed as one still to come.
	revision, err := s.Revision(ctx)
	if err != nil {
		return nil, 0, err
	}
	rows, err := s.read.QueryContext(ctx, `SELECT `+profileColumns+` FROM profile ORDER BY account, region, created_at, id`)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var ps []*profile.Profile
	for rows.Next() {
		p, err := scanProfile(rows)
		if err != nil {
			return nil, 0, err
		}
		ps = append(ps, p)
	}
	return ps, revision, rows.Err()
}

func scanProfile(row interface{ Scan(...any) error }) (*profile.Profile, error) {
	p := &profile.Profile{Type: profile.Application}
	var created, updated int64
	var models, tags string
	if err := row.Scan(&p.Account, &p.Region, &p.ID, &p.Name, &p.Description, &p.Source, &p.ModelID, &p.Geo, &models,
		&created, &updated, &p.Token, &p.TokenDigest, &tags); err != nil {
		return nil, err
	}
	p.ARN = arn.ApplicationProfile(p.Region, p.Account, p.ID)
	p.CreatedAt, p.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	var err error
	if p.Tags, err = decodeTags(tags); err != nil {
		return nil, fmt.Errorf("profile %s: tags: %w", p.ARN, err)
	}
	if err := json.Unmarshal([]byte(models), &p.Models); err != nil {
		return nil, fmt.Errorf("profile %s: models: %w", p.ARN, err)
	}
	return p, nil
}

func (s profileStore) Insert(ctx context.Context, p *profile.Profile, limit int) (stored *profile.Profile, revision int64, err error) {
	models, err := json.Marshal(p.Models)
	if err != nil {
		return nil, 0, err
	}
	tags, err := encodeTags(p.Tags)
	if err != nil {
		return nil, 0, err
	}
	err = s.change(ctx, func(tx *sql.Tx) error {
		stored, revision = p, 0
		if p.Token != "" {
			old, err := scanProfile(tx.QueryRowContext(ctx, `SELECT `+profileColumns+` FROM profile
				WHERE account = $1 AND region = $2 AND token = $3`, p.Account, p.Region, p.Token))
			if err == nil {
				stored = old
				revision, err = revisionOf(ctx, tx, profileDomain)
				return err
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM profile WHERE account = $1 AND region = $2`, p.Account, p.Region).Scan(&n); err != nil {
			return err
		}
		if n >= limit {
			return profile.ErrQuota
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO profile (`+profileColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (account, region, id) DO NOTHING`,
			p.Account, p.Region, p.ID, p.Name, p.Description, p.Source, p.ModelID, p.Geo, string(models),
			p.CreatedAt.UnixMicro(), p.UpdatedAt.UnixMicro(), p.Token, p.TokenDigest, tags)
		if err := oneRow(r, err, profile.ErrExists); err != nil {
			return err
		}
		if err := keepTags(ctx, tx, p.Account, p.Region, p.ID, p.CreatedAt, tags); err != nil {
			return err
		}
		revision, err = bumped(ctx, tx, profileDomain)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return stored, revision, nil
}

func (s profileStore) Delete(ctx context.Context, account, region, id string, at time.Time) (revision int64, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM profile WHERE account = $1 AND region = $2 AND id = $3`, account, region, id)
		if err := oneRow(r, err, profile.ErrNotFound); err != nil {
			return err
		}
		if err := keepTags(ctx, tx, account, region, id, at, nil); err != nil {
			return err
		}
		revision, err = bumped(ctx, tx, profileDomain)
		return err
	})
	return revision, err
}

func (s profileStore) EditTags(ctx context.Context, account, region, id string, at time.Time, edit func([]profile.Tag) ([]profile.Tag, error)) (tags []profile.Tag, revision int64, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		var old string
		switch err := tx.QueryRowContext(ctx, `SELECT tags FROM profile WHERE account = $1 AND region = $2 AND id = $3`, account, region, id).Scan(&old); {
		case errors.Is(err, sql.ErrNoRows):
			return profile.ErrNotFound
		case err != nil:
			return err
		}
		present, err := decodeTags(old)
		if err != nil {
			return err
		}
		if tags, err = edit(present); err != nil {
			return err
		}
		text, err := encodeTags(tags)
		if err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `UPDATE profile SET tags = $1 WHERE account = $2 AND region = $3 AND id = $4`, text, account, region, id)
		if err := oneRow(r, err, profile.ErrNotFound); err != nil {
			return err
		}
		if err := keepTags(ctx, tx, account, region, id, at, text); err != nil {
			return err
		}
		revision, err = bumped(ctx, tx, profileDomain)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return tags, revision, nil
}

// oneRow returns none when a statement changed no row.
func oneRow(r sql.Result, err, none error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = none
	}
	return err
}

// bumped is bump that returns the new number.
func bumped(ctx context.Context, tx *sql.Tx, domain string) (int64, error) {
	if err := bump(ctx, tx, domain); err != nil {
		return 0, err
	}
	return revisionOf(ctx, tx, domain)
}

func revisionOf(ctx context.Context, tx *sql.Tx, domain string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT number FROM revision WHERE domain = $1`, domain).Scan(&n)
	return n, err
}

// encodeTags writes tags as [[key, value], ...].
func encodeTags(tags []profile.Tag) (string, error) {
	pairs := make([][2]string, len(tags))
	for i, t := range tags {
		pairs[i] = [2]string{t.Key, t.Value}
	}
	b, err := json.Marshal(pairs)
	return string(b), err
}

func decodeTags(text string) ([]profile.Tag, error) {
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, err
	}
	tags := make([]profile.Tag, len(pairs))
	for i, p := range pairs {
		tags[i] = profile.Tag{Key: p[0], Value: p[1]}
	}
	return tags, nil
}

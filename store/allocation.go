package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"outcrop/arn"
	"outcrop/cost"
)

// TagHistory implements cost.Allocations.
func (s *Store) TagHistory(ctx context.Context, account string) ([]cost.Tagged, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT region, id, since, tags FROM profile_tags WHERE account = $1 ORDER BY region, id, since`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var history []cost.Tagged
	for rows.Next() {
		var (
			region, id string
			since      int64
			text       sql.NullString
		)
		if err := rows.Scan(&region, &id, &since, &text); err != nil {
			return nil, err
		}
		h := cost.Tagged{ARN: arn.ApplicationProfile(region, account, id), Since: time.UnixMicro(since).UTC(), Deleted: !text.Valid}
		if text.Valid {
			if h.Tags, err = decodeTagset([]byte(text.String)); err != nil {
				return nil, fmt.Errorf("tags of %s: %w", h.ARN, err)
			}
		}
		history = append(history, h)
	}
	return history, rows.Err()
}

// keepTags adds to the history of a profile that it has the tags of text from a moment on, or NULL: that it is deleted. A
// clock that was set back does not turn the history around.
func keepTags(ctx context.Context, tx *sql.Tx, account, region, id string, at time.Time, text any) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO profile_tags (account, region, id, since, tags)
		SELECT $1, $2, $3, CASE WHEN MAX(since) >= $4 THEN MAX(since) + 1 ELSE $4 END, $5
		FROM profile_tags WHERE account = $1 AND region = $2 AND id = $3`, account, region, id, at.UnixMicro(), text)
	return err
}

// TagStatuses implements cost.Allocations.
func (s *Store) TagStatuses(ctx context.Context, account string) ([]cost.TagStatus, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT key, active, changed FROM cost_tag WHERE account = $1 ORDER BY key`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var statuses []cost.TagStatus
	for rows.Next() {
		var (
			t       cost.TagStatus
			changed int64
		)
		if err := rows.Scan(&t.Key, &t.Active, &changed); err != nil {
			return nil, err
		}
		t.Changed = time.UnixMicro(changed).UTC()
		statuses = append(statuses, t)
	}
	return statuses, rows.Err()
}

// SetTagStatuses implements cost.Allocations.
func (s *Store) SetTagStatuses(ctx context.Context, account string, statuses []cost.TagStatus) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		for i := range statuses {
			t := &statuses[i]
			if _, err := tx.ExecContext(ctx, `INSERT INTO cost_tag (account, key, active, changed) VALUES ($1, $2, $3, $4)
				ON CONFLICT (account, key) DO UPDATE SET active = excluded.active, changed = excluded.changed
				WHERE cost_tag.active <> excluded.active`, account, t.Key, t.Active, t.Changed.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
}

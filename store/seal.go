package store

import (
	"context"
	"database/sql"

	"outcrop/iam"
)

// Reseal seals everything that is sealed anew, with the first key of sealer: all of it or nothing. Whoever has read it before with
// another key reads it again, and cannot.
func (s *Store) Reseal(ctx context.Context, sealer *iam.Sealer) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		keys, err := iamKeys.load(ctx, tx)
		if err != nil {
			return err
		}
		for i := range keys {
			if err := sealer.Reseal(&keys[i]); err != nil {
				return err
			}
		}
		if err := iamKeys.put(ctx, tx, keys); err != nil {
			return err
		}
		if err := bump(ctx, tx, iamDomain); err != nil {
			return err
		}
		head, err := auditHead(ctx, tx)
		if err != nil || head == nil {
			return err
		}
		if err := head.Reseal(sealer); err != nil {
			return err
		}
		return putAuditHead(ctx, tx, head)
	})
}

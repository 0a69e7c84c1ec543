package store

import (
	"context"
	"database/sql"
	"time"

	"outcrop/iam"
)

var _ iam.Store = (*Store)(nil)

const iamDomain = "iam"

// Principals implements iam.Store.
func (s *Store) Principals(ctx context.Context) (*iam.State, error) {
	// One transaction, so that the parts and the revision belong together.
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelSerializable})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing was written

	st := &iam.State{}
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM revision WHERE domain = $1`, iamDomain).Scan(&st.Revision)
	if err != nil {
		return nil, err
	}
	st.Accounts, err = collect(ctx, tx, `SELECT id, created_at FROM iam_account ORDER BY id`,
		func(rows *sql.Rows, a *iam.Account) error {
			var created int64
			err := rows.Scan(&a.ID, &created)
			a.CreatedAt = time.UnixMilli(created).UTC()
			return err
		})
	if err != nil {
		return nil, err
	}
	st.Users, err = collect(ctx, tx, `SELECT account, name, id, created_at FROM iam_user ORDER BY account, name`,
		func(rows *sql.Rows, u *iam.User) error {
			var created int64
			err := rows.Scan(&u.Account, &u.Name, &u.ID, &created)
			u.CreatedAt = time.UnixMilli(created).UTC()
			return err
		})
	if err != nil {
		return nil, err
	}
	st.Keys, err = collect(ctx, tx, `SELECT id, account, user_name, secret, active, created_at FROM iam_access_key ORDER BY id`,
		func(rows *sql.Rows, k *iam.AccessKey) error {
			var created int64
			err := rows.Scan(&k.ID, &k.Account, &k.User, &k.Secret, &k.Active, &created)
			k.CreatedAt = time.UnixMilli(created).UTC()
			return err
		})
	if err != nil {
		return nil, err
	}
	st.Bearers, err = collect(ctx, tx, `SELECT id, alias, account, user_name, hash, active, created_at, expires_at FROM iam_bearer_key ORDER BY id`,
		func(rows *sql.Rows, k *iam.BearerKey) error {
			var created int64
			var expires sql.NullInt64
			err := rows.Scan(&k.ID, &k.Alias, &k.Account, &k.User, &k.Hash, &k.Active, &created, &expires)
			k.CreatedAt = time.UnixMilli(created).UTC()
			if expires.Valid {
				k.ExpiresAt = time.UnixMilli(expires.Int64).UTC()
			}
			return err
		})
	if err != nil {
		return nil, err
	}
	st.Policies, err = collect(ctx, tx, `SELECT account, user_name, name, document, updated_at FROM iam_user_policy ORDER BY account, user_name, name`,
		func(rows *sql.Rows, p *iam.UserPolicy) error {
			var updated int64
			err := rows.Scan(&p.Account, &p.User, &p.Name, &p.Document, &updated)
			p.UpdatedAt = time.UnixMilli(updated).UTC()
			return err
		})
	if err != nil {
		return nil, err
	}
	return st, nil
}

// collect runs a query and scans each row into a new T.
func collect[T any](ctx context.Context, tx *sql.Tx, query string, scan func(*sql.Rows, *T) error) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// ChangePrincipals implements iam.Store.
func (s *Store) ChangePrincipals(ctx context.Context, revision int64, c iam.Changes) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		// The bump comes first: on an engine with many writers it locks the domain's row until the end.
		if err := bump(ctx, tx, iamDomain); err != nil {
			return err
		}
		var now int64
		if err := tx.QueryRowContext(ctx, `SELECT number FROM revision WHERE domain = $1`, iamDomain).Scan(&now); err != nil {
			return err
		}
		if now != revision+1 {
			return iam.ErrStale
		}
		exec := func(query string, args ...any) error {
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		}
		for _, id := range c.DeleteKeys {
			if err := exec(`DELETE FROM iam_access_key WHERE id = $1`, id); err != nil {
				return err
			}
		}
		for _, id := range c.DeleteBearers {
			if err := exec(`DELETE FROM iam_bearer_key WHERE id = $1`, id); err != nil {
				return err
			}
		}
		for _, p := range c.DeletePolicies {
			if err := exec(`DELETE FROM iam_user_policy WHERE account = $1 AND user_name = $2 AND name = $3`, p.Account, p.User, p.Name); err != nil {
				return err
			}
		}
		for _, u := range c.DeleteUsers {
			if err := exec(`DELETE FROM iam_user WHERE account = $1 AND name = $2`, u.Account, u.Name); err != nil {
				return err
			}
		}
		for _, a := range c.PutAccounts {
			if err := exec(`INSERT INTO iam_account (id, created_at) VALUES ($1, $2)
				ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at`, a.ID, a.CreatedAt.UnixMilli()); err != nil {
				return err
			}
		}
		for _, u := range c.PutUsers {
			if err := exec(`INSERT INTO iam_user (account, name, id, created_at) VALUES ($1, $2, $3, $4)
				ON CONFLICT (account, name) DO UPDATE SET id = excluded.id, created_at = excluded.created_at`,
				u.Account, u.Name, u.ID, u.CreatedAt.UnixMilli()); err != nil {
				return err
			}
		}
		for _, k := range c.PutKeys {
			if err := exec(`INSERT INTO iam_access_key (id, account, user_name, secret, active, created_at) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (id) DO UPDATE SET account = excluded.account, user_name = excluded.user_name, secret = excluded.secret,
					active = excluded.active, created_at = excluded.created_at`,
				k.ID, k.Account, k.User, k.Secret, k.Active, k.CreatedAt.UnixMilli()); err != nil {
				return err
			}
		}
		for _, k := range c.PutBearers {
			expires := sql.NullInt64{Int64: k.ExpiresAt.UnixMilli(), Valid: !k.ExpiresAt.IsZero()}
			if err := exec(`INSERT INTO iam_bearer_key (id, alias, account, user_name, hash, active, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
				ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, account = excluded.account, user_name = excluded.user_name, hash = excluded.hash,
					active = excluded.active, created_at = excluded.created_at, expires_at = excluded.expires_at`,
				k.ID, k.Alias, k.Account, k.User, k.Hash, k.Active, k.CreatedAt.UnixMilli(), expires); err != nil {
				return err
			}
		}
		for _, p := range c.PutPolicies {
			if err := exec(`INSERT INTO iam_user_policy (account, user_name, name, document, updated_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (account, user_name, name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at`,
				p.Account, p.User, p.Name, p.Document, p.UpdatedAt.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

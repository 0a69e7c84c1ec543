package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"outcrop/iam"
	"outcrop/profile"
)

var _ iam.Store = (*Store)(nil)

const iamDomain = "iam"

// An iamTable is how rows of one kind are kept.
type iamTable[T any] struct {
	name   string
	key    []string // the columns that are the key
	rest   []string // the others
	scan   func(*sql.Rows, *T) error
	values func(*T) ([]any, error) // the key's first
}

var (
	iamAccounts = iamTable[iam.Account]{
		"iam_account", []string{"id"}, []string{"created_at"},
		func(rows *sql.Rows, a *iam.Account) error { return rows.Scan(&a.ID, (*millis)(&a.CreatedAt)) },
		func(a *iam.Account) ([]any, error) { return []any{a.ID, a.CreatedAt.UnixMilli()}, nil },
	}
	iamEntities = iamTable[iam.Entity]{
		"iam_entity", []string{"id"}, []string{"account", "kind", "name", "path", "created_at", "boundary", "tags", "trust", "description", "max_session"},
		func(rows *sql.Rows, e *iam.Entity) error {
			var tags string
			var seconds int64
			err := rows.Scan(&e.ID, &e.Account, &e.Kind, &e.Name, &e.Path, (*millis)(&e.CreatedAt), &e.Boundary, &tags, &e.Trust, &e.Description, &seconds)
			if err != nil {
				return err
			}
			e.MaxSession = time.Duration(seconds) * time.Second
			e.Tags, err = decodeIAMTags(tags)
			return err
		},
		func(e *iam.Entity) ([]any, error) {
			tags, err := encodeIAMTags(e.Tags)
			return []any{e.ID, e.Account, e.Kind, e.Name, e.Path, e.CreatedAt.UnixMilli(), e.Boundary, tags, e.Trust, e.Description, int64(e.MaxSession / time.Second)}, err
		},
	}
	iamMembers = iamTable[iam.Member]{
		"iam_member", []string{"group_id", "user_id"}, nil,
		func(rows *sql.Rows, m *iam.Member) error { return rows.Scan(&m.Group, &m.User) },
		func(m *iam.Member) ([]any, error) { return []any{m.Group, m.User}, nil },
	}
	iamKeys = iamTable[iam.AccessKey]{
		"iam_key", []string{"id"}, []string{"account", "owner", "secret", "active", "created_at"},
		func(rows *sql.Rows, k *iam.AccessKey) error {
			return rows.Scan(&k.ID, &k.Account, &k.Owner, &k.Secret, &k.Active, (*millis)(&k.CreatedAt))
		},
		func(k *iam.AccessKey) ([]any, error) {
			return []any{k.ID, k.Account, k.Owner, k.Secret, k.Active, k.CreatedAt.UnixMilli()}, nil
		},
	}
	iamBearers = iamTable[iam.BearerKey]{
		"iam_bearer", []string{"id"}, []string{"alias", "account", "owner", "hash", "active", "created_at", "expires_at"},
		func(rows *sql.Rows, k *iam.BearerKey) error {
			return rows.Scan(&k.ID, &k.Alias, &k.Account, &k.Owner, &k.Hash, &k.Active, (*millis)(&k.CreatedAt), (*millis)(&k.ExpiresAt))
		},
		func(k *iam.BearerKey) ([]any, error) {
			expires := sql.NullInt64{Int64: k.ExpiresAt.UnixMilli(), Valid: !k.ExpiresAt.IsZero()}
			return []any{k.ID, k.Alias, k.Account, k.Owner, k.Hash, k.Active, k.CreatedAt.UnixMilli(), expires}, nil
		},
	}
	iamInline = iamTable[iam.InlinePolicy]{
		"iam_inline_policy", []string{"owner", "name"}, []string{"document", "updated_at"},
		func(rows *sql.Rows, p *iam.InlinePolicy) error {
			return rows.Scan(&p.Owner, &p.Name, &p.Document, (*millis)(&p.UpdatedAt))
		},
		func(p *iam.InlinePolicy) ([]any, error) {
			return []any{p.Owner, p.Name, p.Document, p.UpdatedAt.UnixMilli()}, nil
		},
	}
	iamManaged = iamTable[iam.ManagedPolicy]{
		"iam_policy", []string{"id"}, []string{"account", "name", "path", "description", "default_version", "last_version", "created_at", "updated_at", "tags"},
		func(rows *sql.Rows, p *iam.ManagedPolicy) error {
			var tags string
			err := rows.Scan(&p.ID, &p.Account, &p.Name, &p.Path, &p.Description, &p.Default, &p.Last, (*millis)(&p.CreatedAt), (*millis)(&p.UpdatedAt), &tags)
			if err != nil {
				return err
			}
			p.Tags, err = decodeIAMTags(tags)
			return err
		},
		func(p *iam.ManagedPolicy) ([]any, error) {
			tags, err := encodeIAMTags(p.Tags)
			return []any{p.ID, p.Account, p.Name, p.Path, p.Description, p.Default, p.Last, p.CreatedAt.UnixMilli(), p.UpdatedAt.UnixMilli(), tags}, err
		},
	}
	iamVersions = iamTable[iam.PolicyVersion]{
		"iam_policy_version", []string{"policy", "number"}, []string{"document", "created_at"},
		func(rows *sql.Rows, v *iam.PolicyVersion) error {
			return rows.Scan(&v.Policy, &v.Number, &v.Document, (*millis)(&v.CreatedAt))
		},
		func(v *iam.PolicyVersion) ([]any, error) {
			return []any{v.Policy, v.Number, v.Document, v.CreatedAt.UnixMilli()}, nil
		},
	}
	iamAttachments = iamTable[iam.Attachment]{
		"iam_attachment", []string{"owner", "policy"}, nil,
		func(rows *sql.Rows, a *iam.Attachment) error { return rows.Scan(&a.Owner, &a.Policy) },
		func(a *iam.Attachment) ([]any, error) { return []any{a.Owner, a.Policy}, nil },
	}
	iamGuardrails = iamTable[iam.Guardrail]{
		"iam_guardrail", []string{"account", "name"}, []string{"document", "updated_at"},
		func(rows *sql.Rows, g *iam.Guardrail) error {
			return rows.Scan(&g.Account, &g.Name, &g.Document, (*millis)(&g.UpdatedAt))
		},
		func(g *iam.Guardrail) ([]any, error) {
			return []any{g.Account, g.Name, g.Document, g.UpdatedAt.UnixMilli()}, nil
		},
	}
)

var iamKeyUses = iamTable[iam.KeyUse]{
	"iam_key_use", []string{"id"}, []string{"used_at", "service", "region"},
	func(rows *sql.Rows, u *iam.KeyUse) error {
		return rows.Scan(&u.Key, (*millis)(&u.Time), &u.Service, &u.Region)
	},
	func(u *iam.KeyUse) ([]any, error) {
		return []any{u.Key, u.Time.UnixMilli(), u.Service, u.Region}, nil
	},
}

// millis scans milliseconds since 1970 into a time in UTC, NULL into the zero time.
type millis time.Time

// Scan implements sql.Scanner.
func (m *millis) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*m = millis{}
	case int64:
		*m = millis(time.UnixMilli(v).UTC())
	default:
		return fmt.Errorf("a time is a %T", v)
	}
	return nil
}

// encodeIAMTags is encodeTags.
func encodeIAMTags(tags []iam.Tag) (string, error) {
	out := make([]profile.Tag, len(tags))
	for i, t := range tags {
		out[i] = profile.Tag(t)
	}
	return encodeTags(out)
}

// decodeIAMTags is decodeTags, nil where there are none.
func decodeIAMTags(text string) ([]iam.Tag, error) {
	tags, err := decodeTags(text)
	var out []iam.Tag
	for _, t := range tags {
		out = append(out, iam.Tag(t))
	}
	return out, err
}

// load reads all rows, by key.
func (t *iamTable[T]) load(ctx context.Context, tx *sql.Tx) ([]T, error) {
	columns := append(t.key[:len(t.key):len(t.key)], t.rest...)
	rows, err := tx.QueryContext(ctx, `SELECT `+strings.Join(columns, ", ")+` FROM `+t.name+` ORDER BY `+strings.Join(t.key, ", "))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := t.scan(rows, &v); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// delete removes rows, of which only the key counts.
func (t *iamTable[T]) delete(ctx context.Context, tx *sql.Tx, rows []T) error {
	var where []string
	for i, c := range t.key {
		where = append(where, fmt.Sprintf("%s = $%d", c, i+1))
	}
	return t.exec(ctx, tx, rows, `DELETE FROM `+t.name+` WHERE `+strings.Join(where, " AND "), len(t.key))
}

// put inserts rows, or replaces those with the same key.
func (t *iamTable[T]) put(ctx context.Context, tx *sql.Tx, rows []T) error {
	columns := append(t.key[:len(t.key):len(t.key)], t.rest...)
	var places, set []string
	for i := range columns {
		places = append(places, fmt.Sprintf("$%d", i+1))
	}
	for _, c := range t.rest {
		set = append(set, c+" = excluded."+c)
	}
	do := "NOTHING"
	if len(set) > 0 {
		do = "UPDATE SET " + strings.Join(set, ", ")
	}
	return t.exec(ctx, tx, rows, `INSERT INTO `+t.name+` (`+strings.Join(columns, ", ")+`) VALUES (`+strings.Join(places, ", ")+`)
		ON CONFLICT (`+strings.Join(t.key, ", ")+`) DO `+do, len(columns))
}

// exec runs query for each row with the first n of its values.
func (t *iamTable[T]) exec(ctx context.Context, tx *sql.Tx, rows []T, query string, n int) error {
	for i := range rows {
		values, err := t.values(&rows[i])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, query, values[:n]...); err != nil {
			return err
		}
	}
	return nil
}

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
	for _, load := range []func() error{
		func() (err error) { st.Accounts, err = iamAccounts.load(ctx, tx); return err },
		func() (err error) { st.Entities, err = iamEntities.load(ctx, tx); return err },
		func() (err error) { st.Members, err = iamMembers.load(ctx, tx); return err },
		func() (err error) { st.Keys, err = iamKeys.load(ctx, tx); return err },
		func() (err error) { st.Bearers, err = iamBearers.load(ctx, tx); return err },
		func() (err error) { st.Inline, err = iamInline.load(ctx, tx); return err },
		func() (err error) { st.Managed, err = iamManaged.load(ctx, tx); return err },
		func() (err error) { st.Versions, err = iamVersions.load(ctx, tx); return err },
		func() (err error) { st.Attachments, err = iamAttachments.load(ctx, tx); return err },
		func() (err error) { st.Guardrails, err = iamGuardrails.load(ctx, tx); return err },
	} {
		if err == nil {
			err = load()
		}
	}
	if err != nil {
		return nil, err
	}
	return st, nil
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
		// What refers to other rows is deleted before them and put after them.
		for _, do := range []func() error{
			func() error { return iamGuardrails.delete(ctx, tx, c.Delete.Guardrails) },
			func() error { return iamAttachments.delete(ctx, tx, c.Delete.Attachments) },
			func() error { return iamVersions.delete(ctx, tx, c.Delete.Versions) },
			func() error { return iamManaged.delete(ctx, tx, c.Delete.Managed) },
			func() error { return iamInline.delete(ctx, tx, c.Delete.Inline) },
			func() error { return iamBearers.delete(ctx, tx, c.Delete.Bearers) },
			func() error { return iamKeys.delete(ctx, tx, c.Delete.Keys) },
			func() error { return iamMembers.delete(ctx, tx, c.Delete.Members) },
			func() error { return iamEntities.delete(ctx, tx, c.Delete.Entities) },
			func() error { return iamAccounts.put(ctx, tx, c.Put.Accounts) },
			func() error { return iamEntities.put(ctx, tx, c.Put.Entities) },
			func() error { return iamMembers.put(ctx, tx, c.Put.Members) },
			func() error { return iamKeys.put(ctx, tx, c.Put.Keys) },
			func() error { return iamBearers.put(ctx, tx, c.Put.Bearers) },
			func() error { return iamInline.put(ctx, tx, c.Put.Inline) },
			func() error { return iamManaged.put(ctx, tx, c.Put.Managed) },
			func() error { return iamVersions.put(ctx, tx, c.Put.Versions) },
			func() error { return iamAttachments.put(ctx, tx, c.Put.Attachments) },
			func() error { return iamGuardrails.put(ctx, tx, c.Put.Guardrails) },
		} {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	})
}

// KeyUses implements iam.Store.
func (s *Store) KeyUses(ctx context.Context) ([]iam.KeyUse, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing was written
	return iamKeyUses.load(ctx, tx)
}

// PutKeyUses implements iam.Store.
func (s *Store) PutKeyUses(ctx context.Context, uses []iam.KeyUse) error {
	return s.change(ctx, func(tx *sql.Tx) error { return iamKeyUses.put(ctx, tx, uses) })
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"outcrop/cost"
	"outcrop/ledger"
)

// resourceDomain is what the changes of names in the table resource are counted by.
const resourceDomain = "resource"

// names keeps what the numbers in rollups stand for, between queries: reading it anew takes longer than the sums do.
type names struct {
	lines   numbered[line]
	parties numbered[party]
	callers numbered[callerNames]
	tagsets numbered[[]ledger.Tag]

	mu        sync.Mutex
	resources *resourceNames
}

// maxNames bounds each dictionary of names: some 10 MB of common ones. One that is full is begun anew.
const maxNames = 50_000

// line is a row of charge_line, party one of party, callerNames one of caller. Resources are named by their ARN.
type (
	line struct {
		region, service, usageType, operation, resource string
		unit                                            string // of what usageType counts
		tags                                            []ledger.Tag
	}
	party struct {
		principal      string
		tags, metadata []ledger.Tag
	}
	callerNames struct{ principal, resource string }
)

// resourceNames is the table resource as of a revision.
type resourceNames struct {
	revision int64
	byARN    map[string]*cost.Resource
}

// get returns the resource of an ARN, which may have no name.
func (n *resourceNames) get(arn string) cost.Resource {
	if r := n.byARN[arn]; r != nil {
		return *r
	}
	return cost.Resource{ARN: arn}
}

// resourcesOf returns the names of resources as of tx.
func (n *names) resourcesOf(ctx context.Context, tx *sql.Tx) (*resourceNames, error) {
	is := &resourceNames{byARN: map[string]*cost.Resource{}}
	err := tx.QueryRowContext(ctx, `SELECT number FROM revision WHERE domain = $1`, resourceDomain).Scan(&is.revision)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	n.mu.Lock()
	known := n.resources
	n.mu.Unlock()
	if known != nil && known.revision == is.revision {
		return known, nil
	}
	if _, err := eachRow(ctx, tx, `SELECT arn, name, model_id FROM resource`, func(rows *sql.Rows) (bool, error) {
		var r cost.Resource
		err := rows.Scan(&r.ARN, &r.Name, &r.ModelID)
		is.byARN[r.ARN] = &r
		return true, err
	}); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.resources == nil || n.resources.revision < is.revision {
		n.resources = is
	}
	return is, nil
}

// numbered is what is known of one dictionary. A number stands for one thing for ever.
type numbered[V any] struct {
	mu   sync.RWMutex
	rows map[int64]*V
}

// find returns what numbers stand for. It reads those that are not known with text and a list of numbers. What a sum refers to
// and is not there is an error, not money less.
func (d *numbered[V]) find(ctx context.Context, tx *sql.Tx, numbers []int64, text string, scan func(*sql.Rows) (int64, *V, error)) ([]*V, error) {
	found := make([]*V, len(numbers))
	var missing map[int64]*V
	d.mu.RLock()
	for i, id := range numbers {
		if i > 0 && id == numbers[i-1] {
			found[i] = found[i-1]
		} else if found[i] = d.rows[id]; found[i] == nil {
			if missing == nil {
				missing = map[int64]*V{}
			}
			missing[id] = nil
		}
	}
	d.mu.RUnlock()
	if len(missing) == 0 {
		return found, nil
	}
	ids := make([]any, 0, len(missing))
	for id := range missing {
		ids = append(ids, id)
	}
	const most = 500 // in one statement
	for some := range slices.Chunk(ids, most) {
		if _, err := eachRow(ctx, tx, text+" IN (?"+strings.Repeat(", ?", len(some)-1)+")", func(rows *sql.Rows) (bool, error) {
			id, v, err := scan(rows)
			missing[id] = v
			return true, err
		}, some...); err != nil {
			return nil, err
		}
	}
	for i, id := range numbers {
		if found[i] == nil {
			if found[i] = missing[id]; found[i] == nil {
				return nil, fmt.Errorf("there is no row for %s = %d", text[strings.LastIndexByte(text, ' ')+1:], id)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil || len(d.rows)+len(missing) > maxNames {
		d.rows = map[int64]*V{}
	}
	for id, v := range missing {
		if len(d.rows) < maxNames {
			d.rows[id] = v
		}
	}
	return found, nil
}

func (n *names) findLines(ctx context.Context, tx *sql.Tx, numbers []int64) ([]*line, error) {
	return n.lines.find(ctx, tx, numbers, `SELECT l.id, l.region, l.service, l.usage_type, l.operation, l.resource, l.tagset, t.tags
		FROM charge_line AS l LEFT JOIN tagset AS t ON t.id = l.tagset WHERE l.id`,
		func(rows *sql.Rows) (id int64, l *line, err error) {
			var (
				tagset int64
				tags   sql.RawBytes
			)
			l = &line{}
			if err = rows.Scan(&id, &l.region, &l.service, &l.usageType, &l.operation, &l.resource, &tagset, &tags); err == nil {
				l.unit = cost.Unit(l.usageType)
				l.tags, err = n.tagset(tagset, tags)
			}
			return id, l, err
		})
}

func (n *names) findParties(ctx context.Context, tx *sql.Tx, numbers []int64) ([]*party, error) {
	return n.parties.find(ctx, tx, numbers, `SELECT p.id, p.principal, p.tags, o.tags, p.metadata, m.tags
		FROM party AS p LEFT JOIN tagset AS o ON o.id = p.tags LEFT JOIN tagset AS m ON m.id = p.metadata WHERE p.id`,
		func(rows *sql.Rows) (id int64, p *party, err error) {
			var (
				owned, said         int64
				ownedTags, saidTags sql.RawBytes
			)
			p = &party{}
			if err = rows.Scan(&id, &p.principal, &owned, &ownedTags, &said, &saidTags); err == nil {
				p.tags, err = n.tagset(owned, ownedTags)
			}
			if err == nil {
				p.metadata, err = n.tagset(said, saidTags)
			}
			return id, p, err
		})
}

func (n *names) findCallers(ctx context.Context, tx *sql.Tx, numbers []int64) ([]*callerNames, error) {
	return n.callers.find(ctx, tx, numbers, `SELECT id, principal, resource FROM caller WHERE id`,
		func(rows *sql.Rows) (id int64, c *callerNames, err error) {
			c = &callerNames{}
			err = rows.Scan(&id, &c.principal, &c.resource)
			return id, c, err
		})
}

// tagset decodes a set, once for all who have it. Text is nil where there is no such row.
func (n *names) tagset(id int64, text []byte) ([]ledger.Tag, error) {
	d := &n.tagsets
	d.mu.Lock()
	defer d.mu.Unlock()
	if tags := d.rows[id]; tags != nil {
		return *tags, nil
	}
	tags, err := decodeTagset(text)
	if err != nil {
		return nil, fmt.Errorf("tag set %d: %w", id, err)
	}
	if d.rows == nil || len(d.rows) >= maxNames {
		d.rows = map[int64]*[]ledger.Tag{}
	}
	d.rows[id] = &tags
	return tags, nil
}

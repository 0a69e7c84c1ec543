package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/cost"
)

// maxManifest bounds what is read of a manifest: ours have some 20 kB.
const maxManifest = 1 << 20

// manifest is the file that tells of a period's files. The members of the first level are those that AWS's manifests of Data
// Exports have and programs read; what AWS has no member for stands in Outcrop.
type manifest struct {
	ExportName    string          `json:"exportName"`
	ExportARN     string          `json:"exportArn"`
	ExecutionID   string          `json:"executionId"` // of the content
	BillingPeriod billingPeriod   `json:"billingPeriod"`
	ContentType   string          `json:"contentType"`
	Compression   string          `json:"compression"`
	Columns       []manifestField `json:"columns"`
	DataFiles     []string        `json:"dataFiles"`

	Outcrop about `json:"outcrop"`
}

type billingPeriod struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"` // exclusive
}

type manifestField struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type about struct {
	Format      string    `json:"format"`
	Account     string    `json:"account"`
	Granularity string    `json:"granularity"` // HOURLY or DAILY
	AsOf        time.Time `json:"asOf"`        // when the ledger was first read as the files have it
	Closed      bool      `json:"closed"`      // the period was over then
	Rows        int64     `json:"rows"`
	NanoUSD     string    `json:"nanoUsd"`
	USD         string    `json:"usd"`
	Files       []file    `json:"files"`

	nano int64
}

// formats are the formats' names with their versions.
var formats = map[Format]string{Focus: "FOCUS 1.2", CUR: "CUR 2.0"}

// manifest begins the manifest of what is read at now.
func (e *Export) manifest(period, now time.Time) *manifest {
	m := &manifest{
		ExportName: e.Name, ExportARN: "arn:aws:bcm-data-exports:us-east-1:" + e.Account + ":export/" + e.Name,
		BillingPeriod: billingPeriod{period, cost.Month.Next(period)}, ContentType: "text/csv", Compression: "GZIP", DataFiles: []string{},
		Outcrop: about{Format: formats[e.Format], Account: e.Account, Granularity: "HOURLY", AsOf: now.UTC().Truncate(time.Second), Files: []file{}},
	}
	if e.Output == Parquet {
		m.ContentType, m.Compression = "Parquet", "Snappy"
	}
	if e.Daily {
		m.Outcrop.Granularity = "DAILY"
	}
	m.Outcrop.Closed = !now.Before(m.BillingPeriod.End)
	columns := e.columns()
	for i := range columns {
		m.Columns = append(m.Columns, manifestField{columns[i].name, columns[i].kind.String()})
	}
	return m
}

func (m *manifest) add(f *file, to Target) {
	m.DataFiles = append(m.DataFiles, to.Listed(f.Key))
	m.Outcrop.Files = append(m.Outcrop.Files, *f)
	m.Outcrop.Rows += f.Rows
	m.Outcrop.nano += f.nano
}

// encode finishes m and returns its text.
func (m *manifest) encode() ([]byte, error) {
	m.Outcrop.NanoUSD, m.Outcrop.USD = strconv.FormatInt(m.Outcrop.nano, 10), cost.FormatUSD(m.Outcrop.nano)
	content := sha256.New()
	for i := range m.Outcrop.Files {
		f := &m.Outcrop.Files[i]
		fmt.Fprintln(content, f.Key, f.SHA256)
	}
	m.ExecutionID = hex.EncodeToString(content.Sum(nil)[:16])
	text, err := json.Marshal(m, jsontext.WithIndent("  "))
	return append(text, '\n'), err
}

// readManifest reads the manifest of a period that is there, nil where there is none. One of another kind of export is an error:
// its files would stay between the new ones.
func (e *Export) readManifest(ctx context.Context, period time.Time, to Target) (*manifest, error) {
	key := e.manifestKey(period)
	text, err := to.Get(ctx, key, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", to.URI(key), err)
	}
	var old manifest
	if err := json.Unmarshal(text, &old); err != nil {
		return nil, fmt.Errorf("%s is there and is no manifest of ours: %w; take another name", to.URI(key), err)
	}
	new := e.manifest(period, time.Time{})
	if a, b := &old.Outcrop, &new.Outcrop; a.Format != b.Format || a.Account != b.Account || a.Granularity != b.Granularity || old.ContentType != new.ContentType {
		return nil, fmt.Errorf("%s is of another export (%s of account %s, %s, %s): take another name", to.URI(key), a.Format, a.Account, a.Granularity, old.ContentType)
	}
	return &old, nil
}

// has reports whether m, which may be nil, has the same file as f.
func (m *manifest) has(f *file) bool {
	return m != nil && slices.ContainsFunc(m.Outcrop.Files, func(o file) bool { return o.Key == f.Key && o.Bytes == f.Bytes && o.SHA256 == f.SHA256 })
}

// hasDay reports whether m, which may be nil, has a file of this name.
func (m *manifest) hasDay(key string) bool {
	return m != nil && slices.ContainsFunc(m.Outcrop.Files, func(o file) bool { return o.Key == key })
}

// same reports whether n says nothing that m, which may be nil, does not, but for when.
func (m *manifest) same(n *manifest) bool {
	return m != nil && m.ExecutionID == n.ExecutionID && m.Outcrop.Closed == n.Outcrop.Closed && slices.Equal(m.DataFiles, n.DataFiles) && slices.Equal(m.Columns, n.Columns)
}

package export

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"outcrop/catalog"
)

// csvEncoder writes CSV, compressed with gzip. Null is an empty field; a map is a JSON object.
type csvEncoder struct {
	columns []column
	gzip    *gzip.Writer
	csv     *csv.Writer
	record  []string
	value   value
}

func newCSV(w io.Writer, columns []column) (*csvEncoder, error) {
	e := &csvEncoder{columns: columns, gzip: gzip.NewWriter(w), record: make([]string, len(columns))} // its header has no time: the same rows give the same bytes
	e.csv = csv.NewWriter(e.gzip)
	for i := range columns {
		e.record[i] = columns[i].name
	}
	return e, e.csv.Write(e.record)
}

func (e *csvEncoder) write(r *row) error {
	v := &e.value
	for i := range e.columns {
		c := &e.columns[i]
		e.record[i] = ""
		if c.cell == nil {
			continue
		}
		v.set = false
		if c.cell(r, v); v.set {
			e.record[i] = field(c.kind, v)
		}
	}
	return e.csv.Write(e.record)
}

func field(k kind, v *value) string {
	switch k {
	case text:
		return guarded(v.text)
	case moment, localTime:
		return stamp(v.at)
	case amount:
		return catalog.Decimal(v.n, 9)
	case quantity:
		return catalog.Decimal(v.n, 3)
	case unit:
		return v.price.String()
	case count:
		return strconv.FormatInt(v.n, 10)
	case double:
		return catalog.Decimal(v.n, v.scale)
	case pairs:
		return object(v.pairs)
	}
	panic(fmt.Sprintf("no kind %d", k)) // not of any column
}

// guarded is s so that no spreadsheet takes it for a formula: with an apostrophe before it, which they do not show.
// Source: https://owasp.org/www-community/attacks/CSV_Injection
func guarded(s string) string {
	if strings.IndexAny(s, "=+-@\t\r") == 0 {
		return "'" + s
	}
	return s
}

func (e *csvEncoder) close() error {
	e.csv.Flush()
	return errors.Join(e.csv.Error(), e.gzip.Close())
}

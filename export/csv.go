package export

import (
	"compress/gzip"
	"io"
	"strconv"
	"strings"

	"outcrop/catalog"
)

// csvEncoder writes CSV (RFC 4180, but with \n behind a line), compressed with gzip. Null is an empty field; a map is a JSON object.
// Texts are always in quotes, and decimals always have a point: what guesses a column's type by its first rows then takes neither an
// account for a number nor an amount for an integer.
type csvEncoder struct {
	columns []column
	gzip    *gzip.Writer
	line    []byte
	value   value
}

func newCSV(w io.Writer, columns []column) (*csvEncoder, error) {
	e := &csvEncoder{columns: columns, gzip: gzip.NewWriter(w)} // its header has no time: the same rows give the same bytes
	for i := range columns {
		e.line = appendQuoted(append(e.line, ','), columns[i].name)
	}
	return e, e.end()
}

func (e *csvEncoder) write(r *row) error {
	v := &e.value
	for i := range e.columns {
		c := &e.columns[i]
		e.line = append(e.line, ',')
		if c.cell == nil {
			continue
		}
		v.set = false
		if c.cell(r, v); v.set {
			e.line = appendField(e.line, c.kind, v)
		}
	}
	return e.end()
}

// end writes the line, which begins with a comma too many.
func (e *csvEncoder) end() error {
	e.line = append(e.line, '\n')
	_, err := e.gzip.Write(e.line[1:])
	e.line = e.line[:0]
	return err
}

func (e *csvEncoder) close() error { return e.gzip.Close() }

func appendField(b []byte, k kind, v *value) []byte {
	switch k {
	case moment, localTime:
		return append(b, stamp(v.at)...)
	case count:
		return strconv.AppendInt(b, v.n, 10)
	case pairs:
		if len(v.pairs) == 0 {
			return b
		}
		return appendQuoted(b, object(v.pairs))
	case amount, quantity, unit, double:
		s := v.decimal(k)
		b = append(b, s...)
		if !strings.Contains(s, ".") {
			b = append(b, ".0"...)
		}
		return b
	}
	return appendQuoted(b, guarded(v.text))
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

// decimal is a number as text.
func (v *value) decimal(k kind) string {
	switch k {
	case amount:
		return catalog.Decimal(v.n, 9)
	case quantity:
		return catalog.Decimal(v.n, 3)
	case double:
		return catalog.Decimal(v.n, v.scale)
	}
	return v.price.String()
}

// guarded is s so that no spreadsheet takes it for a formula: with an apostrophe before it, which they do not show.
// Source: https://owasp.org/www-community/attacks/CSV_Injection
func guarded(s string) string {
	if strings.IndexAny(s, "=+-@\t\r") == 0 {
		return "'" + s
	}
	return s
}

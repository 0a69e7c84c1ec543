package export

import "time"

// kind is the type of a column.
type kind uint8

const (
	text      kind = iota
	moment         // a time in UTC
	amount         // an exact decimal with 9 digits behind the point: nano-USD, in value.n
	quantity       // one with 3: thousandths, in value.n
	unit           // one with 18, which is not negative: value.price
	count          // an integer: value.n
	double         // what AWS has as a floating point number: value.n in 10^-value.scale
	pairs          // text by text
	localTime      // a moment whose type does not say that it is in UTC, as AWS's does not
)

// String is the type as AWS's manifests name it.
func (k kind) String() string {
	switch k {
	case moment, localTime:
		return "timestamp"
	case amount:
		return "decimal(18,9)"
	case quantity:
		return "decimal(18,3)"
	case unit:
		return "decimal(38,18)"
	case count:
		return "bigint"
	case double:
		return "double"
	case pairs:
		return "map<string,string>"
	}
	return "string"
}

// value is a cell. It is null unless a setter was called.
type value struct {
	set   bool
	text  string
	at    time.Time
	n     int64
	scale int // of a double: n / 10^scale
	price price
	pairs []tag
}

// str sets a text; an empty one is null.
func (v *value) str(s string) {
	v.set, v.text = s != "", s
}

func (v *value) time(t time.Time) { v.set, v.at = true, t }

func (v *value) int(n int64) { v.set, v.n = true, n }

func (v *value) float(n int64, scale int) { v.set, v.n, v.scale = true, n, scale }

func (v *value) unit(p price, ok bool) { v.set, v.price = ok, p }

// column is one column of a format.
type column struct {
	name string
	kind kind
	cell func(*row, *value) // nil: always null
}

func str(name string, f func(*row) string) column {
	return column{name, text, func(r *row, v *value) { v.str(f(r)) }}
}

func fixed(name, s string) column {
	return column{name, text, func(_ *row, v *value) { v.str(s) }}
}

package export

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

const (
	rowsAtOnce   = 256     // in one call of the library
	rowsPerGroup = 100_000 // what is in memory
	pageBytes    = 64 << 10
	dictionary   = 1 << 20 // bytes; a column with more different texts is written plainly
)

// parquetEncoder writes Parquet.
type parquetEncoder struct {
	columns []column
	writer  *parquet.GenericWriter[any]
	rows    []parquet.Row // used again
	n       int           // of rows, those that are not written yet
	value   value
}

// node is the type of a column in Parquet. All but maps may be null; a map is empty then.
func (k kind) node() parquet.Node {
	switch k {
	case moment:
		return parquet.Optional(parquet.Timestamp(parquet.Millisecond))
	case localTime:
		return parquet.Optional(parquet.TimestampAdjusted(parquet.Millisecond, false))
	case amount:
		return parquet.Optional(parquet.Decimal(9, 18, parquet.Int64Type))
	case quantity:
		return parquet.Optional(parquet.Decimal(3, 18, parquet.Int64Type))
	case unit:
		return parquet.Optional(parquet.Decimal(priceScale, 38, parquet.FixedLenByteArrayType(16)))
	case count:
		return parquet.Optional(parquet.Int(64))
	case double:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case pairs:
		return parquet.Map(parquet.String(), parquet.String())
	}
	return parquet.Optional(parquet.String())
}

func newParquet(w io.Writer, columns []column, f Format) *parquetEncoder {
	group := parquet.Group{} // in the order of the names, which is that of columns
	for i := range columns {
		group[columns[i].name] = columns[i].kind.node()
	}
	return &parquetEncoder{
		columns: columns,
		writer: parquet.NewGenericWriter[any](w, parquet.NewSchema(string(f), group), parquet.Compression(&parquet.Snappy),
			parquet.CreatedBy("outcrop", "1", ""), // of this layout: the same rows give the same bytes
			parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.RLEDictionary), parquet.DefaultEncodingFor(parquet.FixedLenByteArray, &parquet.RLEDictionary),
			parquet.DefaultEncodingFor(parquet.Int64, &parquet.RLEDictionary), parquet.DictionaryMaxBytes(dictionary),
			parquet.PageBufferSize(pageBytes), parquet.MaxRowsPerRowGroup(rowsPerGroup), parquet.DataPageVersion(1)),
		rows: make([]parquet.Row, rowsAtOnce),
	}
}

func (e *parquetEncoder) write(r *row) error {
	line, leaf := e.rows[e.n][:0], 0
	for i := range e.columns {
		c, v := &e.columns[i], &e.value
		if v.set = false; c.cell != nil {
			c.cell(r, v)
		}
		if c.kind == pairs {
			line = appendMap(line, v, leaf)
			leaf += 2
			continue
		}
		cell, level := parquet.NullValue(), 0
		if v.set {
			var err error
			if cell, err = leafValue(c, v); err != nil {
				return err
			}
			level = 1
		}
		line = append(line, cell.Level(0, level, leaf))
		leaf++
	}
	e.rows[e.n] = line
	if e.n++; e.n == len(e.rows) {
		return e.flush()
	}
	return nil
}

// appendMap appends the cells of a map's two leaves: every key, then every value.
func appendMap(line parquet.Row, v *value, leaf int) parquet.Row {
	if !v.set || len(v.pairs) == 0 {
		return append(line, parquet.NullValue().Level(0, 0, leaf), parquet.NullValue().Level(0, 0, leaf+1))
	}
	for i := range 2 {
		for j, p := range v.pairs {
			s := p.Key
			if i == 1 {
				s = p.Value
			}
			line = append(line, parquet.ByteArrayValue([]byte(s)).Level(min(j, 1), 1, leaf+i))
		}
	}
	return line
}

func leafValue(c *column, v *value) (parquet.Value, error) {
	switch c.kind {
	case moment, localTime:
		return parquet.Int64Value(v.at.UnixMilli()), nil
	case amount, quantity:
		const most = 1_000_000_000_000_000_000 // 18 digits
		if v.n <= -most || v.n >= most {
			return parquet.Value{}, fmt.Errorf("%d has more digits than column %s has room for", v.n, c.name)
		}
		return parquet.Int64Value(v.n), nil
	case count:
		return parquet.Int64Value(v.n), nil
	case double:
		f, err := strconv.ParseFloat(v.decimal(double), 64)
		return parquet.DoubleValue(f), err
	case unit:
		var b [16]byte // there is room for every price: 20 digits before the point, and 18 behind it
		scale := powers[priceScale-v.price.scale].Uint64()
		hi, lo := bits.Mul64(v.price.n, scale)
		binary.BigEndian.PutUint64(b[:8], hi)
		binary.BigEndian.PutUint64(b[8:], lo)
		return parquet.FixedLenByteArrayValue(b[:]), nil
	}
	return parquet.ByteArrayValue([]byte(v.text)), nil
}

func (e *parquetEncoder) flush() error {
	_, err := e.writer.WriteRows(e.rows[:e.n])
	e.n = 0
	return err
}

func (e *parquetEncoder) close() error {
	if err := e.flush(); err != nil {
		return err
	}
	return e.writer.Close()
}

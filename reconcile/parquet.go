package reconcile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// readParquet reads a bill as Parquet. What a damaged file makes its reader stumble over is an error.
func (c *Comparison) readParquet(r io.ReaderAt, size int64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a damaged Parquet file: %v", p)
		}
	}()
	// The library takes what a file says of its own sizes for true before it reads.
	var end [8]byte // the length of the footer, and the magic number
	if _, err := r.ReadAt(end[:], max(size-int64(len(end)), 0)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if footer := int64(binary.LittleEndian.Uint32(end[:])); footer > size-int64(len(end)) {
		return errors.New("a damaged Parquet file: its footer is larger than the file")
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	for _, group := range f.Metadata().RowGroups {
		for i := range group.Columns {
			switch codec := group.Columns[i].MetaData.Codec; codec {
			case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd:
			default: // a page of LZ4 does not say how large it is: the library tries twice as much until it fits
				return fmt.Errorf("a Parquet file that is compressed with %v; AWS's have Snappy", codec)
			}
		}
	}
	var at [columns]int
	for i := range at {
		at[i] = -1
	}
	schema := f.Schema()
	keys, values := -1, -1 // of the map of the product's attributes
	for _, path := range schema.Columns() {
		leaf, ok := schema.Lookup(path...)
		if !ok {
			continue
		}
		name := snake(path[0])
		switch {
		case len(path) == 1 && leaf.MaxRepetitionLevel == 0:
			for of, want := range columnNames {
				if name == want {
					if at[of] >= 0 {
						return fmt.Errorf("the column %s is there twice", name)
					}
					at[of] = leaf.ColumnIndex
				}
			}
		case name == columnNames[colProduct] && len(path) == 3 && leaf.MaxRepetitionLevel == 1 && path[2] == "key":
			keys = leaf.ColumnIndex
		case name == columnNames[colProduct] && len(path) == 3 && leaf.MaxRepetitionLevel == 1 && path[2] == "value":
			values = leaf.ColumnIndex
		}
	}
	if err := c.checkColumns(func(n int) bool { return at[n] >= 0 }); err != nil {
		return err
	}
	row := int64(0)
	for _, group := range f.RowGroups() {
		if err := c.readRowGroup(group, at, keys, values, &row); err != nil {
			return fmt.Errorf("row %d: %w", row, err)
		}
	}
	return nil
}

func (c *Comparison) readRowGroup(group parquet.RowGroup, at [columns]int, keys, values int, row *int64) (err error) {
	var open []*parquetColumn
	defer func() {
		for _, p := range open {
			err = errors.Join(err, p.pages.Close())
		}
	}()
	chunks := group.ColumnChunks()
	column := func(i int) (*parquetColumn, error) {
		if i < 0 {
			return nil, nil
		}
		if i >= len(chunks) {
			return nil, errors.New("a column is missing")
		}
		p := newParquetColumn(chunks[i])
		open = append(open, p)
		return p, nil
	}
	var flat [columns]*parquetColumn
	for of, i := range at {
		if flat[of], err = column(i); err != nil {
			return err
		}
	}
	key, err := column(keys)
	if err != nil {
		return err
	}
	value, err := column(values)
	if err != nil {
		return err
	}
	for range group.NumRows() {
		var l curLine
		for of, p := range flat {
			if p == nil {
				continue
			}
			v, err := p.next()
			if err != nil {
				return err
			}
			if len(v) != 1 {
				return errors.New("a column has no value for a row")
			}
			l[of] = p.text(v[0])
		}
		if key != nil && value != nil {
			names, err := key.next()
			if err != nil {
				return err
			}
			texts, err := value.next()
			if err != nil {
				return err
			}
			for i := range min(len(names), len(texts)) {
				if string(names[i].ByteArray()) == "product_name" {
					l[colProductName] = string(texts[i].ByteArray())
				}
			}
		}
		if err := c.line(&l); err != nil {
			return err
		}
		*row++
	}
	return nil
}

// parquetColumn gives the values of one column row by row.
type parquetColumn struct {
	pages   parquet.Pages
	values  parquet.ValueReader // of a page
	kind    parquet.Kind
	unit    time.Duration // of a column of times; 0 for others
	decimal bool
	scale   int // of decimals
	buf     [512]parquet.Value
	have    []parquet.Value // of buf, what was not given yet
	row     []parquet.Value
}

func newParquetColumn(chunk parquet.ColumnChunk) *parquetColumn {
	p := &parquetColumn{pages: chunk.Pages(), kind: chunk.Type().Kind()}
	if l := chunk.Type().LogicalType(); l != nil {
		switch of := l.Value.(type) {
		case *format.TimestampType:
			p.unit = time.Millisecond
			if of.Unit.Value != nil {
				p.unit = of.Unit.Value.Duration()
			}
		case *format.DecimalType:
			p.decimal, p.scale = true, int(of.Scale)
		}
	}
	if c := chunk.Type().ConvertedType(); c != nil && p.unit == 0 { // of older writers
		switch *c {
		case deprecated.TimestampMillis:
			p.unit = time.Millisecond
		case deprecated.TimestampMicros:
			p.unit = time.Microsecond
		}
	}
	return p
}

// fill reads on; io.EOF is the end of the column.
func (p *parquetColumn) fill() error {
	for len(p.have) == 0 {
		if p.values == nil {
			page, err := p.pages.ReadPage()
			if err != nil {
				return err
			}
			p.values = page.Values()
		}
		n, err := p.values.ReadValues(p.buf[:])
		p.have = p.buf[:n]
		switch {
		case errors.Is(err, io.EOF), err == nil && n == 0:
			p.values = nil // the page is the collector's: values refer to it
		case err != nil:
			return err
		}
	}
	return nil
}

// maxAttributes bounds the entries of one row's map.
const maxAttributes = 1 << 12

// next returns the values of the next row, until the one after it is asked for.
func (p *parquetColumn) next() ([]parquet.Value, error) {
	if err := p.fill(); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	p.row = p.row[:0]
	for {
		p.row = append(p.row, p.have[0].Clone())
		p.have = p.have[1:]
		if err := p.fill(); errors.Is(err, io.EOF) {
			return p.row, nil
		} else if err != nil {
			return nil, err
		}
		if p.have[0].RepetitionLevel() == 0 {
			return p.row, nil
		}
		if len(p.row) >= maxAttributes {
			return nil, errors.New("a row has too many values")
		}
	}
}

// text is a value as CSV has it.
func (p *parquetColumn) text(v parquet.Value) string {
	switch {
	case v.IsNull():
		return ""
	case p.unit != 0 && p.kind == parquet.Int64:
		n := v.Int64()
		per := int64(time.Second / p.unit)
		return time.Unix(floorDiv(n, per), (n-floorDiv(n, per)*per)*int64(p.unit)).UTC().Format(billTimes[0])
	}
	if p.decimal {
		return p.decimalText(v)
	}
	switch p.kind {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return strings.ToValidUTF8(string(v.ByteArray()), "\ufffd")
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'g', -1, 64)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int96:
		i := v.Int96() // nanoseconds of the day, then the Julian day
		nanos := int64(uint64(i[1])<<32 | uint64(i[0]))
		return time.Unix((int64(i[2])-2440588)*86400, 0).Add(time.Duration(nanos)).UTC().Format(billTimes[0])
	}
	return v.String()
}

// decimalText is a decimal: its digits, and how far they are behind the point.
func (p *parquetColumn) decimalText(v parquet.Value) string {
	var digits string
	switch p.kind {
	case parquet.Int32:
		digits = strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		digits = strconv.FormatInt(v.Int64(), 10)
	default: // two's complement, its highest byte first
		b := v.ByteArray()
		n := new(big.Int).SetBytes(b)
		if len(b) > 0 && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
		digits = n.String()
	}
	return digits + "E-" + strconv.Itoa(p.scale)
}

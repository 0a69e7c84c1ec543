package reconcile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
)

// maxRecord bounds a line of a file: AWS's are of a few kilobytes, those of logs of a few hundred.
const (
	maxRecord    = 4 << 20
	maxLogRecord = 64 << 20
)

// bounded fails when more is read than a record may have without begin being called.
type bounded struct {
	r         io.Reader
	max, left int64
}

func (b *bounded) begin() { b.left = b.max }

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a record of more than %d bytes", b.max)
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// readCSV reads a bill as CSV.
func (c *Comparison) readCSV(r io.Reader) error {
	limit := &bounded{r: r, max: maxRecord, left: maxRecord}
	in := csv.NewReader(limit)
	in.ReuseRecord, in.LazyQuotes = true, false
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("not a Cost and Usage Report: %w", err)
	}
	var at [columns]int
	for i := range at {
		at[i] = -1
	}
	for i, name := range header {
		name = snake(strings.TrimPrefix(strings.TrimSpace(name), "\ufeff"))
		for of, want := range columnNames {
			if name == want {
				if at[of] >= 0 {
					return fmt.Errorf("the column %s is there twice", name)
				}
				at[of] = i
			}
		}
	}
	if err := c.checkColumns(func(n int) bool { return at[n] >= 0 }); err != nil {
		return err
	}
	for {
		limit.begin()
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var l curLine
		for of, i := range at {
			if i >= 0 {
				l[of] = row[i]
			}
		}
		if l[colProductName] == "" && strings.HasPrefix(l[colProduct], "{") {
			var product struct {
				Name string `json:"product_name"`
			}
			if json.Unmarshal([]byte(l[colProduct]), &product) == nil {
				l[colProductName] = product.Name
			}
		}
		if err := c.line(&l); err != nil {
			line, _ := in.FieldPos(0)
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

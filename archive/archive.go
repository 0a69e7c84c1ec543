// Package archive is settled calls, and corrections of them, as Parquet files: what the ledger's rows become when they leave
// the database. Every field of an entry is in them, and money is whole nano-USD, so that a file is as good as the rows it
// was made of, here and in any other program that reads Parquet.
//
// Files are written and read whole: they are of a bounded size (store decides where one ends), and whoever reads one has
// proved its checksum first.
package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"outcrop/converse"
	"outcrop/ledger"
)

// Correction is a correction with the call that it is of.
type Correction struct {
	Account string
	Began   time.Time // when the call began
	Call    uuid.UUID
	Number  int // of the call's corrections, from 1
	ledger.Correction
}

// Moved is what has been moved to files.
type Moved struct {
	Path               string // of the file, below the archive's folder, where it is one
	Files              int
	Calls, Corrections int64
	Bytes              int64 // of files
}

// Add adds o to m.
func (m *Moved) Add(o Moved) {
	m.Files += o.Files
	m.Calls += o.Calls
	m.Corrections += o.Corrections
	m.Bytes += o.Bytes
}

// The rows of files. Their names and types are a format that others read: columns are added, never changed.
type (
	callRow struct {
		ID            [16]byte `parquet:"id,uuid"`
		AccountID     string   `parquet:"account_id,dict"`
		Time          int64    `parquet:"time,timestamp(microsecond)"` // when it began
		Ended         int64    `parquet:"ended,timestamp(microsecond)"`
		Operation     string   `parquet:"operation,dict"`
		Region        string   `parquet:"region,dict"`
		Principal     string   `parquet:"principal,dict"`
		AccessKeyID   string   `parquet:"access_key_id,dict"`
		ResourceARN   string   `parquet:"resource_arn,dict"`
		ResourceName  string   `parquet:"resource_name,dict"`
		ModelID       string   `parquet:"model_id,dict"`
		Scope         string   `parquet:"scope,dict"`
		Tier          string   `parquet:"service_tier,dict"`
		Tags          []tag    `parquet:"tags,list"`
		Metadata      []tag    `parquet:"request_metadata,list"`
		PrincipalTags []tag    `parquet:"principal_tags,list"`

		EstimatedInputTokens int64 `parquet:"estimated_input_tokens"`
		MaxOutputTokens      int64 `parquet:"max_output_tokens"`

		Status       string `parquet:"status,dict"`
		Estimated    bool   `parquet:"estimated"`
		Reason       string `parquet:"reason,dict"`
		Service      string `parquet:"service,dict"`
		Upstream     string `parquet:"upstream,dict"`
		ServedRegion string `parquet:"served_region,dict"`
		Attempts     int64  `parquet:"attempts"`
		StopReason   string `parquet:"stop_reason,dict"`
		Latency      int64  `parquet:"latency_us"`
		FirstEvent   int64  `parquet:"first_event_us"`

		InputTokens             int64  `parquet:"input_tokens"`
		OutputTokens            int64  `parquet:"output_tokens"`
		CacheReadInputTokens    int64  `parquet:"cache_read_input_tokens"`
		CacheWriteInputTokens   int64  `parquet:"cache_write_input_tokens"`
		CacheWrite1hInputTokens int64  `parquet:"cache_write_1h_input_tokens"` // of them
		Images                  int64  `parquet:"images"`
		ImageType               string `parquet:"image_type,dict"`
		InputImages             int64  `parquet:"input_images"`
		SearchUnits             int64  `parquet:"search_units"`

		Charges []charge `parquet:"charges,list"`
		Nano    int64    `parquet:"nano_usd"` // their sum
	}

	correctionRow struct {
		AccountID string   `parquet:"account_id,dict"`
		Time      int64    `parquet:"time,timestamp(microsecond)"` // when the call began
		CallID    [16]byte `parquet:"call_id,uuid"`
		Number    int64    `parquet:"number"`
		Made      int64    `parquet:"made,timestamp(microsecond)"`
		By        string   `parquet:"made_by,dict"`
		Reason    string   `parquet:"reason,dict"`
		Back      []charge `parquet:"back,list"` // what holds no longer
		Charges   []charge `parquet:"charges,list"`
		Nano      int64    `parquet:"nano_usd"` // Charges less Back
	}

	tag struct {
		Key   string `parquet:"key,dict"`
		Value string `parquet:"value,dict"`
	}

	charge struct { // its fields are those of ledger.Charge, in their order
		UsageType string `parquet:"usage_type,dict"`
		Quantity  int64  `parquet:"quantity"`
		Nano      int64  `parquet:"nano_usd"`
		Discount  int64  `parquet:"discount_nano_usd"`
		Price     string `parquet:"price,dict"`
		Unrated   bool   `parquet:"unrated"`
	}
)

// WriteCalls writes a file of calls, in their order. Their charges are written as they are, and their Corrections not at all.
func WriteCalls(w io.Writer, calls []ledger.Entry) error { return write(w, calls, rowOfCall) }

// WriteCorrections writes a file of corrections, in their order.
func WriteCorrections(w io.Writer, all []Correction) error { return write(w, all, rowOfCorrection) }

// rowsAtOnce are converted at once.
const rowsAtOnce = 256

func write[T, R any](w io.Writer, all []T, row func(*T) R) error {
	p := parquet.NewGenericWriter[R](w, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("outcrop", "", ""))
	rows := make([]R, 0, rowsAtOnce)
	for i := range all {
		if rows = append(rows, row(&all[i])); len(rows) == rowsAtOnce || i == len(all)-1 {
			if _, err := p.Write(rows); err != nil {
				return errors.Join(err, p.Close())
			}
			rows = rows[:0]
		}
	}
	return p.Close()
}

// Reader reads the rows of one file, in their order.
type Reader[T any] struct {
	next  func() (*T, error)
	close func() error
}

// Next returns the next row, io.EOF after the last. The row is the caller's.
func (r *Reader[T]) Next() (*T, error) { return r.next() }

// Close releases what the Reader holds.
func (r *Reader[T]) Close() error { return r.close() }

// ReadCalls reads a file that WriteCalls has written.
func ReadCalls(file []byte) (*Reader[ledger.Entry], error) { return read(file, callOfRow) }

// ReadCorrections reads a file that WriteCorrections has written.
func ReadCorrections(file []byte) (*Reader[Correction], error) { return read(file, correctionOfRow) }

// CallIDs returns the ids of the calls of a file, and reads nothing else of it.
func CallIDs(file []byte) (map[uuid.UUID]struct{}, error) {
	r, err := read(file, func(row *struct {
		ID [16]byte `parquet:"id,uuid"`
	}) (*uuid.UUID, error) {
		return (*uuid.UUID)(&row.ID), nil
	})
	if err != nil {
		return nil, err
	}
	ids := map[uuid.UUID]struct{}{}
	for {
		id, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ids, r.Close()
		}
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		ids[*id] = struct{}{}
	}
}

func read[T, R any](file []byte, value func(*R) (*T, error)) (*Reader[T], error) {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	p := parquet.NewGenericReader[R](f)
	var (
		rows = make([]R, rowsAtOnce)
		left []R
		end  error
	)
	return &Reader[T]{
		next: func() (*T, error) {
			if len(left) == 0 {
				if end != nil {
					return nil, end
				}
				clear(rows) // what a row has is not added to what the one before it had
				var n int
				n, end = p.Read(rows)
				if left = rows[:n]; n == 0 {
					if end == nil {
						end = io.ErrNoProgress
					}
					return nil, end
				}
			}
			v, err := value(&left[0])
			left = left[1:]
			return v, err
		},
		close: p.Close,
	}, nil
}

func rowOfCall(e *ledger.Entry) callRow {
	in, s, u := &e.Intent, &e.Settlement, &e.Usage
	nano, _ := s.Cost()
	return callRow{
		ID: in.ID, AccountID: in.Account, Time: in.Time.UnixMicro(), Ended: s.Time.UnixMicro(), Operation: in.Operation, Region: in.Region,
		Principal: in.Principal, AccessKeyID: in.AccessKeyID, ResourceARN: in.ResourceARN, ResourceName: in.ResourceName, ModelID: in.ModelID,
		Scope: in.Scope, Tier: in.Tier, Tags: rowsOfTags(in.Tags), Metadata: rowsOfTags(in.Metadata), PrincipalTags: rowsOfTags(in.PrincipalTags),
		EstimatedInputTokens: in.EstimatedInputTokens, MaxOutputTokens: in.MaxOutputTokens,
		Status: s.Status.String(), Estimated: s.Estimated, Reason: s.Reason, Service: s.Service, Upstream: s.Upstream, ServedRegion: s.Served,
		Attempts: int64(s.Attempts), StopReason: s.StopReason, Latency: s.Latency.Microseconds(), FirstEvent: s.FirstEvent.Microseconds(),
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CacheReadInputTokens: u.CacheReadInputTokens,
		CacheWriteInputTokens: u.CacheWriteInputTokens, CacheWrite1hInputTokens: u.CacheWrite1hInputTokens,
		Images: u.Images, ImageType: u.ImageType, InputImages: u.InputImages, SearchUnits: u.SearchUnits,
		Charges: rowsOfCharges(s.Charges), Nano: nano,
	}
}

func callOfRow(r *callRow) (*ledger.Entry, error) {
	status, err := ledger.ParseStatus(r.Status)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", uuid.UUID(r.ID), err)
	}
	e := &ledger.Entry{
		Intent: ledger.Intent{
			ID: r.ID, Time: timeOf(r.Time), Account: r.AccountID, Principal: r.Principal, AccessKeyID: r.AccessKeyID, Region: r.Region,
			Operation: r.Operation, ResourceARN: r.ResourceARN, ResourceName: r.ResourceName, ModelID: r.ModelID, Scope: r.Scope, Tier: r.Tier,
			Tags: tagsOf(r.Tags), Metadata: tagsOf(r.Metadata), PrincipalTags: tagsOf(r.PrincipalTags),
			EstimatedInputTokens: r.EstimatedInputTokens, MaxOutputTokens: r.MaxOutputTokens,
		},
		Settlement: ledger.Settlement{
			ID: r.ID, Time: timeOf(r.Ended), Status: status, Estimated: r.Estimated, Reason: r.Reason, Service: r.Service, Upstream: r.Upstream,
			Served: r.ServedRegion, Attempts: int(r.Attempts), StopReason: r.StopReason,
			Latency: time.Duration(r.Latency) * time.Microsecond, FirstEvent: time.Duration(r.FirstEvent) * time.Microsecond,
			Usage: converse.Usage{
				InputTokens: r.InputTokens, OutputTokens: r.OutputTokens, CacheReadInputTokens: r.CacheReadInputTokens,
				CacheWriteInputTokens: r.CacheWriteInputTokens, CacheWrite1hInputTokens: r.CacheWrite1hInputTokens,
				Units: converse.Units{Images: r.Images, ImageType: r.ImageType, InputImages: r.InputImages, SearchUnits: r.SearchUnits},
			},
			Charges: chargesOf(r.Charges),
		},
	}
	if nano, _ := e.Cost(); nano != r.Nano {
		return nil, fmt.Errorf("call %s: its charges are %d nano-USD, the row says %d", uuid.UUID(r.ID), nano, r.Nano)
	}
	return e, nil
}

func rowOfCorrection(c *Correction) correctionRow {
	return correctionRow{
		AccountID: c.Account, Time: c.Began.UnixMicro(), CallID: c.Call, Number: int64(c.Number), Made: c.Time.UnixMicro(), By: c.By, Reason: c.Reason,
		Back: rowsOfCharges(c.Back), Charges: rowsOfCharges(c.Charges), Nano: c.Nano(),
	}
}

func correctionOfRow(r *correctionRow) (*Correction, error) {
	c := &Correction{
		Account: r.AccountID, Began: timeOf(r.Time), Call: r.CallID, Number: int(r.Number),
		Correction: ledger.Correction{Time: timeOf(r.Made), By: r.By, Reason: r.Reason, Back: chargesOf(r.Back), Charges: chargesOf(r.Charges)},
	}
	if nano := c.Nano(); nano != r.Nano {
		return nil, fmt.Errorf("call %s: its correction %d makes %d nano-USD, the row says %d", c.Call, c.Number, nano, r.Nano)
	}
	return c, nil
}

func timeOf(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func rowsOfTags(tags []ledger.Tag) []tag {
	return convert(tags, func(t ledger.Tag) tag { return tag(t) })
}

func tagsOf(rows []tag) []ledger.Tag {
	return convert(rows, func(t tag) ledger.Tag { return ledger.Tag(t) })
}

func rowsOfCharges(charges []ledger.Charge) []charge {
	return convert(charges, func(c ledger.Charge) charge { return charge(c) })
}

func chargesOf(rows []charge) []ledger.Charge {
	return convert(rows, func(c charge) ledger.Charge { return ledger.Charge(c) })
}

// convert keeps nil where there is nothing, as the ledger has it.
func convert[A, B any](all []A, one func(A) B) []B {
	if len(all) == 0 {
		return nil
	}
	out := make([]B, len(all))
	for i := range all {
		out[i] = one(all[i])
	}
	return out
}

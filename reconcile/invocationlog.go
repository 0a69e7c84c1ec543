package reconcile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
)

// logKinds are what logs count, as classes name it.
var logKinds = [...]string{"input", "output", "cache_read", "cache_write", "cache_write_1h"}

// logRecord is what is read of a log of a model invocation.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html
type logRecord struct {
	SchemaType string `json:"schemaType"`
	Timestamp  string `json:"timestamp"`
	AccountID  string `json:"accountId"`
	Region     string `json:"region"`
	RequestID  string `json:"requestId"`
	ModelID    string `json:"modelId"`
	Identity   struct {
		ARN string `json:"arn"`
	} `json:"identity"`
	Input struct {
		Tokens     int64 `json:"inputTokenCount"`
		CacheRead  int64 `json:"cacheReadInputTokenCount"`
		CacheWrite int64 `json:"cacheWriteInputTokenCount"`
	} `json:"input"`
	Output struct {
		Tokens int64          `json:"outputTokenCount"`
		Body   jsontext.Value `json:"outputBodyJson"`
	} `json:"output"`

	// What wraps records where they come out of CloudWatch: get-log-events, filter-log-events; subscriptions.
	Events    jsontext.Value `json:"events"`
	LogEvents jsontext.Value `json:"logEvents"`
}

// stamps takes away the time that an export of CloudWatch puts before each of its lines.
type stamps struct {
	in   *bufio.Reader
	line bool // at a line's beginning
}

// stampLength is that of "2026-11-24T00:38:02.000Z ".
const stampLength = 25

func (s *stamps) Read(p []byte) (int, error) {
	if s.line {
		s.line = false
		if head, _ := s.in.Peek(stampLength); len(head) == stampLength && head[stampLength-1] == ' ' {
			if _, err := time.Parse("2006-01-02T15:04:05.000Z", string(head[:stampLength-1])); err == nil {
				s.in.Discard(stampLength) //nolint:errcheck // it was seen
			}
		}
	}
	if s.in.Buffered() == 0 {
		if _, err := s.in.Peek(1); err != nil {
			return 0, err
		}
	}
	head, _ := s.in.Peek(min(len(p), s.in.Buffered()))
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		head, s.line = head[:i+1], true
	}
	n := copy(p, head)
	s.in.Discard(n) //nolint:errcheck // it was seen
	return n, nil
}

// readLogs reads logs: JSON values one after the other, each a record, or what CloudWatch wraps several in.
func (c *Comparison) readLogs(r io.Reader) error {
	limit := &bounded{r: &stamps{in: bufio.NewReaderSize(r, 64<<10), line: true}, max: maxLogRecord, left: maxLogRecord}
	// AWS's records may have a name twice: bodies are as callers sent them.
	dec := jsontext.NewDecoder(limit, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		limit.begin()
		var rec logRecord
		if err := json.UnmarshalDecode(dec, &rec); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("byte %d: %w", dec.InputOffset(), err)
		}
		if err := c.record(&rec); err != nil {
			return fmt.Errorf("byte %d: %w", dec.InputOffset(), err)
		}
	}
}

// record adds a record, or those that it wraps.
func (c *Comparison) record(rec *logRecord) error {
	for _, wrapped := range [...]jsontext.Value{rec.Events, rec.LogEvents} {
		if wrapped == nil {
			continue
		}
		var events []struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(wrapped, &events, jsontext.AllowInvalidUTF8(true)) != nil {
			continue
		}
		for _, e := range events {
			var one logRecord
			if !strings.HasPrefix(strings.TrimSpace(e.Message), "{") {
				c.skipped["events that are no records"]++
				continue
			}
			if err := json.Unmarshal([]byte(e.Message), &one, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
				return err
			}
			if one.Events, one.LogEvents = nil, nil; one.SchemaType == "ModelInvocationLog" {
				if err := c.invocation(&one); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if rec.SchemaType != "ModelInvocationLog" {
		c.skipped["JSON values that are no logs of invocations"]++
		return nil
	}
	return c.invocation(rec)
}

// write1h is how many tokens of an answer were written to a cache for an hour, where its body says so.
func (rec *logRecord) write1h() (n int64) {
	type usage struct {
		Details []struct {
			TTL    string `json:"ttl"`
			Tokens int64  `json:"inputTokens"`
		} `json:"cacheDetails"`
		Creation struct {
			Hour int64 `json:"ephemeral_1h_input_tokens"`
		} `json:"cache_creation"`
	}
	type event struct {
		Usage    usage `json:"usage"`
		Metadata struct {
			Usage usage `json:"usage"`
		} `json:"metadata"`
		Message struct {
			Usage usage `json:"usage"`
		} `json:"message"`
	}
	var events []event
	switch rec.Output.Body.Kind() {
	case '{':
		events = make([]event, 1)
		if json.Unmarshal(rec.Output.Body, &events[0], jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
			return 0
		}
	case '[':
		if json.Unmarshal(rec.Output.Body, &events, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
			return 0
		}
	}
	for i := range events {
		for _, u := range [...]*usage{&events[i].Usage, &events[i].Metadata.Usage, &events[i].Message.Usage} {
			n = max(n, u.Creation.Hour)
			for _, d := range u.Details {
				if d.TTL == "1h" {
					n = max(n, d.Tokens)
				}
			}
		}
	}
	return n
}

// invocation adds one call of the logs.
func (c *Comparison) invocation(rec *logRecord) error {
	at, err := parseTime(rec.Timestamp)
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	if c.outside(at) {
		c.skipped["calls of other days"]++
		return nil
	}
	if c.cfg.Accounts != nil && !slices.Contains(c.cfg.Accounts, rec.AccountID) {
		c.skipped["calls of other accounts"]++
		return nil
	}
	write1h := min(rec.write1h(), rec.Input.CacheWrite)
	counts := [len(logKinds)]int64{rec.Input.Tokens, rec.Output.Tokens, rec.Input.CacheRead, rec.Input.CacheWrite - write1h, write1h}
	for _, n := range counts {
		if n < 0 || n > maxQuantity/1000 {
			return fmt.Errorf("a call of %d tokens", n)
		}
	}
	c.cover(at, at.Add(time.Second))
	resource := c.bare(rec.Region, rec.ModelID)
	models := c.modelsOf(resource)
	model := c.abbreviation(models, "")
	row := joinRow{
		id: requestID(rec.RequestID), theirs: true, profile: c.profileOf(resource, rec.Region, model, models), caller: rec.Identity.ARN, day: day(at),
		around: c.cfg.Principals != nil && rec.Identity.ARN != "",
	}
	for _, p := range c.cfg.Principals {
		row.around = row.around && !glob(p, rec.Identity.ARN)
	}
	prices := c.value(rec, resource, models, counts, at)
	for kind, n := range counts {
		if n > 0 {
			row.lines = append(row.lines, joinLine{uint8(kind), 0, pool{quantity: n, nano: prices[kind]}})
		}
	}
	return c.calls.add(&row)
}

// requestID is the id of a call; what is none of UUID's form has one of its own.
func requestID(s string) (id uuid.UUID) {
	if s == "" {
		return uuid.New()
	}
	if id, err := uuid.Parse(s); err == nil {
		return id
	}
	sum := sha256.Sum256([]byte(s))
	copy(id[:], sum[:])
	return id
}

// unpriced is a line that has no known price.
const unpriced = -1

// value is what the ledger would charge for a call of the logs, by kind.
func (c *Comparison) value(rec *logRecord, resource string, models []string, counts [len(logKinds)]int64, at time.Time) (nano [len(logKinds)]int64) {
	for i := range nano {
		nano[i] = unpriced
	}
	if len(models) != 1 {
		return nano
	}
	model, ok := c.cfg.Catalog.Model(models[0])
	if !ok {
		return nano
	}
	scope := catalog.InRegion
	if _, id, ok := strings.Cut(resource, ":inference-profile/"); ok {
		if p, ok := c.cfg.Catalog.Profile(id); ok {
			scope = p.Geo
		}
	}
	for _, l := range c.cfg.Rater.Rate(&cost.Use{
		Usage: converse.Usage{
			InputTokens: counts[0], OutputTokens: counts[1], CacheReadInputTokens: counts[2], CacheWriteInputTokens: counts[3] + counts[4], CacheWrite1hInputTokens: counts[4],
		},
		Model: model, Scope: scope, Region: rec.Region, At: at,
	}) {
		if l.Unrated {
			continue
		}
		if u, _ := catalog.ParseUsageType("OWN1-m" + strings.TrimPrefix(l.UsageType, catalog.RegionCode(rec.Region)+"-"+model.UsageName)); u.Model == "m" {
			for kind, name := range logKinds {
				if u.Kind == name {
					nano[kind] = l.Nano
				}
			}
		}
	}
	return nano
}

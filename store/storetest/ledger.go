package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/archive"
	"outcrop/converse"
	"outcrop/ledger"
)

// LedgerEngine is what the suite of ledger.Index needs of an engine: what Apply stored is read again.
type LedgerEngine interface {
	ledger.Index
	Calls(ctx context.Context, account string, since time.Time, limit int) iter.Seq2[*ledger.Entry, error]
	Call(ctx context.Context, account string, id uuid.UUID) (*ledger.Entry, error)
	Correct(ctx context.Context, all []ledger.Corrected) error
	Adjust(ctx context.Context, e *ledger.Entry) error
	Archive(ctx context.Context, before, now time.Time, each func(archive.Moved) error) (archive.Moved, error)
	VerifyLedger(ctx context.Context) error
}

// Ledger is the specification of ledger.Index. open returns an empty engine, which it closes at the end of the test.
func Ledger(t *testing.T, open func(*testing.T) LedgerEngine) {
	apply := func(t *testing.T, e LedgerEngine, b *ledger.Batch) {
		t.Helper()
		if err := e.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	// check proves that exactly want is in e.
	check := func(t *testing.T, e LedgerEngine, want []ledger.Entry) {
		t.Helper()
		if err := e.VerifyLedger(t.Context()); err != nil {
			t.Error(err)
		}
		got := readCalls(t, e, "", time.Time{}, 0)
		want = slices.Clone(want)
		slices.SortFunc(want, compareCalls)
		if len(got) != len(want) {
			t.Fatalf("there are %d calls, want %d", len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("call %d is\n%+v, want\n%+v", i, got[i], want[i])
			}
		}
	}
	position := func(t *testing.T, e LedgerEngine, node, epoch string, want ledger.Position) {
		t.Helper()
		got, err := e.Position(t.Context(), node, epoch)
		if err != nil || got != want {
			t.Fatalf("Position(%s, %s) is %d, %v, want %d", node, epoch, got, err, want)
		}
	}

	t.Run("Empty", func(t *testing.T) {
		e := open(t)
		position(t, e, "n", "e", 0)
		check(t, e, nil)
	})

	// Every field comes back, and calls without charges, usage, tags or metadata have their row as well.
	t.Run("Rows", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(1, 300)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: 0, To: 10, Entries: entries})
		check(t, e, entries)
		position(t, e, "n", "e", 10)
	})

	t.Run("Select", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(2, 200)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: entries})
		account := entries[0].Account
		slices.SortFunc(entries, compareCalls)
		mine := slices.DeleteFunc(slices.Clone(entries), func(x ledger.Entry) bool { return x.Account != account })
		since := mine[len(mine)/2].Intent.Time
		if got := readCalls(t, e, account, time.Time{}, 0); !reflect.DeepEqual(got, mine) {
			t.Errorf("the account has %d calls, want %d", len(got), len(mine))
		}
		want := slices.DeleteFunc(slices.Clone(mine), func(x ledger.Entry) bool { return x.Intent.Time.Before(since) })
		if got := readCalls(t, e, account, since, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("since %v there are %d calls, want %d", since, len(got), len(want))
		}
		if got := readCalls(t, e, account, since, 3); !reflect.DeepEqual(got, want[:3]) {
			t.Errorf("a limit of 3 gives %d calls", len(got))
		}
		for _, err := range e.Calls(t.Context(), "", time.Time{}, 0) {
			if err != nil {
				t.Error(err)
			}
			break // must release what it holds
		}
	})

	t.Run("Batches", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(3, 500)
		at := ledger.Position(0)
		for part := range slices.Chunk(entries, 61) {
			apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: at, To: at + 1000, Entries: part})
			at += 1000
			position(t, e, "n", "e", at)
		}
		check(t, e, entries)
	})

	t.Run("EmptyBatch", func(t *testing.T) {
		e := open(t)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: 0, To: 7})
		position(t, e, "n", "e", 7)
		check(t, e, nil)
	})

	// A batch whose answer was lost comes again.
	t.Run("Again", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(4, 40)
		first := &ledger.Batch{Node: "n", Epoch: "e", From: 0, To: 10, Entries: entries[:20]}
		second := &ledger.Batch{Node: "n", Epoch: "e", From: 10, To: 20, Entries: entries[20:]}
		apply(t, e, first)
		apply(t, e, first)
		check(t, e, entries[:20])
		apply(t, e, second)
		apply(t, e, second)
		apply(t, e, second)
		check(t, e, entries)
		position(t, e, "n", "e", 20)
	})

	t.Run("WrongFrom", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(5, 60)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: 0, To: 10, Entries: entries[:20]})
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: 10, To: 20, Entries: entries[20:40]})
		for _, b := range []ledger.Batch{
			{From: 0, To: 5}, {From: 0, To: 20}, {From: 5, To: 30}, {From: 10, To: 21}, {From: 19, To: 30}, {From: 21, To: 30}, // not the position
			{From: 20, To: 20}, {From: 20, To: 19}, {From: -5, To: 20}, // not a batch
			{Epoch: "f", From: 20, To: 30}, {Node: "m", From: 20, To: 30}, // another journal
		} {
			b.Node, b.Epoch, b.Entries = "n"+b.Node, "e"+b.Epoch, entries[40:]
			if err := e.Apply(t.Context(), &b); err == nil {
				t.Errorf("a batch of %s/%s from %d to %d was taken", b.Node, b.Epoch, b.From, b.To)
			}
			check(t, e, entries[:40])
		}
		position(t, e, "n", "e", 20)
		position(t, e, "n", "ef", 0)
	})

	// Two nodes, and two journals of one node, have positions of their own.
	t.Run("Nodes", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(6, 60)
		for i, j := range []string{"a 1", "b 1", "a 2"} {
			node, epoch, _ := strings.Cut(j, " ")
			apply(t, e, &ledger.Batch{Node: node, Epoch: epoch, From: 0, To: 10, Entries: entries[20*i : 20*i+20]})
		}
		check(t, e, entries)
	})

	// After a new epoch the same calls come again, among others, at other positions and more than once.
	t.Run("KnownCalls", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(7, 150)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "old", From: 0, To: 10, Entries: entries[:100]})
		mixed := slices.Concat(entries[40:120], entries[:10], entries[110:])
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "new", From: 0, To: 33, Entries: mixed})
		check(t, e, entries)
		position(t, e, "n", "new", 33)
	})

	// A batch that cannot be applied leaves nothing behind, in the tables or in memory.
	t.Run("Atomic", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(8, 100)
		bad := slices.Clone(entries)
		bad[99].Status = 0
		if err := e.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: bad}); err == nil {
			t.Fatal("a call without a status was taken")
		}
		position(t, e, "n", "e", 0)
		check(t, e, nil)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: entries})
		check(t, e, entries)
	})

	// What others failed to refuse does not bring the index to a stand.
	t.Run("BrokenText", func(t *testing.T) {
		e := open(t)
		entries := randomEntries(10, 1)
		entries[0].Tags = []ledger.Tag{{Key: "k", Value: "a\xff"}}
		entries[0].Metadata = []ledger.Tag{{Key: "\xff", Value: "a\x00\"b"}}
		entries[0].Reason, entries[0].StopReason = "b\xff\x00", "\xff"
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: entries})
		entries[0].Tags = []ledger.Tag{{Key: "k", Value: "a\uFFFD"}}
		entries[0].Metadata = []ledger.Tag{{Key: "\uFFFD", Value: "a\x00\"b"}}
		entries[0].Reason, entries[0].StopReason = "b\uFFFD\uFFFD", "\uFFFD"
		check(t, e, entries)
	})

	t.Run("Corrections", func(t *testing.T) {
		e, entries := open(t), randomEntries(9, 300)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: entries})
		r := rand.New(rand.NewPCG(9, 2))
		slices.SortFunc(entries, compareCalls)
		for round := range 3 {
			var all []ledger.Corrected
			for i := range entries {
				c := &entries[i]
				if len(c.Charges) == 0 || r.IntN(3) > 0 {
					continue
				}
				// Another price for all, another usage type for some; what was unrated has a price now.
				charges := slices.Clone(c.Charges)
				for k := range charges {
					charges[k].Nano, charges[k].Price, charges[k].Unrated = r.Int64N(1e12), fmt.Sprint("2026-12-0", round+1), false
					charges[k].Discount = r.Int64N(3) * 1000
					if r.IntN(3) == 0 {
						charges[k].UsageType += "-long-context"
					}
				}
				fix := c.Correct(charges, time.Date(2026, 12, 1, round, 0, 0, 1000, time.UTC), "rerate")
				before := *c
				all = append(all, ledger.Corrected{Entry: &before, Correction: fix})
				c.Charges, c.Corrections = charges, append(slices.Clone(c.Corrections), *fix)
			}
			if err := e.Correct(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			check(t, e, entries)
			// One that was read before another came is refused, and with it the others of its transaction.
			late := all[:1:1]
			if i := slices.IndexFunc(entries, func(c ledger.Entry) bool {
				return len(c.Charges) > 0 && !slices.ContainsFunc(all, func(o ledger.Corrected) bool { return o.Intent.ID == c.Intent.ID })
			}); i >= 0 {
				late = slices.Insert(late, 0, ledger.Corrected{Entry: &entries[i], Correction: entries[i].Correct(nil, time.Unix(0, 0).UTC(), "late")})
			}
			if err := e.Correct(t.Context(), late); !errors.Is(err, ledger.ErrCorrected) {
				t.Errorf("a correction that comes late: %v", err)
			}
			check(t, e, entries)
		}
		// What is settled later is added to lines that were corrected.
		more := randomEntries(10, 50)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: 1, To: 2, Entries: more})
		check(t, e, append(entries, more...))
	})

	// What an operator corrects is an entry of its own, which is no call.
	t.Run("Adjust", func(t *testing.T) {
		e, entries := open(t), randomEntries(11, 50)
		apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", To: 1, Entries: entries})
		entry := adjustment(&entries[0], 1)
		if err := e.Adjust(t.Context(), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
		check(t, e, entries)
		if err := e.Adjust(t.Context(), &entry); err == nil {
			t.Error("one was taken twice")
		}
		if err := e.Adjust(t.Context(), &entries[1]); err == nil {
			t.Error("a call was taken for a correction")
		}
		check(t, e, entries)
	})

	// Whatever happens in whatever order, with whatever in files: every call is there once, as it was, with its corrections, and the sums are theirs.
	t.Run("Archive", func(t *testing.T) {
		e := open(t)
		r := rand.New(rand.NewPCG(12, 3))
		var (
			entries []ledger.Entry // in the order of their keys
			at      ledger.Position
			moved   archive.Moved
		)
		fresh := randomEntries(12, 600)
		for round, what := range "cacAacxAcacAxAaccAxA" {
			switch what {
			case 'a': // calls, some of them for the second time, under another journal's name
				n := min(len(fresh), 50+r.IntN(50))
				batch := slices.Clone(fresh[:n])
				fresh = fresh[n:]
				for range r.IntN(20) {
					if len(entries) > 0 {
						again := entries[r.IntN(len(entries))]
						again.Corrections = nil
						if again.Status != ledger.Adjusted {
							batch = append(batch, again)
						}
					}
				}
				entries = append(entries, batch[:n]...)
				slices.SortFunc(entries, compareCalls)
				apply(t, e, &ledger.Batch{Node: "n", Epoch: "e", From: at, To: at + 1, Entries: batch})
				at++
			case 'c': // corrections
				var all, late []ledger.Corrected
				for i := range entries {
					c := &entries[i]
					if len(c.Charges) == 0 || r.IntN(4) > 0 {
						continue
					}
					charges := slices.Clone(c.Charges)
					charges[r.IntN(len(charges))].Nano += 1 + r.Int64N(1e6)
					fix := c.Correct(charges, time.Date(2027, 1, 1, 0, 0, round, 0, time.UTC), "round")
					fix.By = "somebody"
					before := *c
					all = append(all, ledger.Corrected{Entry: &before, Correction: fix})
					c.Charges = slices.Clone(charges)
					if c.Charges, _ = fix.Apply(before.Charges); len(c.Corrections) > 0 {
						late = append(late, ledger.Corrected{Entry: &before, Correction: fix})
					}
					c.Corrections = append(slices.Clone(c.Corrections), *fix)
				}
				if err := e.Correct(t.Context(), all); err != nil {
					t.Fatal(err)
				}
				for _, c := range late[:min(len(late), 3)] { // the same again is late, wherever the first is
					if err := e.Correct(t.Context(), []ledger.Corrected{c}); !errors.Is(err, ledger.ErrCorrected) {
						t.Errorf("round %d: a correction that comes late: %v", round, err)
					}
				}
			case 'x': // an operator's correction of a period, whose day may be archived
				a := adjustment(&entries[r.IntN(len(entries))], byte(round+1))
				if err := e.Adjust(t.Context(), &a); err != nil {
					t.Fatal(err)
				}
				entries = append(entries, a)
				slices.SortFunc(entries, compareCalls)
			case 'A': // by turns of the first day, and of both
				m, err := e.Archive(t.Context(), day(2026, 11, 24+round%2), day(2027, 2, 3), nil)
				if err != nil {
					t.Fatal(err)
				}
				moved.Add(m)
			}
			check(t, e, entries)
		}
		if moved.Calls == 0 || moved.Corrections == 0 || moved.Files < 10 {
			t.Fatalf("%+v: this shows nothing", moved)
		}
		for _, i := range []int{0, len(entries) / 2, len(entries) - 1} {
			want := &entries[i]
			if got, err := e.Call(t.Context(), want.Account, want.Intent.ID); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("call %s is %+v, %v, want %+v", want.Intent.ID, got, err, want)
			}
			if got, err := e.Call(t.Context(), "333333333333", want.Intent.ID); got != nil || err != nil {
				t.Errorf("another account has call %s: %+v, %v", want.Intent.ID, got, err)
			}
		}
		// In stretches too, of time and of number.
		for range 20 {
			from := entries[r.IntN(len(entries))]
			want := slices.DeleteFunc(slices.Clone(entries), func(x ledger.Entry) bool {
				return x.Account != from.Account || x.Intent.Time.Before(from.Intent.Time)
			})
			want = want[:min(len(want), 1+r.IntN(500))]
			if got := readCalls(t, e, from.Account, from.Intent.Time, len(want)); !reflect.DeepEqual(got, want) {
				t.Errorf("since %v there are %d calls, want %d, or others", from.Intent.Time, len(got), len(want))
			}
		}
	})

	t.Run("Cancelled", func(t *testing.T) {
		e := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Apply(ctx, &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: randomEntries(9, 3)}); err == nil {
			t.Error("Apply with a cancelled context succeeded")
		}
		check(t, e, nil)
	})
}

// adjustment is a correction of what the resource of e costs, from the hour of e on.
func adjustment(e *ledger.Entry, n byte) ledger.Entry {
	id := uuid.UUID{0: n, 15: 99}
	return ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: e.Intent.Time.Truncate(time.Hour), Account: e.Account, Region: e.Region, Operation: "Correction", ResourceARN: e.ResourceARN,
			ResourceName: e.ResourceName, ModelID: e.ModelID, Tags: e.Tags,
		},
		Settlement: ledger.Settlement{
			ID: id, Time: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC), Status: ledger.Adjusted, Reason: "goodwill", Service: "Amazon Bedrock",
			Charges: []ledger.Charge{{UsageType: "USE1-Correction", Nano: -1234567, Price: "operator"}},
		},
	}
}

func readCalls(t *testing.T, e LedgerEngine, account string, since time.Time, limit int) []ledger.Entry {
	t.Helper()
	var got []ledger.Entry
	for c, err := range e.Calls(t.Context(), account, since, limit) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *c)
	}
	return got
}

func compareCalls(a, b ledger.Entry) int {
	if c := strings.Compare(a.Account, b.Account); c != 0 {
		return c
	}
	if c := a.Intent.Time.Compare(b.Intent.Time); c != 0 {
		return c
	}
	return strings.Compare(a.Intent.ID.String(), b.Intent.ID.String())
}

// randomEntries makes calls of every kind that share few accounts, resources and tag sets. Times are whole microseconds:
// that is what is stored.
func randomEntries(seed uint64, n int) []ledger.Entry {
	r := rand.New(rand.NewPCG(seed, 1))
	start := time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC)
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	tagsets := [][]ledger.Tag{
		nil,
		{{Key: "Project", Value: "Alpha"}},
		{{Key: "CostCenter", Value: "1\"2"}, {Key: "Project", Value: "日本"}},
		{{Key: "Project", Value: ""}},
	}
	said := func(i int) []ledger.Tag { // as no two calls say it, on some
		if i%3 > 0 {
			return nil
		}
		return []ledger.Tag{{Key: "Project", Value: "Alpha"}, {Key: "call", Value: fmt.Sprint(i)}, {Key: "empty", Value: ""}}[i%2:]
	}
	entries := make([]ledger.Entry, n)
	for i := range entries {
		e := &entries[i]
		var id uuid.UUID
		for k := range id {
			id[k] = byte(r.Uint32())
		}
		account := pick("111111111111", "222222222222")
		model := pick("anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-lite-v1:0")
		number := r.IntN(4)
		e.Intent = ledger.Intent{
			ID: id, Time: start.Add(time.Duration(r.IntN(4*3600e6)) * time.Microsecond), Account: account,
			Principal: "arn:aws:iam::" + account + ":user/" + pick("alice", "bob"), AccessKeyID: pick("AKIA1", "AKIA2"), Region: pick("us-east-1", "eu-west-1"),
			Operation:   pick("Converse", "InvokeModel"),
			ResourceARN: fmt.Sprintf("arn:aws:bedrock:us-east-1:%s:application-inference-profile/%s%d", account, model[:4], number), ResourceName: fmt.Sprint("team ", number),
			ModelID: model, Scope: pick("region", "us", "global"), Tags: tagsets[r.IntN(len(tagsets))], Metadata: said(i), Tier: pick("", "", "flex"), PrincipalTags: tagsets[r.IntN(len(tagsets))],
			EstimatedInputTokens: r.Int64N(1000), MaxOutputTokens: r.Int64N(5000),
		}
		s := &e.Settlement
		*s = ledger.Settlement{
			ID: id, Time: e.Intent.Time.Add(time.Duration(r.IntN(1e7)) * time.Microsecond), Status: ledger.Status(1 + r.IntN(4)),
			Upstream: pick("", "gpu-a"), Attempts: r.IntN(3), Latency: time.Duration(r.IntN(1e7)) * time.Microsecond,
		}
		if s.Status == ledger.Failed {
			s.Reason = pick("throttled", "model_timeout")
			continue
		}
		s.Service = pick("Amazon Bedrock", "Claude 3 Haiku (Amazon Bedrock Edition)")
		s.Served, s.StopReason, s.Estimated = pick("us-east-1", "us-west-2"), converse.StopEndTurn, r.IntN(5) == 0
		s.FirstEvent = s.Latency / 2 / time.Microsecond * time.Microsecond
		s.Usage = converse.Usage{InputTokens: r.Int64N(1e4), OutputTokens: r.Int64N(1e3), CacheReadInputTokens: r.Int64N(100), CacheWriteInputTokens: 50, CacheWrite1hInputTokens: r.Int64N(50)}
		switch r.IntN(6) {
		case 0:
			s.Usage.Units = converse.Units{Images: 1 + r.Int64N(5), ImageType: pick("output-image", "T2I-1024-Standard")}
		case 1:
			s.Usage.Units = converse.Units{InputImages: r.Int64N(2), SearchUnits: r.Int64N(9)}
		}
		for _, kind := range []string{"input-tokens", "output-tokens", "input-tokens"}[:r.IntN(4)] {
			c := ledger.Charge{UsageType: "USE1-" + kind, Quantity: r.Int64N(1e4), Nano: r.Int64N(1e12), Price: "2026-10-01"}
			if r.IntN(6) == 0 {
				c.Nano, c.Price, c.Unrated = 0, "", true
			}
			s.Charges = append(s.Charges, c)
		}
	}
	return entries
}

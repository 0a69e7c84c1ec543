// Package profiletest is the specification of a profile.Store.
package profiletest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"outcrop/arn"
	"outcrop/profile"
)

const (
	account = "000000000000"
	region  = "ap-northeast-1"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

func sample(id, name string, at time.Time) *profile.Profile {
	return &profile.Profile{
		ARN: arn.ApplicationProfile(region, account, id), ID: id, Name: name, Description: "d 'x\" ü", Type: profile.Application,
		Account: account, Region: region, Source: "arn:aws:bedrock:ap-northeast-1::foundation-model/a.b", ModelID: "a.b", Geo: "jp",
		Models:    []string{"arn:aws:bedrock:ap-northeast-1::foundation-model/a.b", "arn:aws:bedrock:ap-northeast-3::foundation-model/a.b"},
		CreatedAt: at, UpdatedAt: at.Add(time.Second), Tags: []profile.Tag{{Key: "Project", Value: "Alpha"}, {Key: "empty", Value: ""}},
		Token: "token-" + id, TokenDigest: "digest-" + id,
	}
}

// Run checks that the Store that open returns is one. open gives an empty store each time; reopen gives what another
// process would see of it.
func Run(t *testing.T, open func(t *testing.T) (s profile.Store, reopen func() profile.Store)) {
	ctx := context.Background()

	insert := func(t *testing.T, s profile.Store, p *profile.Profile) int64 {
		t.Helper()
		stored, revision, err := s.Insert(ctx, p, 1000)
		if err != nil || stored.ID != p.ID {
			t.Fatalf("Insert(%s) = %+v, %v", p.ID, stored, err)
		}
		return revision
	}
	load := func(t *testing.T, s profile.Store) ([]*profile.Profile, int64) {
		t.Helper()
		ps, revision, err := s.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return ps, revision
	}
	ids := func(ps []*profile.Profile) (ids []string) {
		for _, p := range ps {
			ids = append(ids, p.ID)
		}
		return ids
	}

	t.Run("round trip", func(t *testing.T) {
		s, reopen := open(t)
		if ps, revision := load(t, s); len(ps) != 0 || revision != 0 {
			t.Fatalf("an empty store has %v at revision %d", ps, revision)
		}
		full := sample("aaaaaaaaaaaa", "name", noon)
		bare := sample("bbbbbbbbbbbb", "name", noon.Add(time.Microsecond)) // the same name is legal
		bare.Description, bare.Geo, bare.Tags, bare.Token, bare.TokenDigest = "", "", nil, "", ""
		other := sample("cccccccccccc", "other", noon.Add(-time.Hour))
		other.Region = "us-east-1"
		other.ARN = arn.ApplicationProfile(other.Region, account, other.ID)
		for i, p := range []*profile.Profile{full, bare, other} {
			if revision := insert(t, s, p); revision != int64(i+1) {
				t.Errorf("revision %d after %d changes", revision, i+1)
			}
		}
		for _, s := range []profile.Store{s, reopen()} {
			ps, revision := load(t, s)
			if n, err := s.Revision(ctx); revision != 3 || n != 3 || err != nil {
				t.Errorf("revisions %d, %d, %v", revision, n, err)
			}
			if got := ids(ps); !slices.Equal(got, []string{full.ID, bare.ID, other.ID}) {
				t.Fatalf("loaded %v", got)
			}
			for i, want := range []*profile.Profile{full, bare, other} {
				got := ps[i]
				if len(got.Tags) == 0 && len(want.Tags) == 0 {
					got.Tags = want.Tags
				}
				if g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *want); g != w {
					t.Errorf("loaded %s\nwant   %s", g, w)
				}
			}
		}
	})

	t.Run("order of creation", func(t *testing.T) {
		s, _ := open(t)
		for _, p := range []*profile.Profile{sample("cccccccccccc", "n", noon), sample("aaaaaaaaaaaa", "n", noon.Add(time.Microsecond)), sample("bbbbbbbbbbbb", "n", noon)} {
			insert(t, s, p)
		}
		if ps, _ := load(t, s); !slices.Equal(ids(ps), []string{"bbbbbbbbbbbb", "cccccccccccc", "aaaaaaaaaaaa"}) {
			t.Errorf("loaded %v", ids(ps))
		}
	})

	t.Run("tokens", func(t *testing.T) {
		s, _ := open(t)
		first := sample("aaaaaaaaaaaa", "n", noon)
		insert(t, s, first)
		again := sample("bbbbbbbbbbbb", "m", noon)
		again.Token = first.Token
		// Even when there is no room for another.
		stored, revision, err := s.Insert(ctx, again, 1)
		if err != nil || stored.ID != first.ID || stored.TokenDigest != first.TokenDigest || revision != 1 {
			t.Errorf("Insert with a known token = %+v, %d, %v", stored, revision, err)
		}
		// The token is the account's in that Region.
		again.Region = "us-east-1"
		insert(t, s, again)
		// It goes with its profile.
		if _, err := s.Delete(ctx, account, region, first.ID, noon); err != nil {
			t.Fatal(err)
		}
		again.Region = region
		insert(t, s, again)
		// No token is no token twice.
		for _, id := range []string{"dddddddddddd", "eeeeeeeeeeee"} {
			p := sample(id, "n", noon)
			p.Token = ""
			insert(t, s, p)
		}
	})

	t.Run("refusals change nothing", func(t *testing.T) {
		s, _ := open(t)
		insert(t, s, sample("aaaaaaaaaaaa", "n", noon))
		twin := sample("aaaaaaaaaaaa", "m", noon)
		twin.Token = "another"
		if _, _, err := s.Insert(ctx, twin, 1000); !errors.Is(err, profile.ErrExists) {
			t.Errorf("a taken id: %v", err)
		}
		if _, _, err := s.Insert(ctx, sample("bbbbbbbbbbbb", "n", noon), 1); !errors.Is(err, profile.ErrQuota) {
			t.Errorf("no room: %v", err)
		}
		elsewhere := sample("bbbbbbbbbbbb", "n", noon)
		elsewhere.Account = "111111111111"
		if _, revision, err := s.Insert(ctx, elsewhere, 1); err != nil || revision != 2 {
			t.Errorf("another account's room: %d, %v", revision, err)
		}
		if _, err := s.Delete(ctx, account, region, "zzzzzzzzzzzz", noon); !errors.Is(err, profile.ErrNotFound) {
			t.Errorf("deleting what is not there: %v", err)
		}
		if _, err := s.Delete(ctx, "111111111111", region, "aaaaaaaaaaaa", noon); !errors.Is(err, profile.ErrNotFound) {
			t.Errorf("deleting another account's: %v", err)
		}
		never := func([]profile.Tag) ([]profile.Tag, error) { t.Error("edit was called"); return nil, nil }
		if _, _, err := s.EditTags(ctx, account, "us-east-1", "aaaaaaaaaaaa", noon, never); !errors.Is(err, profile.ErrNotFound) {
			t.Errorf("tagging what is not there: %v", err)
		}
		no := errors.New("no")
		if _, _, err := s.EditTags(ctx, account, region, "aaaaaaaaaaaa", noon, func([]profile.Tag) ([]profile.Tag, error) { return nil, no }); !errors.Is(err, no) {
			t.Errorf("edit's error: %v", err)
		}
		ps, revision := load(t, s)
		if revision != 2 || len(ps) != 2 || ps[0].Name != "n" || len(ps[0].Tags) != 2 {
			t.Errorf("now %+v at %d", ps[0], revision)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, err := s.Insert(gone, sample("cccccccccccc", "n", noon), 1000); err == nil {
			t.Error("a cancelled insert went in")
		}
	})

	t.Run("delete", func(t *testing.T) {
		s, reopen := open(t)
		insert(t, s, sample("aaaaaaaaaaaa", "n", noon))
		insert(t, s, sample("bbbbbbbbbbbb", "n", noon))
		if revision, err := s.Delete(ctx, account, region, "aaaaaaaaaaaa", noon); err != nil || revision != 3 {
			t.Errorf("Delete = %d, %v", revision, err)
		}
		if ps, revision := load(t, reopen()); revision != 3 || !slices.Equal(ids(ps), []string{"bbbbbbbbbbbb"}) {
			t.Errorf("left %v at %d", ids(ps), revision)
		}
	})

	t.Run("tags", func(t *testing.T) {
		s, reopen := open(t)
		p := sample("aaaaaaaaaaaa", "n", noon)
		insert(t, s, p)
		insert(t, s, sample("bbbbbbbbbbbb", "n", noon))
		want := []profile.Tag{{Key: "a b", Value: "\\s._:/=+@-"}, {Key: "z", Value: ""}}
		tags, revision, err := s.EditTags(ctx, account, region, p.ID, noon, func(old []profile.Tag) ([]profile.Tag, error) {
			if !slices.Equal(old, p.Tags) {
				t.Errorf("edit sees %v", old)
			}
			return want, nil
		})
		if err != nil || revision != 3 || !slices.Equal(tags, want) {
			t.Errorf("EditTags = %v, %d, %v", tags, revision, err)
		}
		if _, _, err := s.EditTags(ctx, account, region, "bbbbbbbbbbbb", noon, func([]profile.Tag) ([]profile.Tag, error) { return nil, nil }); err != nil {
			t.Error(err)
		}
		ps, _ := load(t, reopen())
		if !slices.Equal(ps[0].Tags, want) || len(ps[1].Tags) != 0 || !ps[0].UpdatedAt.Equal(p.UpdatedAt) {
			t.Errorf("loaded %+v, %+v", ps[0], ps[1])
		}
	})

	t.Run("many at once", func(t *testing.T) {
		s, reopen := open(t)
		p := sample("aaaaaaaaaaaa", "n", noon)
		p.Tags = nil
		insert(t, s, p)
		const writers = 8
		both := []profile.Store{s, reopen()}
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				_, _, err := both[i%2].EditTags(ctx, account, region, p.ID, noon, func(old []profile.Tag) ([]profile.Tag, error) {
					return append(slices.Clone(old), profile.Tag{Key: fmt.Sprint(i)}), nil
				})
				if err != nil {
					t.Error(err)
				}
				// One of these goes in, the others get it back.
				q := sample(fmt.Sprintf("%012d", i), "q", noon)
				q.Token = "same"
				if _, _, err := both[i%2].Insert(ctx, q, 1000); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		ps, revision := load(t, s)
		if len(ps) != 2 || revision != 1+writers+1 {
			t.Errorf("%v at revision %d", ids(ps), revision)
		}
		for _, q := range ps {
			if q.ID == p.ID && len(q.Tags) != writers {
				t.Errorf("tags %v: some were lost", q.Tags)
			}
		}
	})
}

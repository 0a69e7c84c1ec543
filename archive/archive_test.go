package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/archive"
	"outcrop/ledger"
)

// fill sets every field that v has, however deep, so that one that a file forgets is noticed.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMicro(r.Int64N(1 << 52)).UTC()))
		return
	case time.Duration:
		v.SetInt(1000 * (1 + r.Int64N(1<<40)))
		return
	case ledger.Status:
		v.SetUint(1 + r.Uint64N(uint64(ledger.Adjusted)))
		return
	case []ledger.Correction: // files of their own
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.Zero(v.Type()))
		for range r.IntN(4) { // nil for none
			one := reflect.New(v.Type().Elem()).Elem()
			fill(r, one)
			v.Set(reflect.Append(v, one))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString([]string{"", "a", "日本\x00", "b\xff", strings.Repeat("long ", 100)}[r.IntN(5)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64N(1<<40) - 1<<39)
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	default:
		panic(fmt.Sprint("no value for a ", v.Type()))
	}
}

func readAll[T any](t *testing.T, file []byte, open func([]byte) (*archive.Reader[T], error)) (all []T) {
	t.Helper()
	r, err := open(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		v, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, *v)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCalls: every field of an entry comes back as it was, and the same calls make the same bytes.
func TestCalls(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 255, 256, 257, 3000} {
		calls := make([]ledger.Entry, n)
		for i := range calls {
			fill(r, reflect.ValueOf(&calls[i]).Elem())
			calls[i].Settlement.ID = calls[i].Intent.ID
		}
		var b, again bytes.Buffer
		if err := errors.Join(archive.WriteCalls(&b, calls), archive.WriteCalls(&again, calls)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%d calls make different files", n)
		}
		got := readAll(t, b.Bytes(), archive.ReadCalls)
		if len(got) != n {
			t.Fatalf("%d calls came back, want %d", len(got), n)
		}
		ids, err := archive.CallIDs(b.Bytes())
		if err != nil || len(ids) != n {
			t.Errorf("there are %d ids, %v; want %d", len(ids), err, n)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], calls[i]) {
				t.Fatalf("call %d is\n%+v, want\n%+v", i, got[i], calls[i])
			}
			if _, ok := ids[calls[i].Intent.ID]; !ok {
				t.Errorf("the id of call %d is not there", i)
			}
		}
	}
}

func TestCorrections(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]archive.Correction, 600)
	for i := range all {
		fill(r, reflect.ValueOf(&all[i]).Elem())
	}
	var b bytes.Buffer
	if err := archive.WriteCorrections(&b, all); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, b.Bytes(), archive.ReadCorrections)
	if !reflect.DeepEqual(got, all) {
		t.Errorf("got %d corrections, and not what was written", len(got))
	}
}

// TestDamage: a file that is none, or cut off, is an error and no panic.
func TestDamage(t *testing.T) {
	calls := []ledger.Entry{{Intent: ledger.Intent{ID: uuid.UUID{1}}, Settlement: ledger.Settlement{ID: uuid.UUID{1}, Status: ledger.Completed}}}
	var b bytes.Buffer
	if err := archive.WriteCalls(&b, calls); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() {
		r, err := archive.ReadCalls(b.Bytes()[:n])
		if err == nil {
			_, err = r.Next()
		}
		if err == nil {
			t.Fatalf("%d of %d bytes are read as a file", n, b.Len())
		}
	}
}

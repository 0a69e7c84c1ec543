package converse

import (
	"strings"
	"testing"
)

// TestTexts: a string is what its bytes were, whatever becomes of them and of the strings that are made after it.
func TestTexts(t *testing.T) {
	var made Texts
	var got, want []string
	b := make([]byte, 0, 1000)
	for i := range 3000 {
		b = append(b[:0], strings.Repeat(string(rune('a'+i%26)), i*i%601)...) // below and beyond what shares a block
		want = append(want, string(b))
		got = append(got, made.Make(b))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestTextsAllocate(t *testing.T) {
	var made Texts
	piece := []byte(" a token")
	for range 1000 {
		made.Make(piece)
	}
	if n := testing.AllocsPerRun(1000, func() { made.Make(piece) }); n > 0 { // it rounds down: a block is for 500 of them
		t.Errorf("%v allocations a piece", n)
	}
}

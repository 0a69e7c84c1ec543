package converse

import "strings"

// Texts makes the strings of a streamed answer, which come in many small pieces, without an allocation for each: pieces
// share a block, which lives as long as any of them. The zero value is ready; it must not be copied once it has been used.
type Texts struct {
	block strings.Builder
	size  int // of the block
}

const (
	firstBlock = 256     // most of an answer's streams are short
	maxBlock   = 4 << 10 // what a piece that is kept may keep of others
)

// Make returns b as a string.
func (t *Texts) Make(b []byte) string {
	if len(b) > maxBlock/16 {
		return string(b)
	}
	if t.block.Cap()-t.block.Len() < len(b) {
		t.size = min(max(2*t.size, firstBlock), maxBlock)
		t.block.Reset()
		t.block.Grow(t.size)
	}
	start := t.block.Len()
	t.block.Write(b)
	return t.block.String()[start:]
}

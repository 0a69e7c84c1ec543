package routing

import (
	"encoding/binary"
	"math/bits"
)

// Key stands for how a call begins: calls with the same Key are sent to the same target while it is well and not busier
// than the others, so that what it has cached of the prompt is found again. 0 is no Key. It is the same in every process.
type Key uint64

// keyed bounds how much of each text goes into a Key: what begins alike for so long is alike.
const keyed = 4 << 10

const (
	mulA = 0x9e3779b97f4a7c15
	mulB = 0xd1b54a32d192ed03
)

// Add returns the Key of what k stands for, followed by text.
func (k Key) Add(text string) Key {
	h := mix(uint64(k)^mulA, uint64(len(text))^mulB)
	if len(text) > keyed {
		text = text[:keyed]
	}
	for len(text) >= 8 {
		h = mix(h^binary.LittleEndian.Uint64([]byte(text[:8])), mulB)
		text = text[8:]
	}
	var last [8]byte
	copy(last[:], text)
	return Key(mix(h^binary.LittleEndian.Uint64(last[:]), mulA) | 1)
}

// mix spreads a and b over all bits.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return mix64(hi ^ lo)
}

// mix64 is the finalizer of splitmix64.
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

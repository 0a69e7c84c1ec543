package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/converse"
)

func randomString(r *rand.Rand) string {
	b := make([]byte, r.IntN(8)*r.IntN(40))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func randomInt(r *rand.Rand) int64 {
	switch r.IntN(8) {
	case 0:
		return math.MaxInt64
	case 1:
		return math.MinInt64
	}
	return int64(r.Uint64()) >> r.IntN(64)
}

func randomID(r *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func randomTime(r *rand.Rand) time.Time {
	if r.IntN(10) == 0 {
		return time.Time{}
	}
	return time.Unix(r.Int64N(1<<36)-1<<35, r.Int64N(1e9)).UTC()
}

func randomIntent(r *rand.Rand) *Intent {
	in := &Intent{
		ID: randomID(r), Time: randomTime(r), Account: randomString(r), Principal: randomString(r), AccessKeyID: randomString(r),
		Region: randomString(r), Operation: randomString(r), ResourceARN: randomString(r), ResourceName: randomString(r),
		ModelID: randomString(r), Scope: randomString(r), EstimatedInputTokens: randomInt(r), MaxOutputTokens: randomInt(r),
	}
	for range r.IntN(4) {
		in.Tags = append(in.Tags, Tag{randomString(r), randomString(r)})
	}
	for range max(0, r.IntN(6)-3) {
		in.Metadata = append(in.Metadata, Tag{randomString(r), randomString(r)})
	}
	if r.IntN(3) == 0 {
		in.Tier = randomString(r)
	}
	for range max(0, r.IntN(6)-3) {
		in.PrincipalTags = append(in.PrincipalTags, Tag{randomString(r), randomString(r)})
	}
	return in
}

func randomSettlement(r *rand.Rand) *Settlement {
	s := &Settlement{
		ID: randomID(r), Time: randomTime(r), Status: Completed + Status(r.IntN(4)), Estimated: r.IntN(2) == 0, Reason: randomString(r),
		Service: randomString(r), Upstream: randomString(r), Served: randomString(r), Attempts: int(randomInt(r)), StopReason: randomString(r),
		Latency: time.Duration(randomInt(r)), FirstEvent: time.Duration(randomInt(r)),
		Usage: converse.Usage{InputTokens: randomInt(r), OutputTokens: randomInt(r), CacheReadInputTokens: randomInt(r), CacheWriteInputTokens: randomInt(r), CacheWrite1hInputTokens: randomInt(r)},
	}
	if r.IntN(3) == 0 {
		s.Usage.Units = converse.Units{Images: randomInt(r), ImageType: randomString(r), InputImages: randomInt(r), SearchUnits: randomInt(r)}
	}
	for range r.IntN(4) {
		s.Charges = append(s.Charges, Charge{UsageType: randomString(r), Quantity: randomInt(r), Nano: randomInt(r), Price: randomString(r), Unrated: r.IntN(2) == 0})
		if r.IntN(4) == 0 {
			s.Charges[len(s.Charges)-1].Discount = randomInt(r)
		}
	}
	return s
}

// What is written comes back, with shared strings and without, from one buffer of many records.
func TestRecordRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b []byte
	var want []any
	for range 3000 {
		if r.IntN(2) == 0 {
			in := randomIntent(r)
			b, want = appendIntent(b, in), append(want, in)
		} else {
			s := randomSettlement(r)
			b, want = appendSettlement(b, s), append(want, s)
		}
	}
	shared := newNames()
	for i, w := range want {
		typ, payload, n, err := parseFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		b = b[n:]
		for _, names := range []*names{nil, shared} {
			var got any
			if typ == typeIntent {
				got, err = decodeIntent(payload, names)
			} else {
				var s Settlement
				err = decodeSettlement(payload, names, &s)
				got = &s
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, w) {
				t.Fatalf("record %d is %+v, want %+v", i, got, w)
			}
		}
	}
	if len(b) != 0 {
		t.Errorf("%d bytes are left", len(b))
	}
	if len(shared.strings) > maxNames || len(shared.tags) > maxNames {
		t.Errorf("%d strings and %d sets of tags are kept, more than %d", len(shared.strings), len(shared.tags), maxNames)
	}
}

// The bytes on disk, by hand from the description of the format: a journal must be readable by every later release.
// The checksums were computed with another implementation of CRC-32C.
func TestRecordFormat(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	id := uuid.UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	intent := &Intent{
		ID: id, Time: time.Unix(1, 5).UTC(), Account: "1", Principal: "p", AccessKeyID: "k", Region: "r", Operation: "o",
		ResourceARN: "a", ResourceName: "n", ModelID: "m", Scope: "s", Tags: []Tag{{"x", "yz"}}, EstimatedInputTokens: 3, MaxOutputTokens: -1,
	}
	settlement := &Settlement{
		ID: id, Time: time.Unix(-1, 0).UTC(), Status: Failed, Estimated: true, Reason: "w", Service: "s", Attempts: 2, Latency: 64,
		Usage: converse.Usage{InputTokens: 1, OutputTokens: 2}, Charges: []Charge{{UsageType: "u", Quantity: 1, Nano: 300, Price: "v", Unrated: true}},
	}
	intentPayload := unhex("01 000102030405060708090a0b0c0d0e0f 02 05 0131 0170 016b 0172 016f 0161 016e 016d 0173 05 0178 02797a 06 01")
	described := *intent
	described.Metadata = []Tag{{"t", "m"}, {"u", ""}}
	describedPayload := unhex("02 000102030405060708090a0b0c0d0e0f 02 05 0131 0170 016b 0172 016f 0161 016e 016d 0173 05 0178 02797a 06 01 07 0174 016d 0175 00")
	tiered, both := *intent, described
	tiered.Tier, both.Tier = "flex", "priority"
	tieredPayload := unhex("03 000102030405060708090a0b0c0d0e0f 02 05 0131 0170 016b 0172 016f 0161 016e 016d 0173 05 0178 02797a 06 01 00 04666c6578")
	bothPayload := unhex("03 000102030405060708090a0b0c0d0e0f 02 05 0131 0170 016b 0172 016f 0161 016e 016d 0173 05 0178 02797a 06 01 07 0174 016d 0175 00 087072696f72697479")
	owned, ownedTier := described, *intent
	owned.PrincipalTags, ownedTier.PrincipalTags, ownedTier.Tier = []Tag{{"t", "m"}}, []Tag{{"u", ""}}, "flex"
	ownedPayload := unhex("04 000102030405060708090a0b0c0d0e0f 02 05 0131 0170 016b 0172 016f 0161 016e 016d 0173 05 0178 02797a 06 01 07 0174 016d 0175 00 00 04 0174 016d")
	ownedTierPayload := unhex("04 000102030405060708090a0b0c0d0e0f 02 05 0131 0170 016b 0172 016f 0161 016e 016d 0173 05 0178 02797a 06 01 00 04666c6578 03 0175 00")
	settlementPayload := unhex("01 000102030405060708090a0b0c0d0e0f 01 00 02 01 0177 0173 00 00 04 00 8001 00 02 04 00 00 00 01 0175 02 d804 0176 01")
	pictured := *settlement
	pictured.Usage.Units = converse.Units{Images: 2, ImageType: "i", InputImages: 1, SearchUnits: 64}
	picturedPayload := unhex("02 000102030405060708090a0b0c0d0e0f 01 00 02 01 0177 0173 00 00 04 00 8001 00 02 04 00 00 00 01 0175 02 d804 0176 01 04 0169 02 8001")
	for _, c := range []struct {
		got     []byte
		typ     byte
		payload []byte
	}{
		{appendIntent(nil, intent), 'I', intentPayload},
		{appendIntent(nil, &described), 'I', describedPayload},
		{appendIntent(nil, &tiered), 'I', tieredPayload},
		{appendIntent(nil, &both), 'I', bothPayload},
		{appendIntent(nil, &owned), 'I', ownedPayload},
		{appendIntent(nil, &ownedTier), 'I', ownedTierPayload},
		{appendSettlement(nil, settlement), 'S', settlementPayload},
		{appendSettlement(nil, &pictured), 'S', picturedPayload},
	} {
		want := []byte{byte(len(c.payload)), 0, 0, 0}
		crc := slowCRC(append([]byte{c.typ}, c.payload...))
		want = append(want, byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24), c.typ)
		want = append(want, c.payload...)
		if !bytes.Equal(c.got, want) {
			t.Errorf("%c is\n%x, want\n%x", c.typ, c.got, want)
		}
	}
	if slowCRC([]byte("123456789")) != 0xe3069283 { // the check value in RFC 3720's CRC catalogue
		t.Error("slowCRC is not CRC-32C")
	}
}

// slowCRC is CRC-32C bit by bit.
func slowCRC(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0x82f63b78
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

func TestRecordDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	whole := appendSettlement(nil, randomSettlement(r))
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if _, _, _, err := parseFrame(b); err == nil {
				t.Fatalf("bit %d of byte %d is wrong and nobody noticed", bit, i)
			}
		}
	}
	for n := range whole {
		if _, _, _, err := parseFrame(whole[:n]); !errors.Is(err, errShort) {
			t.Fatalf("the first %d bytes of %d: %v", n, len(whole), err)
		}
	}
	if _, _, _, err := parseFrame(make([]byte, 100)); err == nil {
		t.Error("zeros are a record")
	}
	if _, _, _, err := parseFrame([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 'I'}); !errors.Is(err, errTooLong) {
		t.Errorf("a record of 4 GiB: %v", err)
	}
}

// The decoder takes only what the encoder writes.
func TestRecordStrict(t *testing.T) {
	in := appendIntent(nil, &Intent{Account: "1"})[frameSize:]
	meta := appendIntent(nil, &Intent{Account: "1", Metadata: []Tag{{"k", "v"}}})[frameSize:]
	s := appendSettlement(nil, &Settlement{Status: Completed})[frameSize:]
	change := func(b []byte, at int, to ...byte) []byte {
		return append(append(bytes.Clone(b[:at]), to...), b[at+1:]...)
	}
	const afterID = 1 + 16
	for name, payload := range map[string][]byte{
		"empty": {}, "newer version": change(in, 0, 5), "no tags of the caller": append(change(in, 0, 4), 0, 0), "empty tags of the caller": append(change(in, 0, 4), 0, 0, 0), "version 0": change(in, 0, 0), "no metadata": change(in, 0, 2),
		"empty metadata": append(change(in, 0, 2), 0), "no tier": append(change(in, 0, 3), 0), "empty tier": append(change(in, 0, 3), 0, 0),
		"a tier of an older version": append(bytes.Clone(meta), 4, 'f', 'l', 'e', 'x'), "metadata of an older version": change(meta, 0, 1), "half a pair": change(meta[:len(meta)-2], len(meta)-5, 2),
		"goes on": append(bytes.Clone(in), 0), "cut": in[:len(in)-1],
		"long number": change(in, len(in)-1, 0x80, 0x00), "string too long": change(in, len(in)-4, 0x7f),
		"endless number": append(bytes.Clone(in[:len(in)-1]), bytes.Repeat([]byte{0xff}, 11)...),
	} {
		if _, err := decodeIntent(payload, nil); err == nil {
			t.Errorf("intent, %s: taken", name)
		}
	}
	zeroTime := appendTime(nil, time.Time{})
	status := afterID + len(zeroTime)
	for name, payload := range map[string][]byte{
		"newer version": change(s, 0, 4), "no discount": append(change(s, 0, 3), 0, 0, 0, 0), "units that end": change(s, 0, 2), "no units": append(change(s, 0, 2), 0, 0, 0, 0), "units of an older version": append(bytes.Clone(s), 2, 0, 0, 0), "no status": change(s, status, 0), "unknown status": change(s, status, 5), "boolean 2": change(s, status+1, 2),
		"a second of 1e9 ns": append(append(bytes.Clone(s[:afterID]), 0, 0x80, 0x94, 0xeb, 0xdc, 0x03), s[status:]...),
		"many charges":       change(s, len(s)-1, 0xff, 0xff, 0xff, 0xff, 0x0f),
	} {
		var got Settlement
		if err := decodeSettlement(payload, nil, &got); err == nil {
			t.Errorf("settlement, %s: taken", name)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		f.Add(byte(typeIntent), appendIntent(nil, randomIntent(r))[frameSize:])
		f.Add(byte(typeSettlement), appendSettlement(nil, randomSettlement(r))[frameSize:])
	}
	f.Fuzz(func(t *testing.T, typ byte, payload []byte) {
		var again []byte
		if typ == typeIntent {
			in, err := decodeIntent(payload, newNames())
			if err != nil {
				return
			}
			again = appendIntent(nil, in)
		} else {
			var s Settlement
			if err := decodeSettlement(payload, newNames(), &s); err != nil {
				return
			}
			again = appendSettlement(nil, &s)
		}
		if !bytes.Equal(again[frameSize:], payload) {
			t.Errorf("%x is decoded and encoded again %x", payload, again[frameSize:])
		}
	})
}

// FuzzOpenSegment reads a file of any bytes as a segment: what is returned is whole records, each as it stands in the
// file, until the end or the damage.
func FuzzOpenSegment(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	head := appendHeader(nil, header{"node", "epoch", 77})
	f.Add(head)
	f.Add(appendSettlement(appendIntent(bytes.Clone(head), randomIntent(r)), randomSettlement(r)))
	f.Add(append(appendIntent(bytes.Clone(head), randomIntent(r)), make([]byte, 50)...))
	f.Add(appendIntent(bytes.Clone(head), randomIntent(r))[:len(head)+20])
	f.Fuzz(func(t *testing.T, data []byte) {
		h, size, err := parseHeader(data)
		if err != nil {
			return
		}
		if h.base < 0 {
			t.Skip() // no file has such a name
		}
		if again := appendHeader(nil, h); !bytes.Equal(again, data[:size]) {
			t.Fatalf("header %x is encoded again %x", data[:size], again)
		}
		if size > maxHeader {
			return
		}
		rd, err := newReader(segment{h.base, "f"}, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		limit := h.base + Position(len(data)-size)
		if limit < h.base {
			t.Skip()
		}
		at := size
		for {
			typ, payload, err := rd.next(limit)
			if err != nil {
				var damage *corrupt
				if err == io.EOF && at != len(data) || err != io.EOF && (!errors.As(err, &damage) || damage.offset != int64(at)) {
					t.Fatalf("after %d of %d bytes: %v", at, len(data), err)
				}
				return
			}
			if data[at+8] != typ || !bytes.Equal(data[at+frameSize:at+frameSize+len(payload)], payload) {
				t.Fatalf("the record at %d is not what is there", at)
			}
			at += frameSize + len(payload)
			if rd.pos != h.base+Position(at-size) || rd.offset() != int64(at) {
				t.Fatalf("position %d, offset %d after %d bytes", rd.pos, rd.offset(), at)
			}
		}
	})
}

// A reader may stop at any limit and go on, or begin at any record, whatever its buffer holds.
func TestReaderLimits(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	data := appendHeader(nil, header{"node", "epoch", 1000})
	size := len(data)
	ends := []Position{1000}
	for range 3000 {
		data = appendSettlement(data, randomSettlement(r))
		ends = append(ends, 1000+Position(len(data)-size))
	}
	s := segment{1000, "f"}
	rd, err := newReader(s, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(ends)-1; {
		stop := min(i+1+r.IntN(200), len(ends)-1)
		for {
			_, _, err := rd.next(ends[stop])
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			i++
			if rd.pos != ends[i] {
				t.Fatalf("record %d ends at %d, want %d", i, rd.pos, ends[i])
			}
		}
		if i != stop {
			t.Fatalf("stopped at record %d, want %d", i, stop)
		}
	}
	for range 100 {
		i := r.IntN(len(ends) - 1)
		rd.seek(ends[i])
		if _, _, err := rd.next(ends[i+1]); err != nil || rd.pos != ends[i+1] {
			t.Fatalf("from record %d: at %d, %v", i, rd.pos, err)
		}
		var damage *corrupt
		if _, _, err := rd.next(ends[i+1] + 3); i+2 < len(ends) && !errors.As(err, &damage) {
			t.Fatalf("a limit inside a record: %v", err)
		}
	}
}

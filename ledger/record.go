package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"outcrop/converse"
)

// A record is framed as
//
//	length  uint32, little endian: of the payload
//	crc     uint32, little endian: CRC-32C of type and payload
//	type    byte
//	payload version byte, then the fields in order
//
// Numbers are varints in their shortest form, signed ones zigzag; a string is its length and its bytes; a time is seconds
// since 1970 and nanoseconds. There is exactly one encoding of a value, and the decoder takes no other. A change of the
// fields is a new version; the decoder keeps reading the old ones.
const (
	frameSize = 9

	// maxRecord bounds a payload. The largest honest one, with twice 50 tags of 384 characters and 16 pairs of metadata of 512,
	// is well under it.
	maxRecord = 256 << 10
)

const (
	typeHeader     = 'H' // the first record of a segment, and only there
	typeIntent     = 'I'
	typeSettlement = 'S'
	typeMark       = 'M'
)

const recordVersion = 1

// unitsVersion is that of a settlement whose units follow its last field. One without any is of version 1, likewise.
const unitsVersion = 2

// discountVersion is that of a settlement of which a charge has a discount: those of all charges follow its units, which may
// be none. One without any is of the versions before, likewise.
const discountVersion = 3

// metadataVersion is that of an intent whose metadata follows its last field. An intent without any is of version 1: its
// record is no longer than before, and a release that knows no metadata reads it.
const metadataVersion = 2

// tierVersion is that of an intent whose service tier follows its metadata, which then may be none.
const tierVersion = 3

// principalVersion is that of an intent whose caller's tags follow its service tier, which then may be the default one.
const principalVersion = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame leaves room for a frame's head; endFrame fills it in.
func beginFrame(b []byte, typ byte) []byte {
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, typ)
}

func endFrame(b []byte, start int) {
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-frameSize))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli))
}

var (
	errShort    = errors.New("record is cut short")
	errTooLong  = errors.New("record is longer than any record may be")
	errChecksum = errors.New("checksum does not match")
)

// parseFrame reads the frame at the start of b. size is the bytes it takes. errShort means that b may be the
// beginning of a frame.
func parseFrame(b []byte) (typ byte, payload []byte, size int, err error) {
	if len(b) < frameSize {
		return 0, nil, 0, errShort
	}
	n := binary.LittleEndian.Uint32(b)
	if n > maxRecord {
		return 0, nil, 0, errTooLong
	}
	size = frameSize + int(n)
	if len(b) < size {
		return 0, nil, size, errShort
	}
	if crc32.Checksum(b[8:size], castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return 0, nil, 0, errChecksum
	}
	return b[8], b[frameSize:size], size, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendIntent appends in as a framed record.
func appendIntent(b []byte, in *Intent) []byte {
	start := len(b)
	version := byte(recordVersion)
	switch {
	case len(in.PrincipalTags) > 0:
		version = principalVersion
	case in.Tier != "":
		version = tierVersion
	case len(in.Metadata) > 0:
		version = metadataVersion
	}
	b = append(beginFrame(b, typeIntent), version)
	b = append(b, in.ID[:]...)
	b = appendTime(b, in.Time)
	b = appendString(b, in.Account)
	b = appendString(b, in.Principal)
	b = appendString(b, in.AccessKeyID)
	b = appendString(b, in.Region)
	b = appendString(b, in.Operation)
	b = appendString(b, in.ResourceARN)
	b = appendString(b, in.ResourceName)
	b = appendString(b, in.ModelID)
	b = appendString(b, in.Scope)
	b = appendTags(b, in.Tags)
	b = binary.AppendVarint(b, in.EstimatedInputTokens)
	b = binary.AppendVarint(b, in.MaxOutputTokens)
	if version >= metadataVersion {
		b = appendTags(b, in.Metadata)
	}
	if version >= tierVersion {
		b = appendString(b, in.Tier)
	}
	if version >= principalVersion {
		b = appendTags(b, in.PrincipalTags)
	}
	endFrame(b, start)
	return b
}

// appendTags appends tags as one string of strings, so that a reader may recognise a set it has seen.
func appendTags(b []byte, tags []Tag) []byte {
	n := 0
	for _, t := range tags {
		n += stringSize(t.Key) + stringSize(t.Value)
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, t := range tags {
		b = appendString(appendString(b, t.Key), t.Value)
	}
	return b
}

func stringSize(s string) int {
	n := len(s) + 1
	for l := len(s); l >= 0x80; l >>= 7 {
		n++
	}
	return n
}

// appendSettlement appends s as a framed record.
func appendSettlement(b []byte, s *Settlement) []byte {
	start := len(b)
	version := byte(recordVersion)
	if s.Usage.Units != (converse.Units{}) {
		version = unitsVersion
	}
	if slices.ContainsFunc(s.Charges, discounted) {
		version = discountVersion
	}
	b = append(beginFrame(b, typeSettlement), version)
	b = append(b, s.ID[:]...)
	b = appendTime(b, s.Time)
	b = append(b, byte(s.Status))
	b = appendBool(b, s.Estimated)
	b = appendString(b, s.Reason)
	b = appendString(b, s.Service)
	b = appendString(b, s.Upstream)
	b = appendString(b, s.Served)
	b = binary.AppendVarint(b, int64(s.Attempts))
	b = appendString(b, s.StopReason)
	b = binary.AppendVarint(b, int64(s.Latency))
	b = binary.AppendVarint(b, int64(s.FirstEvent))
	b = binary.AppendVarint(b, s.Usage.InputTokens)
	b = binary.AppendVarint(b, s.Usage.OutputTokens)
	b = binary.AppendVarint(b, s.Usage.CacheReadInputTokens)
	b = binary.AppendVarint(b, s.Usage.CacheWriteInputTokens)
	b = binary.AppendVarint(b, s.Usage.CacheWrite1hInputTokens)
	b = binary.AppendUvarint(b, uint64(len(s.Charges)))
	for i := range s.Charges {
		c := &s.Charges[i]
		b = appendString(b, c.UsageType)
		b = binary.AppendVarint(b, c.Quantity)
		b = binary.AppendVarint(b, c.Nano)
		b = appendString(b, c.Price)
		b = appendBool(b, c.Unrated)
	}
	if version >= unitsVersion {
		u := &s.Usage.Units
		b = binary.AppendVarint(b, u.Images)
		b = appendString(b, u.ImageType)
		b = binary.AppendVarint(b, u.InputImages)
		b = binary.AppendVarint(b, u.SearchUnits)
	}
	if version >= discountVersion {
		for i := range s.Charges {
			b = binary.AppendVarint(b, s.Charges[i].Discount)
		}
	}
	endFrame(b, start)
	return b
}

func discounted(c Charge) bool { return c.Discount != 0 }

// A mark says that all before a position is on disk. The first record after a sync follows one, so that a later start can
// tell damage, which is behind a mark, from what a power cut left half written, which is not. Unlike other records it is
// of one size: it is searched for.
const markSize = frameSize + 1 + 8

func appendMark(b []byte, synced Position) []byte {
	start := len(b)
	b = append(beginFrame(b, typeMark), recordVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(synced))
	endFrame(b, start)
	return b
}

// decodeMark reads the payload of the mark at pos.
func decodeMark(payload []byte, pos Position) (Position, error) {
	if len(payload) != markSize-frameSize || payload[0] != recordVersion {
		return 0, errors.New("mark: malformed")
	}
	synced := Position(binary.LittleEndian.Uint64(payload[1:]))
	if synced < 0 || synced > pos {
		return 0, errors.New("mark: is ahead of itself")
	}
	return synced, nil
}

// names keeps one copy of strings that many records share: accounts, ARNs, models, sets of tags. A nil names copies.
type names struct {
	strings map[string]string
	tags    map[string][]Tag
}

// maxNames bounds each map of names; a full one is begun anew.
const maxNames = 8192

func newNames() *names {
	return &names{strings: map[string]string{}, tags: map[string][]Tag{}}
}

func (n *names) string(b []byte) string {
	if n == nil || len(b) > 256 {
		return string(b)
	}
	if s, ok := n.strings[string(b)]; ok {
		return s
	}
	if len(n.strings) >= maxNames {
		clear(n.strings)
	}
	s := string(b)
	n.strings[s] = s
	return s
}

// decoder reads a payload. After the first error every read returns zero and err stays.
type decoder struct {
	b     []byte
	names *names
	err   error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = errors.New(what)
	}
	d.b = nil
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("payload ends inside a field")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail("malformed number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) bool() bool {
	switch d.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail("malformed boolean")
	return false
}

// shared reads a string that other records have as well.
func (d *decoder) shared() string { return d.names.string(d.bytes(d.uvarint())) }

// own reads a string of this record alone.
func (d *decoder) own() string { return string(d.bytes(d.uvarint())) }

func (d *decoder) time() time.Time {
	sec, nsec := d.varint(), d.uvarint()
	if nsec >= uint64(time.Second) {
		d.fail("malformed time")
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

// tags reads a set that other records have as well.
func (d *decoder) tags() []Tag {
	b := d.bytes(d.uvarint())
	if d.names == nil || len(b) == 0 {
		return d.split(b)
	}
	tags, ok := d.names.tags[string(b)]
	if !ok {
		if tags = d.split(b); d.err != nil {
			return nil
		}
		if len(d.names.tags) >= maxNames {
			clear(d.names.tags)
		}
		d.names.tags[string(b)] = tags
	}
	return tags
}

// split reads the tags of which b is the string; nil when there are none.
func (d *decoder) split(b []byte) (tags []Tag) {
	in := decoder{b: b}
	for len(in.b) > 0 {
		tags = append(tags, Tag{in.own(), in.own()})
	}
	if in.err != nil {
		d.fail("malformed tags")
		return nil
	}
	return tags
}

// begin reads a version that is at most newest, and the id.
func (d *decoder) begin(newest byte) (version byte, id uuid.UUID) {
	if version = d.byte(); d.err == nil && (version < recordVersion || version > newest) {
		d.err = fmt.Errorf("record has version %d: it was written by a newer release", version)
		d.b = nil
	}
	copy(id[:], d.bytes(uint64(len(id))))
	return version, id
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("payload goes on after its last field")
	}
	return d.err
}

// decodeIntent reads an Intent's payload. Its Tags may be shared with other Intents: they must not be changed.
func decodeIntent(payload []byte, n *names) (*Intent, error) {
	d := decoder{b: payload, names: n}
	version, id := d.begin(principalVersion)
	in := &Intent{
		ID:           id,
		Time:         d.time(),
		Account:      d.shared(),
		Principal:    d.shared(),
		AccessKeyID:  d.shared(),
		Region:       d.shared(),
		Operation:    d.shared(),
		ResourceARN:  d.shared(),
		ResourceName: d.shared(),
		ModelID:      d.shared(),
		Scope:        d.shared(),
		Tags:         d.tags(),

		EstimatedInputTokens: d.varint(),
		MaxOutputTokens:      d.varint(),
	}
	if version >= metadataVersion {
		// It is not looked up: callers may say something else on every call.
		if in.Metadata = d.split(d.bytes(d.uvarint())); in.Metadata == nil && version == metadataVersion {
			d.fail("no metadata in a record of the version that has some")
		}
	}
	if version >= tierVersion {
		if in.Tier = d.shared(); in.Tier == "" && version == tierVersion {
			d.fail("no service tier in a record of the version that has one")
		}
	}
	if version >= principalVersion {
		if in.PrincipalTags = d.tags(); len(in.PrincipalTags) == 0 {
			d.fail("no tags of the caller in a record of the version that has some")
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	return in, nil
}

// decodeSettlement reads a Settlement's payload into s.
func decodeSettlement(payload []byte, n *names, s *Settlement) error {
	d := decoder{b: payload, names: n}
	version, id := d.begin(discountVersion)
	*s = Settlement{
		ID:         id,
		Time:       d.time(),
		Status:     Status(d.byte()),
		Estimated:  d.bool(),
		Reason:     d.own(),
		Service:    d.shared(),
		Upstream:   d.shared(),
		Served:     d.shared(),
		Attempts:   d.int(),
		StopReason: d.shared(),
		Latency:    time.Duration(d.varint()),
		FirstEvent: time.Duration(d.varint()),
		Usage: converse.Usage{
			InputTokens:             d.varint(),
			OutputTokens:            d.varint(),
			CacheReadInputTokens:    d.varint(),
			CacheWriteInputTokens:   d.varint(),
			CacheWrite1hInputTokens: d.varint(),
		},
	}
	if d.err == nil && (s.Status < Completed || s.Status > Recovered) {
		d.fail("unknown status")
	}
	const smallest = 5 // bytes of a charge
	if n := d.uvarint(); n > uint64(len(d.b)/smallest) {
		d.fail("more charges than bytes")
	} else if n > 0 {
		s.Charges = make([]Charge, n)
	}
	for i := range s.Charges {
		s.Charges[i] = Charge{UsageType: d.shared(), Quantity: d.varint(), Nano: d.varint(), Price: d.shared(), Unrated: d.bool()}
	}
	if version >= unitsVersion {
		s.Usage.Units = converse.Units{Images: d.varint(), ImageType: d.shared(), InputImages: d.varint(), SearchUnits: d.varint()}
		if d.err == nil && version == unitsVersion && s.Usage.Units == (converse.Units{}) {
			d.fail("no units in a record of the version that has some")
		}
	}
	if version >= discountVersion {
		for i := range s.Charges {
			s.Charges[i].Discount = d.varint()
		}
		if d.err == nil && !slices.ContainsFunc(s.Charges, discounted) {
			d.fail("no discount in a record of the version that has one")
		}
	}
	if err := d.end(); err != nil {
		return fmt.Errorf("settlement: %w", err)
	}
	return nil
}

func (d *decoder) int() int {
	v := d.varint()
	if v > math.MaxInt || v < math.MinInt {
		d.fail("number is too large")
		return 0
	}
	return int(v)
}

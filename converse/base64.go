package converse

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Base64 is bytes in the form in which nearly every format carries them: standard base64 with its padding, without line
// breaks. So a picture goes from one body into another as it stands. What was read as JSON is valid, and may refer to the
// body that it was read from.
type Base64 []byte

// EncodeBase64 returns b in that form.
func EncodeBase64(b []byte) Base64 { return base64.StdEncoding.AppendEncode(nil, b) }

// Valid reports whether b is of that form. What is empty is.
func (b Base64) Valid() bool {
	text := bytes.TrimRight(b[max(len(b)-2, 0):], "=")
	text = b[:max(len(b)-2, 0)+len(text)]
	if len(b)%4 != 0 {
		return false
	}
	var alien uint8
	for ; len(text) >= 8; text = text[8:] {
		t := text[:8]
		alien |= aliens[t[0]] | aliens[t[1]] | aliens[t[2]] | aliens[t[3]] | aliens[t[4]] | aliens[t[5]] | aliens[t[6]] | aliens[t[7]]
	}
	for _, c := range text {
		alien |= aliens[c]
	}
	return alien == 0
}

// aliens are the bytes that base64 has not, as 1.
var aliens = func() (t [256]uint8) {
	for c := range t {
		t[c] = 1
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = 0
	}
	return t
}()

// ReadAt implements io.ReaderAt, of the bytes. What is not of the form ends them.
func (b Base64) ReadAt(p []byte, offset int64) (n int, err error) {
	var room [48]byte
	for n < len(p) {
		at := offset + int64(n)
		start := at / 3 * 4
		if start >= int64(len(b)) {
			return n, io.EOF
		}
		m, err := base64.StdEncoding.Decode(room[:], b[start:min(start+64, int64(len(b)))])
		if m -= int(at % 3); m <= 0 {
			return n, io.EOF
		}
		n += copy(p[n:], room[at%3:][:m])
		if err != nil && n < len(p) {
			return n, io.EOF
		}
	}
	return n, nil
}

// MarshalJSONTo writes the text as a string.
func (b Base64) MarshalJSONTo(e *jsontext.Encoder) error {
	return e.WriteValue(append(append(append(e.AvailableBuffer(), '"'), b...), '"'))
}

var errBase64 = errors.New("the string is not valid base64")

// UnmarshalJSONFrom takes the text over.
func (b *Base64) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() == 'n' {
		*b = nil
		return nil
	}
	text := []byte(v)
	if len(v) >= 2 && v[0] == '"' {
		text = v[1 : len(v)-1]
	}
	if bytes.IndexByte(text, '\\') >= 0 { // some encoders escape every slash
		if text, err = jsontext.AppendUnquote(nil, v); err != nil {
			return err
		}
	}
	if v.Kind() != '"' || !Base64(text).Valid() {
		return cmp.Or(json.Unmarshal(v, new([]byte)), errBase64) // in the words for bytes of any kind
	}
	*b = append(Base64{}, text...)
	return nil
}

package converse

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// The token counts of this file are estimates, for when no tokenizer has spoken: reservations before a call, a server
// that reports no usage, the simulated models. They cut text as byte-pair tokenizers do on average: a word with the
// space before it is one token up to eight letters and one more for every eight beyond, digits go by three, an
// ideograph, kana or hangul syllable is one, any other mark is one, and so is a run of line breaks. English comes to
// about four characters a token, Japanese to one. They are within 30 percent of what the published tokenizers of OpenAI,
// Meta, Mistral and Anthropic make of prose in two languages, code and JSON: see testdata/tokens.

// TokenLen returns the length in bytes of the first estimated token of s, 0 for an empty s.
func TokenLen(s string) int {
	if s == "" {
		return 0
	}
	i := 0
	if s[0] == ' ' {
		if len(s) == 1 {
			return 1
		}
		i = 1
	}
	r, size := rune(s[i]), 1
	if r >= utf8.RuneSelf {
		r, size = utf8.DecodeRuneInString(s[i:])
	}
	switch {
	case letter(r):
		for n := 0; i < len(s) && n < 8; n++ {
			if c := s[i] | 0x20; 'a' <= c && c <= 'z' { // most letters need no decoding
				i++
				continue
			}
			r, size = utf8.DecodeRuneInString(s[i:])
			if !letter(r) {
				break
			}
			i += size
		}
		return i
	case '0' <= r && r <= '9':
		n := i
		for i < len(s) && i < n+3 && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i
	case space(r):
		for i < len(s) && space(rune(s[i])) {
			i++
		}
		if i < len(s) && i > 1 && s[i-1] == ' ' && s[i] != ' ' {
			i-- // the last space belongs to the word after it
		}
		return i
	}
	return i + size
}

// letter reports whether r is a letter of a script that writes words with spaces between them.
func letter(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return 'a' <= r|0x20 && r|0x20 <= 'z'
	case r < 0xC0 || r == 0xD7 || r == 0xF7 || r == utf8.RuneError:
		return false
	}
	return r < 0x0E00 // Latin, Greek, Cyrillic, Hebrew, Arabic, the scripts of India
}

func space(r rune) bool { return r == ' ' || r == '\n' || r == '\r' || r == '\t' }

// EstimateTokens returns about how many tokens s is.
func EstimateTokens(s string) int64 {
	var n int64
	for s != "" {
		s = s[TokenLen(s):]
		n++
	}
	return n
}

// OutputTokens returns about how many tokens of output e is. The signature of a thought is none of the model's writing.
func (e *Event) OutputTokens() int64 {
	switch {
	case e.Kind == BlockStart:
		return EstimateTokens(e.ToolName)
	case e.Kind == BlockDelta && e.Delta != SignatureDelta && e.Delta != CitationDelta:
		return EstimateTokens(e.Text)
	}
	return 0
}

// Tokens that the parts of a request cost beyond their text.
const (
	tokensPerMessage = 4    // the turn's own marks
	tokensPerTool    = 12   // the frame around one tool's description
	tokensPerBlock   = 8    // the frame around a tool use or a tool result
	tokensUnknown    = 1600 // a picture that cannot be measured: the most that Anthropic's rule gives one
)

// EstimateInputTokens returns about how many tokens r is as a model reads it: system prompt, turns, tools, pictures.
// Members that are no part of the prompt count nothing. It reads every character, at some 10 ns a token, so it is used
// once a call has ended and its server has not told its usage, and by the simulated models; Size is the cheap measure
// taken of every call when it begins.
func (r *Request) EstimateInputTokens() int64 {
	var n int64
	for i := range r.System {
		if t := r.System[i].Text; t != nil {
			n += EstimateTokens(*t)
		}
		n += estimateJSON(r.System[i].GuardContent)
	}
	for i := range r.Messages {
		n += tokensPerMessage
		for j := range r.Messages[i].Content {
			n += r.Messages[i].Content[j].estimate()
		}
	}
	if r.ToolConfig != nil {
		for i := range r.ToolConfig.Tools {
			t := &r.ToolConfig.Tools[i]
			if s := t.ToolSpec; s != nil {
				n += tokensPerTool + EstimateTokens(s.Name) + EstimateTokens(s.Description) + estimateJSON(s.InputSchema.JSON)
			}
			n += estimateJSON(t.SystemTool)
		}
	}
	if o := r.OutputConfig; o != nil && o.TextFormat != nil && o.TextFormat.Structure.JSONSchema != nil {
		n += EstimateTokens(o.TextFormat.Structure.JSONSchema.Schema)
	}
	return n
}

func (b *ContentBlock) estimate() int64 {
	var n int64
	switch {
	case b.Text != nil:
		n = EstimateTokens(*b.Text)
	case b.Image != nil:
		n = b.Image.EstimateTokens()
	case b.ToolUse != nil:
		n = tokensPerBlock + EstimateTokens(b.ToolUse.Name) + estimateJSON(b.ToolUse.Input)
	case b.ToolResult != nil:
		n = tokensPerBlock
		for i := range b.ToolResult.Content {
			c := &b.ToolResult.Content[i]
			switch {
			case c.Text != nil:
				n += EstimateTokens(*c.Text)
			case c.Image != nil:
				n += c.Image.EstimateTokens()
			default:
				n += estimateJSON(c.JSON) + estimateJSON(c.Document) + estimateJSON(c.Video) + estimateJSON(c.SearchResult)
			}
		}
	case b.ReasoningContent != nil:
		if t := b.ReasoningContent.ReasoningText; t != nil {
			n = EstimateTokens(t.Text)
		}
		n += int64(len(b.ReasoningContent.RedactedContent)) / 4
	default:
		n = estimateJSON(b.Document) + estimateJSON(b.Video) + estimateJSON(b.Audio) + estimateJSON(b.GuardContent) +
			estimateJSON(b.CitationsContent) + estimateJSON(b.SearchResult)
	}
	return n
}

// EstimateBodyTokens returns about how many tokens body is, a request that was not read: four bytes a token. A long string
// without a space is no text but a picture or a file in base64, and costs as much as a picture that cannot be measured.
func EstimateBodyTokens(body []byte) int64 {
	const (
		data = 4096 // bytes; no text in ASCII is so long without a space
		head = 256
	)
	var text, pieces int64
	for rest := body; len(rest) > 0; {
		n := bytes.IndexByte(rest, '"')
		if n < 0 {
			n = len(rest)
		}
		if n >= data && bytes.IndexByte(rest[:n], ' ') < 0 && !slices.ContainsFunc(rest[:head], func(c byte) bool { return c >= utf8.RuneSelf }) {
			pieces++
		} else {
			text += int64(n)
		}
		if rest = rest[n:]; len(rest) > 0 {
			rest = rest[1:]
			text++
		}
	}
	return (text+3)/4 + pieces*tokensUnknown
}

// estimateJSON counts JSON text at three bytes a token, which is how densely its punctuation is cut.
func estimateJSON(v []byte) int64 { return int64(len(v)+2) / 3 }

// EstimateTokens returns what the picture costs by Anthropic's published rule: width x height / 750, after the longer
// edge was brought down to 1,568 pixels, at least 1. A picture whose size cannot be read costs 1,600.
func (m *Image) EstimateTokens() int64 {
	w, h := m.Size()
	if w == 0 || h == 0 {
		return tokensUnknown
	}
	const edge = 1568
	if long := max(w, h); long > edge {
		w, h = w*edge/long, h*edge/long
	}
	return max(1, min(tokensUnknown, int64(w)*int64(h)/750))
}

// Size returns the picture's width and height in pixels as its header states them, 0 and 0 where the bytes are not
// at hand or not of a known format. It trusts the bytes, not Format.
func (m *Image) Size() (width, height int) {
	var room [30]byte
	n, _ := m.Source.Bytes.ReadAt(room[:], 0) // an error is a short picture
	b := room[:n]
	be, le := binary.BigEndian, binary.LittleEndian
	switch {
	case len(b) >= 24 && string(b[:8]) == "\x89PNG\r\n\x1a\n":
		return limit(be.Uint32(b[16:])), limit(be.Uint32(b[20:]))
	case len(b) >= 10 && (string(b[:6]) == "GIF87a" || string(b[:6]) == "GIF89a"):
		return int(le.Uint16(b[6:])), int(le.Uint16(b[8:]))
	case len(b) >= 30 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		switch string(b[12:16]) {
		case "VP8 ":
			return int(le.Uint16(b[26:]) & 0x3fff), int(le.Uint16(b[28:]) & 0x3fff)
		case "VP8L":
			v := le.Uint32(b[21:])
			return int(v&0x3fff) + 1, int(v>>14&0x3fff) + 1
		case "VP8X":
			return int(le.Uint32(b[24:])&0xffffff) + 1, int(le.Uint32(b[26:])>>8) + 1
		}
	case len(b) >= 4 && b[0] == 0xff && b[1] == 0xd8:
		s := room[:9]
		i := int64(2)
		for range 1000 { // segments; pictures have some ten
			if n, _ := m.Source.Bytes.ReadAt(s, i); n < len(s) || s[0] != 0xff {
				break
			}
			marker, size := s[1], be.Uint16(s[2:])
			if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
				return int(be.Uint16(s[7:])), int(be.Uint16(s[5:]))
			}
			i += 2 + max(int64(size), 2)
		}
	}
	return 0, 0
}

// limit keeps a size that a header claims within what can be multiplied.
func limit(v uint32) int { return int(min(v, 1<<20)) }

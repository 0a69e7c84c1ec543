package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// What follows is a whole server with a caller and upstreams that allocate nothing while it is measured: what is
// allocated in the process is the server's.

// The models of the rig: each is another upstream's.
const (
	openaiModel    = "openai.gpt-oss-120b-1:0"
	anthropicModel = "anthropic.claude-3-haiku-20240307-v1:0"
	bedrockModel   = "amazon.nova-lite-v1:0"
	bedrockClaude  = "anthropic.claude-3-5-sonnet-20240620-v1:0"
)

const (
	rigKey    = "AKIAOUTCROPRIG000000"
	rigSecret = "a-secret-for-the-rig"
)

// rig is a running server and its upstreams.
type rig struct {
	address                    string
	openai, anthropic, bedrock *scripted
}

// newRig starts a server with an upstream of each kind.
func newRig(tb testing.TB) *rig {
	tb.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", rigKey)
	tb.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", rigSecret)
	tb.Setenv("OUTCROP_RIG_KEY", "a-key-for-the-rig")
	r := &rig{openai: newScripted(tb), anthropic: newScripted(tb), bedrock: newScripted(tb)}
	c := defaults()
	c.Listen = "127.0.0.1:0"
	c.Log.Level = "warn"
	c.Upstreams = []UpstreamConfig{
		{Name: "o", Provider: "openai", BaseURL: r.openai.url() + "/v1", Models: map[string]string{openaiModel: "gpt-oss"}},
		{Name: "a", Provider: "anthropic", BaseURL: r.anthropic.url(), Models: map[string]string{anthropicModel: "claude-haiku"}},
		{Name: "b", Provider: "bedrock", APIKeyEnv: "OUTCROP_RIG_KEY", Bedrock: &BedrockConfig{Endpoint: r.bedrock.url()}, Models: map[string]string{bedrockModel: "*", bedrockClaude: "*"}},
	}
	s := running(tb, c, tb.TempDir(), io.Discard)
	r.address = s.listener.Addr().String()
	return r
}

// running starts a server, and stops it when the test is over.
func running(tb testing.TB, c Config, dir string, log io.Writer) *server {
	tb.Helper()
	s, err := New(context.Background(), c, dir, log)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func(string) { close(ready) }) }()
	<-ready
	tb.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			tb.Error(err)
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// request is the bytes of a signed POST.
func (r *rig) request(tb testing.TB, path, body string) []byte {
	tb.Helper()
	q, err := http.NewRequest(http.MethodPost, "http://"+r.address+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "rig")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(tb.Context(), aws.Credentials{AccessKeyID: rigKey, SecretAccessKey: rigSecret}, q, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", time.Now()); err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := q.Write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// scripted is a server that answers every request with the same bytes.
type scripted struct {
	listener net.Listener
	script   [][]byte      // what is written, piece by piece; set while nobody asks
	next     chan struct{} // where it is not nil, each piece but the first two and the last waits for a token
	read     int64         // bytes of the bodies that have come; of one connection at a time
}

func newScripted(tb testing.TB) *scripted {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &scripted{listener: l}
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *scripted) url() string { return "http://" + s.listener.Addr().String() }

func (s *scripted) serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 1<<20)
	for {
		n, left := 0, int64(-1)
		for left < 0 {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			if i := bytes.Index(buf[:n], []byte("\r\n\r\n")); i >= 0 {
				length := contentLength(buf[:i])
				s.read += length
				left = length - int64(n-i-4)
			}
		}
		for left > 0 {
			m, err := c.Read(buf)
			if err != nil {
				return
			}
			left -= int64(m)
		}
		for i, piece := range s.script {
			if s.next != nil && i > 1 && i < len(s.script)-1 {
				<-s.next
			}
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
}

// contentLength reads the length in a head, which net/http or Outcrop has written; 0 where there is none.
func contentLength(head []byte) (n int64) {
	_, rest, _ := bytes.Cut(head, []byte("Content-Length: "))
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// line is a connection to the server.
type line struct {
	net.Conn
	buf  []byte
	next chan struct{} // gets a token for each read, as far as there is room
}

func (r *rig) dial(tb testing.TB) *line {
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return &line{Conn: c, buf: make([]byte, 1<<20)}
}

// ask sends a request and reads its answer to the end.
func (c *line) ask(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	n, body, length := 0, -1, int64(0)
	for {
		m, err := c.Read(c.buf[n:])
		if err != nil {
			return fmt.Errorf("%w after %q", err, c.buf[:min(n, 1000)])
		}
		n += m
		if c.next != nil {
			select {
			case c.next <- struct{}{}:
			default:
			}
		}
		if body < 0 {
			i := bytes.Index(c.buf[:n], []byte("\r\n\r\n"))
			if i < 0 {
				continue
			}
			if !bytes.HasPrefix(c.buf, []byte("HTTP/1.1 200 ")) {
				return fmt.Errorf("%.1500q", c.buf[:n])
			}
			body, length = i+4, contentLength(c.buf[:i])
		}
		if length > 0 && int64(n-body) >= length || length == 0 && bytes.HasSuffix(c.buf[:n], []byte("\r\n0\r\n\r\n")) {
			return nil
		}
		if length == 0 && n > len(c.buf)/2 { // what is before has been seen
			n = copy(c.buf, c.buf[n-64:n])
		}
	}
}

// Answers of upstreams.

func httpHead(contentType string, length int) string {
	if length < 0 {
		return "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	}
	return "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\nContent-Length: " + strconv.Itoa(length) + "\r\n\r\n"
}

// chunked are the pieces of a streamed answer: head, one for each event, and the end.
func chunked(contentType string, events ...[]byte) [][]byte {
	pieces := [][]byte{[]byte(httpHead(contentType, -1))}
	for _, e := range events {
		pieces = append(pieces, fmt.Appendf(nil, "%x\r\n%s\r\n", len(e), e))
	}
	last := len(pieces) - 1
	pieces[last] = append(pieces[last], "0\r\n\r\n"...)
	return pieces
}

// word is the text of the n-th event: the usual ones, with characters of two bytes and an escape in between.
func word(n int) string {
	return [...]string{" the", " quick", " fox", " caf\u00e9", ",", ` \"so\"`}[n%6]
}

func openaiStream(words int) [][]byte {
	var events [][]byte
	const same = `"created":1795439692,"id":"chatcmpl-13OcUvc8CPGeDMNZACQeaHvmWBD5T5nA","model":"m","object":"chat.completion.chunk"`
	add := func(s string) { events = append(events, []byte("data: "+s+"\n\n")) }
	add(`{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":"Well"}}],` + same + `}`)
	for i := range words {
		add(`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"` + word(i) + `"}}],` + same + `}`)
	}
	end := len(events)
	add(`{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],` + same + `}`)
	add(`{"choices":[],` + same + `,"usage":{"completion_tokens":` + strconv.Itoa(words) + `,"prompt_tokens":12,"total_tokens":100}}`)
	add("[DONE]")
	return chunked("text/event-stream", append(events[:end:end], bytes.Join(events[end:], nil))...)
}

func anthropicEvents(words int) (names, events []string) {
	add := func(name, s string) { names, events = append(names, name), append(events, s) }
	add("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":1}}}`)
	add("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	for i := range words {
		add("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`+word(i)+`"}}`)
	}
	add("content_block_stop", `{"type":"content_block_stop","index":0}`)
	add("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":`+strconv.Itoa(words)+`}}`)
	return names, events
}

func anthropicStream(words int) [][]byte {
	names, events := anthropicEvents(words)
	var out [][]byte
	for i, e := range events {
		out = append(out, []byte("event: "+names[i]+"\ndata: "+e+"\n\n"))
	}
	out = append(out, []byte("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"))
	return chunked("text/event-stream", lastTogether(firstTogether(out, 3), 3)...)
}

// firstTogether makes one piece of the first n.
func firstTogether(pieces [][]byte, n int) [][]byte {
	return append([][]byte{bytes.Join(pieces[:n], nil)}, pieces[n:]...)
}

// lastTogether makes one piece of the last n.
func lastTogether(pieces [][]byte, n int) [][]byte {
	at := len(pieces) - n
	return append(pieces[:at:at], bytes.Join(pieces[at:], nil))
}

func frame(tb testing.TB, kind, payload string) []byte {
	var b bytes.Buffer
	var h eventstream.Headers
	h.Set(":event-type", eventstream.StringValue(kind))
	h.Set(":content-type", eventstream.StringValue("application/json"))
	h.Set(":message-type", eventstream.StringValue("event"))
	if err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: h, Payload: []byte(payload)}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

const eventStreamType = "application/vnd.amazon.eventstream"

func converseFrames(tb testing.TB, words int) [][]byte {
	out := [][]byte{frame(tb, "messageStart", `{"p":"abc","role":"assistant"}`)}
	for i := range words {
		out = append(out, frame(tb, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"`+word(i)+`"},"p":"abcdefgh"}`))
	}
	out = append(out, frame(tb, "contentBlockStop", `{"contentBlockIndex":0,"p":"abc"}`), frame(tb, "messageStop", `{"p":"abc","stopReason":"end_turn"}`),
		frame(tb, "metadata", `{"metrics":{"latencyMs":100},"p":"ab","usage":{"inputTokens":12,"outputTokens":`+strconv.Itoa(words)+`,"totalTokens":20}}`))
	return chunked(eventStreamType, lastTogether(firstTogether(out, 2), 3)...)
}

func chunkFrames(tb testing.TB, words int) [][]byte {
	_, events := anthropicEvents(words)
	events = append(events, `{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":12,"outputTokenCount":`+strconv.Itoa(words)+`,"invocationLatency":100,"firstByteLatency":10}}`)
	var out [][]byte
	for _, e := range events {
		out = append(out, frame(tb, "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(e))+`","p":"abcd"}`))
	}
	return chunked(eventStreamType, lastTogether(firstTogether(out, 3), 3)...)
}

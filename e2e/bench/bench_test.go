//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// TestSignature is the example of
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (GET Object).
func TestSignature(t *testing.T) {
	s := &signer{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"}
	got := s.authorization("GET", "/test.txt", "", "s3", "20130524T000000Z", [][2]string{
		{"host", "examplebucket.s3.amazonaws.com"},
		{"range", "bytes=0-9"},
		{"x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"x-amz-date", "20130524T000000Z"},
	}, nil)
	const want = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
		"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, " +
		"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestBodies: both sides carry what the README says they do.
func TestBodies(t *testing.T) {
	if len(prompt) != 1024 {
		t.Errorf("the prompt has %d bytes", len(prompt))
	}
	for _, body := range [][]byte{openAIBody[0], openAIBody[1], converseBody, openAIAnswer(answerSize)} {
		if !json.Valid(body) {
			t.Errorf("not JSON: %s", body)
		}
	}
	var stream []byte
	tokens := 0
	for _, e := range openAIEvents(streamSize, true) {
		stream = append(stream, e...)
		data := strings.TrimSpace(strings.TrimPrefix(string(e), "data: "))
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
			Usage   *struct {
				CompletionTokens int `json:"completion_tokens"`
			}
		}
		if data != "[DONE]" {
			if err := json.Unmarshal([]byte(data), &chunk); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			tokens++
		}
		if chunk.Usage != nil && chunk.Usage.CompletionTokens != streamSize {
			t.Errorf("the usage says %d tokens", chunk.Usage.CompletionTokens)
		}
	}
	if tokens != streamSize {
		t.Errorf("%d tokens streamed", tokens)
	}
	if err := verifyOpenAI(stream, true); err != nil {
		t.Error(err)
	}
	if err := verifyOpenAI(openAIAnswer(answerSize), false); err != nil {
		t.Error(err)
	}
}

// TestVerify: an answer that is not whole is refused.
func TestVerify(t *testing.T) {
	message := func(s string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(s)+16))
		return append(append(b, make([]byte, 8)...), s+"crc4"...)
	}
	delta, usage := message(`contentBlockDelta{"delta":{"text":"a"}}`), message(`metadata{"usage":{"inputTokens":1,"outputTokens":200}}`)
	for name, c := range map[string]struct {
		verify func([]byte, bool) error
		body   []byte
		stream bool
		good   bool
	}{
		"event stream":          {verifyConverse, append(bytes.Clone(delta), usage...), true, true},
		"without the usage":     {verifyConverse, delta, true, false},
		"cut":                   {verifyConverse, append(bytes.Clone(delta), usage[:len(usage)-1]...), true, false},
		"an error after it":     {verifyConverse, append(append(bytes.Clone(delta), usage...), message(`modelStreamErrorException{}`)...), true, false},
		"empty":                 {verifyConverse, nil, true, false},
		"no answer":             {verifyConverse, []byte(`{"output":{},"usage":{"outputTokens":100}}`), false, false},
		"SSE without the end":   {verifyOpenAI, bytes.Join(openAIEvents(streamSize, true)[:streamSize], nil), true, false},
		"SSE without the usage": {verifyOpenAI, bytes.Join(openAIEvents(streamSize, false), nil), true, false},
		"another answer":        {verifyOpenAI, openAIAnswer(answerSize - 1), false, false},
	} {
		if err := c.verify(c.body, c.stream); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct{ text, body string }{
		{"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-A: b\r\n\r\nhello", "hello"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", ""},
		{"HTTP/1.1 200 OK\r\n\r\nhello", ""},
	} {
		k := &conn{in: bufio.NewReader(strings.NewReader(c.text))}
		status, keep, err := k.read()
		if c.body == "" {
			if err == nil {
				t.Errorf("%q: read as %q", c.text, k.body)
			}
			continue
		}
		if err != nil || status != 200 || !keep || string(k.body) != c.body {
			t.Errorf("%q: %d, %t, %q, %v", c.text, status, keep, k.body, err)
		}
	}
}

// TestFirstToken: a stream's first token is its text, not what comes before it, in every format.
func TestFirstToken(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for text, want := range map[string]bool{
		string(openAIEvents(streamSize, false)[0]):                                         true,
		`contentBlockDelta{"contentBlockIndex":0,"delta":{"text":` + quote(word(0)) + `}}`: true,
		`{"choices":[{"delta":{"role":"assistant","content":""}}]}`:                        false,
		`messageStart{"role":"assistant"}`:                                                 false,
	} {
		k := &conn{in: bufio.NewReader(strings.NewReader(head + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text)))}
		if _, _, err := k.read(); err != nil || k.spoken.IsZero() == want {
			t.Errorf("%q: first token at %v, %v", text, k.spoken, err)
		}
	}
}

// TestSummary: ratios are of the same round, and added latency is over the direct one of the same round.
func TestSummary(t *testing.T) {
	var samples []sample
	add := func(round int, gateway string, cpu, p50 float64) {
		samples = append(samples, sample{Gateway: gateway, Workload: "one", Round: round, CPUAll: cpu, P50: p50})
	}
	// The machine is three times as slow in the second round, and disturbed in the third.
	add(1, "outcrop", 120, 90)
	add(1, "revproxy", 100, 70)
	add(1, "direct", 0, 50)
	add(2, "outcrop", 360, 250)
	add(2, "revproxy", 300, 200)
	add(2, "direct", 0, 150)
	add(3, "outcrop", 900, 300)
	add(3, "revproxy", 100, 10)
	add(3, "direct", 0, 50)
	gateways := []*gateway{{Name: "outcrop"}, {Name: "revproxy"}, {Name: "direct"}}
	find := func(name string) line {
		for _, m := range measures {
			if m.name == name {
				return m.line(gateways, samples, 3)
			}
		}
		t.Fatalf("no measure %q", name)
		return line{}
	}
	cpu := find("CPU a request, 1 connection")
	if r := cpu.Ratios["revproxy"]; math.Abs(r.Median-1.2) > 1e-9 || r.Least != r.Median || r.Most != 9 {
		t.Errorf("CPU: %+v", r)
	}
	if cpu.Values["outcrop"] != 360 || cpu.Values["revproxy"] != 100 {
		t.Errorf("CPU: %v", cpu.Values)
	}
	added := find("added p50, 1 connection")
	if r := added.Ratios["revproxy"]; r.Least != 2 || r.Most != 2 { // the third round's is below nothing
		t.Errorf("added: %+v", r)
	}
	if added.Values["outcrop"] != 100 || added.Values["revproxy"] != 20 {
		t.Errorf("added: %v", added.Values)
	}
}

// TestSchedule: intended times keep their distance, whoever takes them late.
func TestSchedule(t *testing.T) {
	due := make(chan time.Time, 100)
	start := time.Now()
	schedule(due, start, start.Add(50*time.Millisecond), 1000)
	n := 0
	for at := range due {
		if want := start.Add(time.Duration(n) * time.Millisecond); !at.Equal(want) {
			t.Errorf("%d is due at %v", n, at.Sub(start))
		}
		n++
	}
	if n != 50 {
		t.Errorf("%d times", n)
	}
}

func TestQuantile(t *testing.T) {
	var sorted []time.Duration
	for i := 1; i <= 100; i++ {
		sorted = append(sorted, time.Duration(i)*time.Microsecond)
	}
	if quantile(sorted, .5) != 51 || quantile(sorted, .99) != 100 {
		t.Errorf("%v %v", quantile(sorted, .5), quantile(sorted, .99))
	}
}

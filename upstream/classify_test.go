package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"outcrop/fault"
)

// kinds is what every status means, whatever the body says, by RFC 9110 and the documented errors of OpenAI ("Error
// codes"), Anthropic ("Errors": 529) and llama.cpp. Statuses that are not listed are of their class.
var kinds = map[int]fault.Kind{
	400: fault.Validation, 413: fault.Validation, 415: fault.Validation, 422: fault.Validation, 431: fault.Validation, 451: fault.Validation,
	401: fault.ModelError, 403: fault.ModelError, 404: fault.ModelError, 405: fault.ModelError, 407: fault.ModelError,
	402: fault.Unavailable, 409: fault.Unavailable, 423: fault.Unavailable, 425: fault.Unavailable,
	408: fault.ModelTimeout, 504: fault.ModelTimeout,
	429: fault.Throttled,
	502: fault.Unavailable, 503: fault.Unavailable, 529: fault.Unavailable,
}

func kindOf(status int) fault.Kind {
	if k, ok := kinds[status]; ok {
		return k
	}
	if status/100 == 4 {
		return fault.Validation
	}
	return fault.ModelError
}

// TestClassify goes through every status with every body.
func TestClassify(t *testing.T) {
	const secret = "org-12345 has no credit left on host gpu-7.internal"
	bodies := []Refusal{
		{}, {Message: secret},
		{Message: secret, Type: "invalid_request_error", Code: "context_length_exceeded"},
		{Message: secret, Type: "server_error"},
		{Message: secret, Type: "tokens", Code: "rate_limit_exceeded", RetryAfter: 7 * time.Second},
		{Message: strings.Repeat("é", 5000)},
	}
	for status := 100; status < 600; status++ {
		if status == 200 {
			continue
		}
		for _, r := range bodies {
			r.Upstream, r.Status = "gpu-a", status
			f := Classify(&r)
			if want := kindOf(status); f.Kind != want {
				t.Errorf("%d %q %q: %v, want %v", status, r.Type, r.Code, f.Kind, want)
			}
			if f.OriginalStatus != status || f.RetryAfter != r.RetryAfter {
				t.Errorf("%d: %+v", status, f)
			}
			if f.Message == "" {
				t.Errorf("%d: no message", status)
			}
			if f.Kind != fault.Validation && strings.Contains(f.Message, secret) {
				t.Errorf("%d: the caller sees %q", status, f.Message)
			}
			if f.Kind == fault.Validation && f.Message != "The model returned the following errors: "+Clip(r.Message) {
				t.Errorf("%d: %q", status, f.Message)
			}
			if f.Kind == fault.Validation == f.Kind.Retryable() {
				t.Errorf("%d: %v retryable %t", status, f.Kind, f.Kind.Retryable())
			}
			if !utf8.ValidString(f.Message) || len(f.Message) > 1100 {
				t.Errorf("%d: a message of %d bytes", status, len(f.Message))
			}
			if !strings.Contains(f.Error(), "gpu-a") || r.Message == secret && !strings.Contains(f.Error(), secret) {
				t.Errorf("%d: the log reads %q", status, f)
			}
		}
	}
}

// TestClassifyByName: an error inside a stream that began with 200 is told by its names, or by nothing.
func TestClassifyByName(t *testing.T) {
	for _, c := range []struct {
		typ, code string
		want      fault.Kind
		status    int
	}{
		{"invalid_request_error", "context_length_exceeded", fault.Validation, 400},
		{"exceed_context_size_error", "", fault.Validation, 400},
		{"BadRequestError", "", fault.Validation, 400},
		{"invalid_request_error", "invalid_api_key", fault.ModelError, 401}, // OpenAI's 401 has this type
		{"invalid_request_error", "model_not_found", fault.ModelError, 404},
		{"authentication_error", "", fault.ModelError, 401},
		{"permission_error", "", fault.ModelError, 403},
		{"NotFoundError", "", fault.ModelError, 404},
		{"tokens", "rate_limit_exceeded", fault.Throttled, 429},
		{"insufficient_quota", "insufficient_quota", fault.Throttled, 429},
		{"rate_limit_error", "", fault.Throttled, 429},
		{"overloaded_error", "", fault.Unavailable, 503},
		{"billing_error", "", fault.Unavailable, 402}, // Anthropic, "Errors"
		{"request_too_large", "", fault.Validation, 413},
		{"unavailable_error", "", fault.Unavailable, 503},
		{"timeout_error", "", fault.ModelTimeout, 504},
		{"server_error", "", fault.ModelError, 500},
		{"InternalServerError", "", fault.ModelError, 500},
		{"api_error", "", fault.ModelError, 500},
		{"something_new", "", fault.ModelError, 0},
		{"", "", fault.ModelError, 0},
	} {
		for _, status := range []int{0, 200} {
			f := Classify(&Refusal{Status: status, Type: c.typ, Code: c.code, Message: "m"})
			if f.Kind != c.want || f.OriginalStatus != c.status {
				t.Errorf("%d %q %q: %v %d, want %v %d", status, c.typ, c.code, f.Kind, f.OriginalStatus, c.want, c.status)
			}
		}
	}
	// llama.cpp's own words, as recorded from it.
	if f := Classify(&Refusal{Status: 503, Type: "unavailable_error", Code: "503", Message: "Loading model"}); f.Kind != fault.ModelNotReady {
		t.Errorf("%v while the model loads", f.Kind)
	}
	if f := Classify(&Refusal{Status: 500, Type: "server_error", Code: "500", Message: "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"}); f.Kind != fault.Validation {
		t.Errorf("%v for a picture that the model cannot take", f.Kind)
	}
}

// TestMoney: Anthropic gives the status of a bad request when its customer, who is the operator, has no money left ("Errors":
// "The API also returns a 400 when usage reaches an organization or workspace spend limit"). The texts were reported by
// many who met them.
func TestMoney(t *testing.T) {
	for message, want := range map[string]fault.Kind{
		"You have reached your specified API usage limits. You will regain access on 2026-08-01 at 00:00 UTC.":                            fault.Unavailable,
		"You have reached your specified workspace API usage limits. You will regain access on 2026-08-01 at 00:00 UTC.":                  fault.Unavailable,
		"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.":        fault.Unavailable,
		"messages.0.content.0.text: 'Your credit balance is too low' is no good, and neither is 'You have reached your specified limits'": fault.Validation,
	} {
		f := Classify(&Refusal{Status: 400, Type: "invalid_request_error", Message: message})
		if f.Kind != want || want == fault.Unavailable && strings.Contains(f.Message, message) {
			t.Errorf("%v for %q", f, message)
		}
	}
}

func TestUnreachable(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}}
	dialTimeout := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	readTimeout := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	live := t.Context()
	gone, cancel := context.WithCancel(live)
	cancel()
	late, cancel := context.WithDeadline(live, time.Unix(1, 0))
	defer cancel()
	silent, silence := context.WithCancelCause(live)
	silence(Timeout("gpu-a", "silent for too long"))
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want fault.Kind
		had  bool // the server had the whole request
	}{
		{"refused", live, refused, fault.Unavailable, false},
		{"no connection in time", live, dialTimeout, fault.Unavailable, false}, // another server may be there
		{"the request was not taken", live, &net.OpError{Op: "write", Err: syscall.EPIPE}, fault.Unavailable, false},
		{"TLS refused it", live, &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, fault.Unavailable, false},
		{"reset", live, reset, fault.Unavailable, true},
		{"end of file", live, io.ErrUnexpectedEOF, fault.Unavailable, true},
		{"no answer in time", live, readTimeout, fault.ModelTimeout, false},
		{"the caller left", gone, reset, fault.Internal, false},
		{"the deadline passed", late, reset, fault.ModelTimeout, false},
		{"the provider's own limit", silent, reset, fault.ModelTimeout, false},
	} {
		f := Unreachable(c.ctx, "gpu-a", c.err)
		if f.Kind != c.want || f.Unanswered != c.had {
			t.Errorf("%s: %v, unanswered %t, want %v", c.name, f.Kind, f.Unanswered, c.want)
		}
		if strings.Contains(f.Message, "gpu-a") || strings.Contains(f.Message, c.err.Error()) {
			t.Errorf("%s: the caller sees %q", c.name, f.Message)
		}
		if c.ctx == live && (!errors.Is(f, c.err) || !strings.Contains(f.Error(), "gpu-a")) {
			t.Errorf("%s: the log reads %q", c.name, f)
		}
		if c.ctx == gone && !errors.Is(f, context.Canceled) {
			t.Errorf("%s: %v is no cancellation", c.name, f)
		}
	}
}

// TestAfterTheFirstEvent: what a stream can say of an error is less than what an answer's status can.
func TestAfterTheFirstEvent(t *testing.T) {
	if f := Broken(t.Context(), "gpu-a", false, io.ErrUnexpectedEOF); f.Kind != fault.Unavailable || !f.Unanswered {
		t.Errorf("broken before: %v", f.Kind)
	}
	f := Broken(t.Context(), "gpu-a", true, io.ErrUnexpectedEOF)
	if f.Kind != fault.ModelStream || f.OriginalStatus != 200 || f.OriginalMessage == "" || !errors.Is(f, io.ErrUnexpectedEOF) {
		t.Errorf("broken after: %+v", f)
	}
	// ConverseStream's exceptions are internalServer, modelStreamError, validation, throttling and serviceUnavailable.
	for _, k := range fault.Kinds() {
		e := &fault.Error{Kind: k, Message: "m", OriginalStatus: 500}
		got := InStream(e)
		switch k {
		case fault.Internal, fault.ModelError, fault.ModelNotReady:
			if got.Kind != fault.ModelStream || got.OriginalStatus != 500 || got.OriginalMessage != "m" || !errors.Is(got, e) {
				t.Errorf("%v becomes %+v", k, got)
			}
		default:
			if got != e {
				t.Errorf("%v becomes %+v", k, got)
			}
		}
	}
}

// TestRetryAfter: RFC 9110, section 10.2.3, and the header of OpenAI's own clients, retry-after-ms.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "", 0},
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond},
		{"Retry-After", "-7", 0},
		{"Retry-After", "1e300", time.Hour},
		{"Retry-After", "NaN", 0},
		{"Retry-After", "soon", 0},
		{"Retry-After", "Mon, 23 Nov 2026 10:00:30 GMT", 30 * time.Second},
		{"Retry-After", "Mon, 23 Nov 2026 09:00:00 GMT", 0},
		{"Retry-After", "Wed, 23 Nov 2033 10:00:00 GMT", time.Hour},
		{"Retry-After-Ms", "250", 250 * time.Millisecond},
		{"Retry-After-Ms", "-1", 0},
	} {
		if got := RetryAfter(http.Header{c.name: {c.value}}, now); got != c.want {
			t.Errorf("%s: %s: %v, want %v", c.name, c.value, got, c.want)
		}
	}
	if got := RetryAfter(http.Header{"Retry-After": {"7"}, "Retry-After-Ms": {"6500"}}, now); got != 6500*time.Millisecond {
		t.Errorf("the finer one is not taken: %v", got)
	}
}

// TestBroken: an answer that ends early ends for a reason.
func TestBroken(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	silent := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		ctx     context.Context
		started bool
		err     error
		want    fault.Kind
	}{
		{t.Context(), false, io.ErrUnexpectedEOF, fault.Unavailable},
		{t.Context(), true, io.ErrUnexpectedEOF, fault.ModelStream},
		{t.Context(), false, silent, fault.ModelTimeout},
		{t.Context(), true, silent, fault.ModelTimeout},
		{gone, true, silent, fault.Internal},
	} {
		if f := Broken(c.ctx, "gpu-a", c.started, c.err); f.Kind != c.want {
			t.Errorf("%v, started %t: %v, want %v", c.err, c.started, f, c.want)
		}
	}
	if f := Unreadable("gpu-a", io.ErrNoProgress); f.Kind != fault.ModelError || f.OriginalStatus != 200 || !errors.Is(f, io.ErrNoProgress) || !strings.Contains(f.Error(), "gpu-a") {
		t.Errorf("%+v", f)
	}
}

func TestClip(t *testing.T) {
	if s := strings.Repeat("a", 1000); Clip(s) != s {
		t.Error("a thousand bytes are cut")
	}
	for _, s := range []string{strings.Repeat("a", 1001), strings.Repeat("日", 400), strings.Repeat("é", 600), strings.Repeat("\x80", 5000)} {
		got := Clip(s)
		if len(got) > 1003 || !strings.HasSuffix(got, "...") || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	}
}

func TestServes(t *testing.T) {
	const llama = "meta.llama3-1-8b-instruct-v1:0"
	for _, c := range []struct {
		u      Upstream
		region string
		name   string
		ok     bool
	}{
		{Upstream{}, "us-east-1", llama, true},
		{Upstream{Regions: map[string]bool{"us-west-2": true}}, "us-east-1", "", false},
		{Upstream{Regions: map[string]bool{"us-east-1": true}, Models: map[string]string{llama: "gemma"}}, "us-east-1", "gemma", true},
		{Upstream{Models: map[string]string{"other": "x"}}, "us-east-1", "", false},
		{Upstream{Models: map[string]string{}}, "us-east-1", "", false},
		{Upstream{Models: map[string]string{"*": "any"}}, "us-east-1", "any", true},
		{Upstream{Models: map[string]string{"*": "*"}}, "us-east-1", llama, true},
		{Upstream{Models: map[string]string{"*": "any", llama: "*"}}, "us-east-1", llama, true},
	} {
		if name, ok := c.u.Serves(c.region, llama); ok != c.ok || ok && name != c.name {
			t.Errorf("%+v: %q %t, want %q %t", c.u, name, ok, c.name, c.ok)
		}
	}
}

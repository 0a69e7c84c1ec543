package wire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"outcrop/fault"
	"outcrop/iam"
)

// Authenticator tells who sent r. It returns a fault of one of the credentials' kinds when it cannot.
type Authenticator interface {
	// Precheck refuses what needs no body to be refused: credentials that are missing, cannot be read, are out of time
	// or name no key. It is cheap, and what it lets pass is not authenticated yet.
	Precheck(r *http.Request) (iam.Claim, error)

	// Authenticate takes what Precheck found, or the zero Claim where it was not asked.
	Authenticate(r *http.Request, said iam.Claim, body []byte, requestID string) (iam.Caller, error)
}

// Guard allows every access or returns an AccessDenied fault, and records what it decided.
type Guard interface {
	Check(ctx context.Context, requestID string, c *iam.Caller, access []iam.Access) error
}

// Config is what a Server is made of; everything is required but the Recorder and what is said to be nil.
type Config struct {
	Services      []*Service
	Authenticator Authenticator
	Guard         Guard
	Clock         func() time.Time
	Logger        *slog.Logger // one line a request: level Info, Error for an internal error

	Recorder   Recorder // nil records nothing
	RecordData bool     // calls of the data plane that were not refused are recorded too

	// Claimed tells for the record who a caller said to be who could not prove it; nil knows nothing.
	Claimed func(*http.Request) iam.Caller

	// Anonymous is the caller of a request without credentials, to a Row that is Open. nil serves no such row.
	Anonymous func(*http.Request) iam.Caller
}

// Server serves Services on one endpoint. It is an http.Handler.
type Server struct {
	table *table
	auth  Authenticator
	guard Guard
	now   func() time.Time
	log   *slog.Logger

	recorder   Recorder
	recordData bool
	claimed    func(*http.Request) iam.Caller
	anonymous  func(*http.Request) iam.Caller

	intake intake
}

// NewServer checks the tables and makes a Server of them. It reports everything that is wrong with them at once.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Authenticator == nil || cfg.Guard == nil || cfg.Clock == nil || cfg.Logger == nil {
		return nil, errors.New("wire: a Server needs an Authenticator, a Guard, a clock and a logger")
	}
	t, err := newTable(cfg.Services)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	s := &Server{table: t, auth: cfg.Authenticator, guard: cfg.Guard, now: cfg.Clock, log: cfg.Logger, recorder: cfg.Recorder, recordData: cfg.RecordData, claimed: cfg.Claimed, anonymous: cfg.Anonymous}
	s.intake = intake{patience: bodyPatience, drain: drainPatience, budget: bodyBudget, arriving: map[*exchange]struct{}{}}
	return s, nil
}

// An exchange is one request and its answer.
type exchange struct {
	request *http.Request
	Call
	server  *Server
	service *front
	op      *Op // nil until it is known
	w       http.ResponseWriter
	form    url.Values // AWSQuery
	labels  labels
	status  int          // what was written; 0 before
	fault   *fault.Error // what went wrong, for the request event

	oneLabel [1]label

	recording *recording // what the record will say; nil where it says nothing of the call but a refusal

	stranger bool  // the caller did not prove to be anybody
	unread   bool  // the body, or a part of it, has not come yet
	held     int64 // of the intake's budget
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, w: w}
	x.Start, x.Header, x.request = s.now(), w.Header(), r
	x.ID = newRequestID(x.Start)
	x.quiet = !s.log.Enabled(r.Context(), slog.LevelInfo)
	x.Header["X-Amzn-Requestid"] = []string{x.ID}
	if r.ContentLength != 0 {
		x.expectBody()
		defer x.releaseBody() // after end has answered a panic
	}
	defer x.end()
	if err := x.serve(); err != nil {
		x.fail(err)
	}
}

// serve takes the request through its stages. What it returns has not been written yet.
func (x *exchange) serve() error {
	if err := x.server.table.find(x); err != nil {
		return err
	}
	if f := x.service.Foreign; f != nil && f.KeyHeader != "" {
		f.takeKey(x.request.Header)
	}
	var said iam.Claim
	unsigned := x.isUnsigned()
	if x.unread && !unsigned {
		// Strangers are sent away before they can make the server hold what they send.
		var err error
		if said, err = x.server.auth.Precheck(x.request); err != nil {
			x.stranger = true
			if x.service == unknownQuery {
				x.service = x.server.table.anyQuery
			}
			return err
		}
	}
	buf, err := x.readBody()
	if err != nil {
		return err
	}
	if x.op == nil { // the query protocol names its operation in the body
		if err := x.findAction(); err != nil {
			buf.release()
			return err
		}
	}
	if x.op.in.payload == nil {
		// What is decoded refers to the body in large parts only, and not after the call has been answered. A payload is
		// the handler's own, because an upstream's transport may still read it when the handler has returned, and so is
		// what Call.Body gave.
		defer func() {
			if !x.kept {
				buf.release()
			}
		}()
	}
	if unsigned && x.op.Open {
		x.Caller = x.server.anonymous(x.request)
	} else if x.Caller, err = x.server.auth.Authenticate(x.request, said, x.body, x.ID); err != nil {
		x.stranger = true
		return err
	}
	x.beginRecording()
	if err := BoundValues(x.body); err != nil {
		return err
	}
	if got := x.Caller.Service; got != "" && !x.service.signs(got) {
		if x.Caller.BearerTokenType != "" { // which other services do not know
			return fault.New(fault.MissingToken, "Missing Authentication Token")
		}
		return fault.New(fault.InvalidSignature, "Credential should be scoped to correct service: '%s'.", x.service.SigningName)
	}
	return x.op.serve(x)
}

// isUnsigned reports whether x is a small form without credentials: which operation it asks for, and whether that takes it, is
// known when it has been read.
func (x *exchange) isUnsigned() bool {
	const small = 64 << 10
	r := x.request
	return x.server.anonymous != nil && x.service == unknownQuery && len(r.Header["Authorization"]) == 0 && r.ContentLength >= 0 && r.ContentLength <= small &&
		!strings.Contains(r.URL.RawQuery, "X-Amz-")
}

// end logs the request event, after it has answered a panic as an internal error.
func (x *exchange) end() {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		if x.status != 0 { // too late for an answer: the connection is cut, so that none takes it for a whole one
			x.fault = fault.From(err)
			x.recordData()
			x.logEvent()
			panic(http.ErrAbortHandler)
		}
		x.fail(err)
	}
	x.recordData()
	x.logEvent()
}

// clientClosedRequest is what the log has as the status of a call whose caller went away before the answer. No protocol has
// it. Source: nginx, src/http/ngx_http_request.h (NGX_HTTP_CLIENT_CLOSED_REQUEST)
const clientClosedRequest = 499

func (x *exchange) logEvent() {
	level, kind, status := slog.LevelInfo, "", x.status
	if x.fault != nil {
		kind = x.fault.Kind.String()
		if x.fault.Kind == fault.Internal {
			level = slog.LevelError
			if errors.Is(x.fault, context.Canceled) && x.request.Context().Err() != nil {
				level, kind = slog.LevelInfo, "canceled" // the caller went away
				if status >= 500 {
					status = clientClosedRequest // nobody was there to read the answer, and nothing of ours is broken
				}
			}
		}
	}
	ctx := x.request.Context()
	if !x.server.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10+len(x.notes))
	attrs = append(attrs, slog.String("request_id", x.ID))
	if x.service != nil {
		attrs = append(attrs, slog.String("service", x.service.Name))
	}
	if x.op != nil {
		attrs = append(attrs, slog.String("operation", x.op.Name))
	}
	if x.Caller.ARN != "" {
		attrs = append(attrs, slog.String("caller", x.Caller.ARN), slog.String("region", x.Caller.Region))
	}
	attrs = append(attrs, slog.Int("status", status), slog.Duration("duration", x.server.now().Sub(x.Start)))
	if kind != "" {
		attrs = append(attrs, slog.String("fault", kind))
	}
	if x.fault != nil && (level == slog.LevelError || x.fault.Cause != nil) {
		attrs = append(attrs, slog.String("error", x.fault.Error()))
	}
	x.server.log.LogAttrs(ctx, level, "request", append(attrs, x.notes...)...)
}

// write sends a whole answer in one piece. Content-Type is set by the caller.
func (x *exchange) write(status int, body []byte) {
	x.status = status
	setLength(x.Header, len(body))
	x.w.WriteHeader(status)
	x.w.Write(body) // an error means that the caller has gone: there is nobody to tell
	if x.unread {
		// net/http reads the rest of a small body before it answers. It does so here, where StopReading can end it.
		http.NewResponseController(x.w).Flush()
	}
}

// newRequestID makes a UUID, version 7 (RFC 9562): milliseconds first, then random. Ids that grow with time keep an index
// by them in few pages: with random ones an entry of the ledger costs three times the processor time.
func newRequestID(now time.Time) string {
	var b [16]byte
	rand.Read(b[6:]) // it never fails
	ms := now.UnixMilli()
	binary.BigEndian.PutUint16(b[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	var t [36]byte
	hex.Encode(t[0:8], b[0:4])
	hex.Encode(t[9:13], b[4:6])
	hex.Encode(t[14:18], b[6:8])
	hex.Encode(t[19:23], b[8:10])
	hex.Encode(t[24:36], b[10:16])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return string(t[:])
}

// findAction finds the operation of a query request: in the form, or in the query string of a GET.
func (x *exchange) findAction() error {
	text := string(x.body)
	if x.request.Method == http.MethodGet {
		text = x.request.URL.RawQuery
	}
	form, err := url.ParseQuery(text)
	if err != nil {
		return fault.Wrap(err, fault.Serialization, "The form could not be read.")
	}
	x.form = form
	action := form.Get("Action")
	if x.service == unknownQuery {
		x.service = x.server.table.queryService(action, form.Get("Version"))
	}
	if x.op = x.service.ops[action]; x.op == nil {
		return fault.New(fault.UnknownOperation, "Could not find operation %s for version %s", shorten(action), shorten(form.Get("Version")))
	}
	x.Row = &x.op.Row
	return nil
}

// shorten bounds what a message repeats of a request.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

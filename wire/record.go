package wire

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/audit"
	"outcrop/fault"
	"outcrop/iam"
)

// Recorder writes down who asked for what, and what became of it. An *audit.Log is one.
type Recorder interface {
	// Ready returns a fault.Unavailable while nothing can be written down: then nothing is changed either.
	Ready() error

	// Record takes e, and returns when it is as safe as class says.
	Record(ctx context.Context, e *audit.Event, class audit.Class) error

	// Omit counts a stranger of whom there is no event.
	Omit()
}

// recording is what the record will say of a call whose caller is known.
type recording struct {
	in     any          // a pointer to the input, once it is decoded; nil of the data plane, whose inputs are secret
	access []iam.Access // what was asked of the guard
	done   bool         // it has been said
}

// reads are the verbs of operations that change nothing: CloudTrail marks what they begin as read-only.
var reads = []string{"Count", "Describe", "Explain", "Get", "List", "Lookup", "Simulate", "Validate"}

// ReadOnly reports whether the operation changes nothing, which its name says. Calling a model is read-only to CloudTrail:
// https://docs.aws.amazon.com/bedrock/latest/userguide/logging-using-cloudtrail.html
func (r *Row) ReadOnly() bool {
	return r.Data || slices.ContainsFunc(reads, func(verb string) bool {
		rest, ok := strings.CutPrefix(r.Name, verb)
		return ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z')
	})
}

// beginRecording is for a caller who is known.
func (x *exchange) beginRecording() {
	if x.server.recorder != nil && (!x.op.Data || x.server.recordData) {
		x.recording = &recording{}
	}
}

func (x *exchange) noteInput(in any) {
	if x.recording != nil && !x.op.Data {
		x.recording.in = in
	}
}

func (x *exchange) noteAccess(access []iam.Access) {
	if x.recording != nil {
		x.recording.access = access
	}
}

// mayChange refuses a change that could not be recorded, before anything is done.
func (x *exchange) mayChange() error {
	if x.recording == nil || x.op.ReadOnly() {
		return nil
	}
	return x.server.recorder.Ready()
}

// recordAnswer records a call of the control plane that went well, with its output. A change that cannot be recorded is not
// answered as if it could.
func (x *exchange) recordAnswer(out reflect.Value) error {
	if x.recording == nil || x.op.Data {
		return nil
	}
	e, class := x.event(&x.Caller), audit.Plain
	if !x.op.ReadOnly() {
		class = audit.Durable
		var found []string
		e.ResponseElements, found = recorded(out)
		e.Resources = appendResources(e.Resources, found...)
	}
	account := x.elsewhere()
	if account == "" {
		return x.record(e, class)
	}
	other := e.Shared(account)
	if err := x.record(e, class); err != nil {
		return err
	}
	return x.record(other, class)
}

// elsewhere is the account of the role of another account that the caller was allowed to assume, which is told as well; "" where
// there is none. A refusal is told to the caller's account alone, as AWS does:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html#cloudtrail-integration_apis
func (x *exchange) elsewhere() string {
	for _, a := range x.recording.access {
		if r, ok := audit.ResourceOf(a.Resource); ok && a.Trust != nil && r.AccountID != x.Caller.Account {
			return r.AccountID
		}
	}
	return ""
}

// recordData records a call of the data plane that was not refused, when all of it has been answered.
func (x *exchange) recordData() {
	if x.recording == nil || x.recording.done || !x.op.Data {
		return
	}
	e := x.event(&x.Caller)
	if x.fault != nil {
		_, ex, _, message := x.explain(x.fault)
		e.ErrorCode, e.ErrorMessage = ex.Code, message
	}
	if err := x.record(e, audit.Plain); err != nil {
		x.unrecorded(err)
	}
}

// recordFailure records that a call was refused or went wrong, before the caller is told. A refusal stands even where it
// cannot be recorded.
func (x *exchange) recordFailure(ft *fault.Error, ex Exception, message string) {
	who, class := &x.Caller, audit.Durable
	switch {
	case x.server.recorder == nil || x.service == nil || x.recording != nil && x.recording.done:
		return
	case x.stranger && ft.Kind == fault.Internal:
		return // it was not the credentials
	case ft.Kind == fault.TooManyFailures:
		x.server.recorder.Omit()
		return
	case x.stranger:
		who, class = new(iam.Caller), audit.Stranger
		if x.server.claimed != nil {
			*who = x.server.claimed(x.request)
		}
	case x.op != nil && x.op.Open && x.Caller.ARN == "":
		if class = audit.Stranger; ft.Kind == fault.Internal { // anybody may ask, as often as he likes
			return
		}
	case x.op == nil || x.Caller.Account == "":
		return // a call of nothing, or of nobody yet
	case ft.Kind == fault.AccessDenied, ft.Kind == fault.InvalidSignature, ft.Kind == fault.MissingToken: // the latter two of a scope that is another service's
	case x.recording == nil:
		return
	case x.op.Data:
		return // at its end
	case x.op.ReadOnly(), ft.Kind == fault.Unavailable: // nothing was changed or refused: it may come back
		class = audit.Plain
	}
	e := x.event(who)
	e.ErrorCode, e.ErrorMessage = ex.Code, message
	if ft.Kind == fault.AccessDenied || ft.Kind == fault.InvalidAPIKey {
		e.ErrorCode = "AccessDenied" // in CloudTrail of every service
	}
	if d, ok := errors.AsType[*iam.Denial](ft); ok {
		e.Additional.Decision = &audit.Decision{
			Action: d.Access.Action, Resource: d.Access.Resource, Effect: d.Decision.Effect.String(), Layer: d.Decision.Layer.String(), Policy: d.Decision.Policy, Statement: d.Decision.Sid,
		}
		e.Resources = appendResources(e.Resources, d.Access.Resource)
	}
	if err := x.record(e, class); err != nil {
		x.unrecorded(err)
	}
}

func (x *exchange) record(e *audit.Event, class audit.Class) error {
	if x.recording != nil {
		x.recording.done = true
	}
	return x.server.recorder.Record(x.request.Context(), e, class)
}

func (x *exchange) unrecorded(err error) {
	if !errors.Is(err, context.Canceled) { // of who does not wait for it, it is recorded all the same
		x.server.log.Error("a call may be missing in the audit record", slog.String("request_id", x.ID), slog.Any("error", err))
	}
}

// event is what there is to say of the call so far.
func (x *exchange) event(who *iam.Caller) *audit.Event {
	e := &audit.Event{
		UserIdentity: audit.IdentityOf(who), Source: cmp.Or(x.service.SigningName, "unknown") + ".amazonaws.com", Name: "Unknown", Region: who.Region, SourceIP: who.SourceIP(),
		UserAgent: x.request.UserAgent(), RequestID: x.ID, RecipientAccountID: who.Account,
	}
	e.Additional.CallWithBearerToken = who.BearerTokenType != ""
	if e.SourceIP == "" {
		e.SourceIP, _, _ = net.SplitHostPort(x.request.RemoteAddr)
	}
	if x.op == nil {
		return e
	}
	e.Name, e.ReadOnly = x.op.Name, x.op.ReadOnly()
	switch rec := x.recording; {
	case rec != nil && rec.in != nil:
		e.RequestParameters, _ = recorded(reflect.ValueOf(rec.in).Elem())
	case len(x.labels) > 0:
		e.RequestParameters = x.labels.json()
	}
	if x.recording != nil {
		for _, a := range x.recording.access {
			e.Resources = appendResources(e.Resources, a.Resource)
		}
	}
	return e
}

func appendResources(to []audit.Resource, arns ...string) []audit.Resource {
	for _, arn := range arns {
		if r, ok := audit.ResourceOf(arn); ok && !slices.Contains(to, r) {
			to = append(to, r)
		}
	}
	return to
}

// json is the labels as requestParameters: {"modelId":"..."}.
func (ls labels) json() []byte {
	b := []byte{'{'}
	for _, l := range ls {
		b = appendMember(b, recordedName(l.name), l.value)
	}
	return append(b, '}')
}

// recordedName is how CloudTrail spells a member: with a small first letter.
func recordedName(name string) string {
	return strings.ToLower(name[:1]) + name[1:]
}

// secrets are members that are never recorded whatever their tags say, in small letters.
var secrets = map[string]bool{
	"secretaccesskey": true, "sessiontoken": true, "password": true, "servicepassword": true, "servicecredentialsecret": true,
	"serviceapikeyvalue": true, "webidentitytoken": true, "samlassertion": true, "tokencode": true,
}

// A scribe writes an input or an output as the record has it, and gathers the ARNs that stand in it.
type scribe struct {
	b    []byte
	arns []string
}

// recorded is v, an input or an output, as requestParameters or responseElements; nil where nothing is set, or too much.
func recorded(v reflect.Value) (text jsontext.Value, arns []string) {
	w := &scribe{b: []byte{'{'}}
	w.members(v)
	w.b = append(w.b, '}')
	if len(w.b) <= len("{}") {
		return nil, nil
	}
	return w.b, w.arns
}

// members writes the members of a struct that are set, after its opening brace.
func (w *scribe) members(v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f, m := t.Field(i), v.Field(i)
		name, inBody := bodyName(f)
		if f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "" {
			w.members(m)
			continue
		}
		if !inBody {
			name = cmp.Or(f.Tag.Get("uri"), f.Tag.Get("query"), f.Tag.Get("header"))
		}
		if !f.IsExported() || name == "" || m.IsZero() || len(w.b) > audit.MaxElements {
			continue
		}
		if w.b[len(w.b)-1] != '{' {
			w.b = append(w.b, ',')
		}
		w.b, _ = jsontext.AppendQuote(w.b, recordedName(name))
		w.b = append(w.b, ':')
		if f.Tag.Get("sensitive") != "" || secrets[strings.ToLower(name)] {
			w.text(audit.Hidden)
		} else {
			w.value(m)
		}
	}
}

func (w *scribe) text(s string) {
	w.b, _ = jsontext.AppendQuote(w.b, strings.ToValidUTF8(s, "\uFFFD"))
}

func (w *scribe) value(v reflect.Value) {
	if len(w.b) > audit.MaxElements { // it will be left out whole
		w.b = append(w.b, "null"...)
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			w.b = append(w.b, "null"...)
			return
		}
		if _, ok := v.Interface().(json.MarshalerTo); !ok {
			w.value(v.Elem())
			return
		}
	case reflect.String:
		if s := v.String(); strings.HasPrefix(s, "arn:") {
			w.arns = append(w.arns, s)
		}
		w.text(v.String())
		return
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			w.text(t.UTC().Format(time.RFC3339))
			return
		}
		if _, ok := v.Interface().(json.MarshalerTo); !ok {
			w.b = append(w.b, '{')
			w.members(v)
			w.b = append(w.b, '}')
			return
		}
	case reflect.Slice:
		switch {
		case v.Type() == bytesType:
			w.text(audit.Hidden)
			return
		case v.Type() == valueType && v.Len() > 0:
			if text := jsontext.Value(slices.Clone(v.Bytes())); text.Compact() == nil {
				w.b = append(w.b, text...)
				return
			}
		case v.Type() != valueType:
			w.b = append(w.b, '[')
			for i := range v.Len() {
				if i > 0 {
					w.b = append(w.b, ',')
				}
				w.value(v.Index(i))
			}
			w.b = append(w.b, ']')
			return
		}
	case reflect.Map:
		w.b = append(w.b, '{')
		for i, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }) {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.text(k.String())
			w.b = append(w.b, ':')
			w.value(v.MapIndex(k))
		}
		w.b = append(w.b, '}')
		return
	}
	text, err := json.Marshal(v.Interface(), writeJSON)
	if err != nil {
		text = []byte("null")
	}
	w.b = append(w.b, text...)
}

package wire

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"outcrop/fault"
)

// A table finds the row of a request among all services.
type table struct {
	fronts  []*front
	signing map[string][]*front // by the service in a signature's scope
	targets map[string]target   // by X-Amz-Target

	anyQuery *front // the only query service, which a form belongs to before it is read; unknownQuery where there are several
}

type target struct {
	front *front
	op    *Op
}

// A front is a Service with its operations by what finds them.
type front struct {
	*Service
	routes map[string][]route // RestJSON, ForeignJSON: by method
	ops    map[string]*Op     // AWSQuery: by name
}

// A route is a path cut at its labels: literals[0] label literals[1] label ... literals[n].
type route struct {
	op       *Op
	literals []string
	labels   []string
}

// What an error is written as when no service could be told.
var (
	unknownRest  = &front{Service: &Service{Protocol: RestJSON}}
	unknownJSON  = &front{Service: &Service{Protocol: AWSJSON11}}
	unknownQuery = &front{Service: &Service{Protocol: AWSQuery}}
)

func newTable(services []*Service) (*table, error) {
	t := &table{signing: map[string][]*front{}, targets: map[string]target{}}
	var errs []error
	seen := map[string]string{} // route -> operation
	t.anyQuery = unknownQuery
	queries := 0
	for _, s := range services {
		f := &front{Service: s, routes: map[string][]route{}, ops: map[string]*Op{}}
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("service %q: %w", s.Name, fmt.Errorf(format, args...)))
		}
		if s.Name == "" || s.SigningName == "" || s.Exception == nil {
			fail("a service needs a Name, a SigningName and its Exception function")
		}
		if (s.Protocol == ForeignJSON) != (s.Foreign != nil) {
			fail("a foreign service, and no other, has a Foreign")
			continue
		}
		switch s.Protocol {
		case RestJSON:
		case ForeignJSON:
			if s.Foreign.AppendError == nil {
				fail("a foreign service needs an AppendError")
			}
			if s.Exception != nil {
				if _, ok := s.Exception(fault.Internal); !ok {
					fail("a foreign service needs a word for an internal error")
				}
			}
		case AWSJSON11:
			if s.TargetPrefix == "" {
				fail("json-1.1 needs a TargetPrefix")
			}
		case AWSQuery:
			if s.Version == "" || s.Namespace == "" {
				fail("query needs a Version and a Namespace")
			}
			if queries++; queries == 1 {
				t.anyQuery = f
			} else {
				t.anyQuery = unknownQuery
			}
		default:
			fail("unknown protocol %d", s.Protocol)
			continue
		}
		t.fronts = append(t.fronts, f)
		for _, name := range append([]string{s.SigningName}, s.AlsoSigned...) {
			t.signing[name] = append(t.signing[name], f)
		}
		for i := range s.Ops {
			op := &s.Ops[i]
			key, err := f.add(t, op)
			if err != nil {
				fail("operation %q: %w", op.Name, err)
				continue
			}
			if other, ok := seen[key]; ok {
				fail("operation %q: %s is %s already", op.Name, key, other)
			}
			seen[key] = s.Name + "." + op.Name
		}
		for _, rs := range f.routes { // the most particular first
			slices.SortStableFunc(rs, func(a, b route) int { return len(a.labels) - len(b.labels) })
		}
	}
	return t, errors.Join(errs...)
}

// add enters op and returns what it is found by, which must be its own.
func (f *front) add(t *table, op *Op) (key string, err error) {
	switch {
	case op.serve == nil:
		return "", errors.New("an Op is made by Handle or Stream")
	case op.problem != nil:
		return "", op.problem
	case op.Name == "":
		return "", errors.New("no name")
	case op.Action == "":
		return "", errors.New("no IAM action")
	case op.Checked != "" && op.access:
		return "", fmt.Errorf("an access function, although %q decides", op.Checked)
	case op.Open && (op.Checked == "" || f.Protocol != AWSQuery):
		return "", errors.New("an open row is of the query protocol, and says who checks it")
	case op.Status != 0 && (op.Status < 200 || op.Status > 299):
		return "", fmt.Errorf("status %d is no success", op.Status)
	}
	if f.Protocol == ForeignJSON && op.stream && !op.fails {
		return "", errors.New("the events of a foreign stream must be FailingEvents")
	}
	if f.Protocol == RestJSON || f.Protocol == ForeignJSON {
		r, err := parseRoute(op)
		if err != nil {
			return "", err
		}
		f.routes[op.Method] = append(f.routes[op.Method], r)
		return op.Method + " " + strings.Join(r.literals, "{}"), nil
	}
	if op.Method != "" || op.Path != "" {
		return "", errors.New("a method or a path, which only rest-json has")
	}
	if op.stream {
		return "", errors.New("event streams are written for rest-json only")
	}
	for _, s := range []*shape{op.in, op.out} {
		if len(s.labels)+len(s.query)+len(s.headers) > 0 || s.payload != nil || s.status != nil {
			return "", fmt.Errorf("%v has members outside the body, which only rest-json has", s.typ)
		}
	}
	if f.Protocol == AWSJSON11 {
		key = f.TargetPrefix + "." + op.Name
		t.targets[key] = target{f, op}
		return "X-Amz-Target " + key, nil
	}
	for d, s := range map[direction]*shape{input: op.in, output: op.out} {
		if s.tree, err = queryNode(s.typ, d, map[reflect.Type]*node{}); err != nil {
			return "", err
		}
	}
	f.ops[op.Name] = op
	return "Action " + op.Name + " " + f.Version, nil
}

func parseRoute(op *Op) (route, error) {
	r := route{op: op}
	switch op.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch:
	default:
		return r, fmt.Errorf("method %q", op.Method)
	}
	rest := op.Path
	if !strings.HasPrefix(rest, "/") {
		return r, fmt.Errorf("path %q", op.Path)
	}
	for {
		literal, tail, ok := strings.Cut(rest, "{")
		r.literals = append(r.literals, literal)
		if !ok {
			break
		}
		name, after, ok := strings.Cut(tail, "}")
		if !ok || name == "" || !strings.HasSuffix(literal, "/") || after != "" && after[0] != '/' {
			return r, fmt.Errorf("path %q: a label is a whole segment", op.Path)
		}
		r.labels = append(r.labels, name)
		rest = after
	}
	for _, name := range r.labels {
		if !slices.ContainsFunc(op.in.labels, func(m member) bool { return m.name == name }) {
			return r, fmt.Errorf("%v has no member for the label {%s}", op.in.typ, name)
		}
	}
	if len(op.in.labels) != len(r.labels) {
		return r, fmt.Errorf("%v has %d labels, path %q has %d", op.in.typ, len(op.in.labels), op.Path, len(r.labels))
	}
	return r, nil
}

// match takes an escaped path apart. A label is one segment, or the last label a whole ARN, the slashes of which some
// clients leave as they are: it then reaches as far as the row's literals leave room for.
func (r *route) match(path string, into labels) (labels, bool) {
	rest, ok := strings.CutPrefix(path, r.literals[0])
	if !ok {
		return nil, false
	}
	if len(r.labels) == 0 {
		return into, rest == ""
	}
	for i, name := range r.labels {
		next := r.literals[i+1]
		var raw string
		if i == len(r.labels)-1 {
			if raw, ok = strings.CutSuffix(rest, next); !ok {
				return nil, false
			}
		} else {
			n := strings.IndexByte(rest, '/')
			if n < 0 {
				return nil, false
			}
			raw = rest[:n]
			if rest, ok = strings.CutPrefix(rest[n:], next); !ok {
				return nil, false
			}
		}
		value, ok := decodeLabel(raw)
		if !ok || value == "" || strings.IndexByte(raw, '/') >= 0 && !strings.HasPrefix(value, "arn:") {
			return nil, false
		}
		into = append(into, label{name, value})
	}
	return into, true
}

// find sets x's service and, but for the query protocol, its row. A request that belongs to nothing is told so before
// its credentials are looked at, as AWS does.
//
// The service is told by the signature's scope; among those that share a name there (bedrock and bedrock-runtime) and
// for a request without a scope (a bearer token, no credentials) by X-Amz-Target, then by the path, where the host's
// service comes first when it names one.
func (t *table) find(x *exchange) error {
	r := x.request
	scope := scopeService(r.Header.Get("Authorization"))
	fronts := t.signing[scope]
	signed := len(fronts) > 0
	if !signed {
		fronts = t.fronts
	}
	path := r.URL.RawPath // as it was sent, when that differs from what encoding Path again would give
	if path == "" {
		path = r.URL.EscapedPath()
	}
	if name := r.Header.Get("X-Amz-Target"); name != "" {
		if to, ok := t.targets[name]; ok && slices.Contains(fronts, to.front) {
			x.found(to.front, to.op)
			return nil
		}
		if !signed || fronts[0].Protocol == AWSJSON11 {
			x.service = unknownJSON
			if signed {
				x.service = fronts[0]
			}
			return fault.New(fault.UnknownOperation, "No operation %s is served here.", shorten(name))
		}
	}
	host := hostService(r.Host)
	for pass := range 2 { // the service that the host names, then the others
		for _, f := range fronts {
			if (f.endpoint() == host) == (pass == 1) {
				continue
			}
			routes := f.routes[r.Method]
			for i := range routes {
				if ls, ok := routes[i].match(path, x.oneLabel[:0]); ok {
					x.labels = ls
					x.found(f, routes[i].op)
					return nil
				}
			}
		}
	}
	if form(r) && path == "/" {
		x.service = unknownQuery
		if signed && fronts[0].Protocol == AWSQuery {
			x.service = fronts[0]
		}
		if x.service != unknownQuery || !signed {
			return nil
		}
	}
	x.service = unknownRest
	if f := t.foreign(path); f != nil && (!signed || f.signs(scope)) {
		x.found(f, nil)
	} else if signed {
		x.service = fronts[0]
	} else if scope != "" {
		return fault.New(fault.UnknownOperation, "The service %q is not served here.", shorten(scope))
	}
	return fault.New(fault.UnknownOperation, "No operation matches %s %s.", shorten(r.Method), shorten(path))
}

// found sets x's service and, unless it is not known, its row.
func (x *exchange) found(f *front, op *Op) {
	x.service, x.op = f, op
	if op != nil {
		x.Row = &op.Row
	}
	if f.Foreign != nil && f.Foreign.RequestID != "" {
		x.Header[f.Foreign.RequestID] = []string{x.ID}
	}
}

// signs reports whether a signature for f may have that service in its scope.
func (f *front) signs(service string) bool {
	return service == f.SigningName || slices.Contains(f.AlsoSigned, service)
}

func (f *front) endpoint() string {
	if f.Endpoint != "" {
		return f.Endpoint
	}
	return f.SigningName
}

// queryService finds the service of a query request that has no scope, by its action.
func (t *table) queryService(action, version string) *front {
	for _, f := range t.fronts {
		if f.Protocol == AWSQuery && f.Version == version && f.ops[action] != nil {
			return f
		}
	}
	return unknownQuery
}

// form reports whether r speaks the query protocol: a form, or a GET that names an action.
func form(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost:
		return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	case http.MethodGet:
		return strings.Contains(r.URL.RawQuery, "Action=")
	}
	return false
}

// scopeService returns the service of "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, ...".
func scopeService(authorization string) string {
	_, rest, ok := strings.Cut(authorization, "Credential=")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, ",")
	rest, _, _ = strings.Cut(rest, " ")
	rest, ok = strings.CutSuffix(rest, "/aws4_request")
	if !ok {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '/')+1:]
}

// hostService returns the first label of a host name, "bedrock-runtime" of bedrock-runtime.us-east-1.example.com; ""
// for an address.
func hostService(host string) string {
	first, _, ok := strings.Cut(host, ".")
	if !ok {
		return ""
	}
	if host[0] >= '0' && host[0] <= '9' {
		name, _, _ := strings.Cut(host, ":")
		if _, err := netip.ParseAddr(name); err == nil {
			return ""
		}
	}
	return first
}

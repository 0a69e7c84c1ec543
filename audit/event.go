// Package audit is the record of who asked for what, and what became of it: every call of the control plane and every
// refusal, in the form of AWS CloudTrail's events, each chained to the one before it, so that what is altered or taken away
// shows. Log writes them down; Verify proves that they are all there; api/cloudtrail looks them up.
package audit

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"outcrop/arn"
	"outcrop/iam"
)

// Event is one event, as CloudTrail writes it. Log sets what it says is its own.
//
// Source: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type Event struct {
	Version            string         `json:"eventVersion"` // Log's
	UserIdentity       Identity       `json:"userIdentity"`
	Time               string         `json:"eventTime"`   // Log's: when the call was answered, to the second
	Source             string         `json:"eventSource"` // "bedrock.amazonaws.com"
	Name               string         `json:"eventName"`
	Region             string         `json:"awsRegion"`
	SourceIP           string         `json:"sourceIPAddress"`
	UserAgent          string         `json:"userAgent,omitempty"`
	ErrorCode          string         `json:"errorCode,omitempty"`
	ErrorMessage       string         `json:"errorMessage,omitempty"`
	RequestParameters  jsontext.Value `json:"requestParameters"` // nil is null
	ResponseElements   jsontext.Value `json:"responseElements"`  // nil is null: what only reads has none
	Additional         Additional     `json:"additionalEventData,omitzero"`
	RequestID          string         `json:"requestID,omitempty"`
	ID                 string         `json:"eventID"` // Log's: a UUID
	ReadOnly           bool           `json:"readOnly"`
	Resources          []Resource     `json:"resources,omitempty"`
	Type               string         `json:"eventType"`                    // Log's: "AwsApiCall"
	Management         bool           `json:"managementEvent"`              // Log's: true
	RecipientAccountID string         `json:"recipientAccountId,omitempty"` // "" for a stranger, whom no account knows
	SharedEventID      string         `json:"sharedEventID,omitempty"`      // the same in the records of two accounts; see Shared
	Category           string         `json:"eventCategory"`                // Log's: "Management"
}

// Shared returns e as the record of another account has it, whose role was assumed: it tells of the caller no more than the account and the
// principal's id. Both have the same SharedEventID. Source: the examples of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html#cloudtrail-integration_examples-sts-api
func (e *Event) Shared(account string) *Event {
	e.SharedEventID = uuid.NewString()
	other := *e
	other.UserIdentity = Identity{Type: "AWSAccount", PrincipalID: e.UserIdentity.PrincipalID, AccountID: e.UserIdentity.AccountID}
	other.RecipientAccountID = account
	return &other
}

// Identity is who called. Source:
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type Identity struct {
	Type           string          `json:"type"` // Root, IAMUser, AssumedRole, WebIdentityUser; AWSAccount for another account's; Unknown for who could not prove to be anybody
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      string          `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"` // of Unknown: the one that was named
	UserName       string          `json:"userName,omitempty"`
	SessionContext *SessionContext `json:"sessionContext,omitempty"`

	IdentityProvider string `json:"identityProvider,omitempty"` // of WebIdentityUser
}

// SessionContext is what a session is of.
type SessionContext struct {
	Issuer         *SessionIssuer     `json:"sessionIssuer,omitempty"` // of a role's
	Attributes     *SessionAttributes `json:"attributes,omitempty"`
	SourceIdentity string             `json:"sourceIdentity,omitempty"`
}

// SessionAttributes is how a session began.
type SessionAttributes struct {
	CreationDate     time.Time `json:"creationDate"`
	MFAAuthenticated string    `json:"mfaAuthenticated"` // "false"
}

// SessionIssuer is the role of a session.
type SessionIssuer struct {
	Type        string `json:"type"` // Role
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"` // the role's name
}

// Additional is what there is to say beyond CloudTrail's own members. The first is Amazon Bedrock's.
type Additional struct {
	CallWithBearerToken bool      `json:"callWithBearerToken,omitzero"` // the caller came with an API key
	Decision            *Decision `json:"decision,omitzero"`            // of a refusal by policies: what decided
	NotRecorded         int64     `json:"notRecorded,omitzero"`         // strangers of whom there is no event, since the last one that has this member; see Stranger
	Omitted             []string  `json:"omitted,omitempty"`            // members that were too large
}

// Decision is what policies said to an access that was refused.
type Decision struct {
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Effect    string `json:"effect"`              // explicitDeny or implicitDeny
	Layer     string `json:"layer,omitempty"`     // the kind of policy that decided, as "permissions boundary"
	Policy    string `json:"policy,omitempty"`    // the one that denies
	Statement string `json:"statement,omitempty"` // its Sid
}

// Resource is what was accessed.
type Resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId,omitempty"`
	Type      string `json:"type,omitempty"` // "AWS::IAM::User"
}

// Hidden stands for what is secret.
const Hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// The bounds of an event's members in bytes, as CloudTrail has them. Text is cut; what is JSON is left out.
const (
	maxText      = 1 << 10
	MaxElements  = 100 << 10 // of RequestParameters and ResponseElements: who makes larger ones may stop there
	maxResources = 50
)

// IdentityOf is c as an event tells it.
func IdentityOf(c *iam.Caller) Identity {
	id := Identity{PrincipalID: c.ID, ARN: c.ARN, AccountID: c.Account, AccessKeyID: c.AccessKeyID}
	who, err := arn.Parse(c.ARN)
	kind, session := who.Split()
	switch {
	case err != nil && c.Provider != "":
		id.Type, id.UserName, id.IdentityProvider = "WebIdentityUser", c.UserName, c.Provider
		id.PrincipalID, id.AccountID = c.Provider+":"+c.UserName, ""
	case err != nil:
		id.Type = "Unknown"
	case c.Root:
		id.Type = "Root"
	case who.Service == "sts" && kind == "assumed-role":
		id.Type = "AssumedRole"
		role, _, _ := strings.Cut(session, "/")
		roleID, _, _ := strings.Cut(c.ID, ":")
		is := c.Role
		if is == "" {
			is = arn.ARN{Partition: who.Partition, Service: "iam", Account: c.Account, Resource: "role/" + role}.String()
		}
		id.SessionContext = &SessionContext{Issuer: &SessionIssuer{Type: "Role", PrincipalID: roleID, ARN: is, AccountID: c.Account, UserName: role}}
	default:
		id.Type, id.UserName = "IAMUser", c.UserName
	}
	if !c.Issued.IsZero() {
		if id.SessionContext == nil {
			id.SessionContext = &SessionContext{}
		}
		id.SessionContext.Attributes = &SessionAttributes{CreationDate: c.Issued, MFAAuthenticated: "false"}
		id.SessionContext.SourceIdentity = c.SourceIdentity
	}
	return id
}

// resourceTypes are CloudFormation's names of what an ARN's service and the first part of its resource say.
var resourceTypes = map[[2]string]string{
	{"bedrock", "application-inference-profile"}: "AWS::Bedrock::ApplicationInferenceProfile",
	{"bedrock", "inference-profile"}:             "AWS::Bedrock::InferenceProfile",
	{"bedrock", "foundation-model"}:              "AWS::Bedrock::FoundationModel",
	{"iam", "user"}:                              "AWS::IAM::User",
	{"iam", "group"}:                             "AWS::IAM::Group",
	{"iam", "role"}:                              "AWS::IAM::Role",
	{"iam", "policy"}:                            "AWS::IAM::Policy",
	{"sts", "assumed-role"}:                      "AWS::STS::AssumedRole",
}

// ResourceOf is the resource of that ARN; ok is false for what names no single one.
func ResourceOf(is string) (r Resource, ok bool) {
	a, err := arn.Parse(is)
	if err != nil || strings.ContainsAny(is, "*?") || strings.HasSuffix(is, "/") || len(is) > maxText { // all of a kind are none
		return Resource{}, false
	}
	kind, _ := a.Split()
	return Resource{ARN: is, AccountID: a.Account, Type: resourceTypes[[2]string{a.Service, kind}]}, true
}

// name is the resource's name where its ARN ends with one.
func (r *Resource) name() string { return r.ARN[strings.LastIndexByte(r.ARN, '/')+1:] }

const (
	eventVersion = "1.11"
	eventType    = "AwsApiCall"
	category     = "Management"
	timeFormat   = "2006-01-02T15:04:05Z"
)

// record finishes e, which happened now.
func (e *Event) record(now time.Time) (*Record, error) {
	e.Version, e.Type, e.Management, e.Category = eventVersion, eventType, true, category
	e.ID, e.Time = uuid.NewString(), now.UTC().Format(timeFormat)
	r := &Record{}
	var err error
	if r.Event, err = e.encode(); err != nil {
		return nil, err
	}
	return r, r.fill(e)
}

// encode bounds e and returns it as it is kept.
func (e *Event) encode() ([]byte, error) {
	for _, s := range []*string{
		&e.Name, &e.Source, &e.Region, &e.SourceIP, &e.UserAgent, &e.ErrorCode, &e.ErrorMessage, &e.RequestID, &e.RecipientAccountID,
		&e.UserIdentity.PrincipalID, &e.UserIdentity.ARN, &e.UserIdentity.AccountID, &e.UserIdentity.AccessKeyID, &e.UserIdentity.UserName,
	} {
		*s = cut(*s)
	}
	for _, m := range []struct {
		name  string
		value *jsontext.Value
	}{{"requestParameters", &e.RequestParameters}, {"responseElements", &e.ResponseElements}} {
		if len(*m.value) > MaxElements {
			*m.value = nil
			e.Additional.Omitted = append(e.Additional.Omitted, m.name)
		}
	}
	if d := e.Additional.Decision; d != nil {
		e.Additional.Decision = &Decision{cut(d.Action), cut(d.Resource), d.Effect, d.Layer, cut(d.Policy), cut(d.Statement)}
	}
	e.Resources = slices.Clone(e.Resources[:min(len(e.Resources), maxResources)])
	for i := range e.Resources {
		r := &e.Resources[i]
		r.ARN, r.AccountID = cut(r.ARN), cut(r.AccountID)
	}
	return json.Marshal(e, json.Deterministic(true))
}

// cut bounds a text, in whole characters, and mends what is none: what is found by it is what can be read back.
func cut(s string) string {
	s = text(s)
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// text is s, with the character for what is none in place of what is none.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// decode reads what encode wrote.
func decode(b []byte) (*Event, error) {
	e := new(Event)
	return e, json.Unmarshal(b, e)
}

// UserName is the name by which LookupEvents finds the caller: a user's, "root", or a session's.
func (e *Event) UserName() string {
	switch id := &e.UserIdentity; id.Type {
	case "Root":
		return "root"
	case "AssumedRole":
		return id.ARN[strings.LastIndexByte(id.ARN, '/')+1:]
	default:
		return id.UserName
	}
}

// ResourceName is one name of a resource.
type ResourceName struct{ Type, Name string }

// ResourceNames are the names by which LookupEvents finds the event's resources: the ARN of each, and the name it ends with.
func (e *Event) ResourceNames() []ResourceName {
	var out []ResourceName
	for i := range e.Resources {
		r := &e.Resources[i]
		for _, n := range []ResourceName{{r.Type, r.ARN}, {r.Type, r.name()}} {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// Key is one thing by which an event is found: an attribute of LookupEvents and its value.
type Key struct{ Attribute, Value string }

// The attributes of LookupEvents.
const (
	ByEventID      = "EventId"
	ByEventName    = "EventName"
	ByReadOnly     = "ReadOnly"
	ByUsername     = "Username"
	ByResourceType = "ResourceType"
	ByResourceName = "ResourceName"
	ByEventSource  = "EventSource"
	ByAccessKeyID  = "AccessKeyId"
)

// keys are all by which e is found, each once.
func (e *Event) keys() []Key {
	all := []Key{
		{ByEventID, e.ID}, {ByEventName, e.Name}, {ByReadOnly, strconv.FormatBool(e.ReadOnly)}, {ByEventSource, e.Source},
		{ByUsername, e.UserName()}, {ByAccessKeyID, e.UserIdentity.AccessKeyID},
	}
	for _, n := range e.ResourceNames() {
		all = append(all, Key{ByResourceType, n.Type}, Key{ByResourceName, n.Name})
	}
	out := all[:0]
	for _, k := range all {
		if k.Value != "" && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// when is the time of the event.
func (e *Event) when() (time.Time, error) { return time.Parse(timeFormat, e.Time) }

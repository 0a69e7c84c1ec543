// Package cloudtrail is the front end of AWS CloudTrail (2013-11-01): LookupEvents over the audit record. An account sees its
// own events of the Region that its request is signed for, from the moment at which they are recorded.
package cloudtrail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/audit"
	"outcrop/fault"
	"outcrop/wire"
)

// Events are what can be looked up: the audit.Store.
type Events interface {
	LookupEvents(ctx context.Context, q audit.Query) ([]audit.Record, error)
}

// New makes the service.
func New(events Events) *wire.Service {
	s := &service{events}
	return &wire.Service{
		Name:         "cloudtrail",
		SigningName:  "cloudtrail",
		Protocol:     wire.AWSJSON11,
		TargetPrefix: "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
		Exception:    exceptions.Of,
		Ops: []wire.Op{
			wire.Handle(wire.Row{Name: "LookupEvents", Action: "cloudtrail:LookupEvents"}, nil, s.lookupEvents),
		},
	}
}

type service struct{ events Events }

// The texts of the exceptions are their descriptions in the model, where it has one for the case.
var (
	errAttributes = fault.New(fault.Validation, "You can only specify one lookup attribute.")
	errMaxResults = fault.New(fault.LimitExceeded, "The limit specified is not valid: MaxResults must be between 1 and %d.", maxResults)
	errTimeRange  = fault.New(fault.DataUnavailable, "The timestamp values are not valid. Either the start time occurs after the end time, or the time range is outside the range of possible values.")
	errCategory   = fault.New(fault.NotFound, "The event category is not valid.")
	errNextToken  = fault.New(fault.InvalidNextToken, "The token is not valid, or was previously used in a request with different parameters.")
)

// maxResults is the most, and the default, of one page.
const maxResults = 50

func (s *service) lookupEvents(ctx context.Context, c *wire.Call, in *LookupEventsInput) (*LookupEventsOutput, error) {
	q := audit.Query{Account: c.Caller.Account, Region: c.Caller.Region, Limit: maxResults}
	if len(in.LookupAttributes) > 1 {
		return nil, errAttributes
	}
	if len(in.LookupAttributes) == 1 {
		q.Key = &audit.Key{Attribute: in.LookupAttributes[0].AttributeKey, Value: in.LookupAttributes[0].AttributeValue}
	}
	if in.MaxResults != nil {
		if *in.MaxResults < 1 || *in.MaxResults > maxResults {
			return nil, errMaxResults
		}
		q.Limit = *in.MaxResults
	}
	var err error
	if q.From, err = timeOf(in.StartTime, math.Ceil); err != nil {
		return nil, err
	}
	if q.To, err = timeOf(in.EndTime, math.Floor); err != nil {
		return nil, err
	}
	if in.StartTime != nil && in.EndTime != nil && *in.EndTime < *in.StartTime {
		return nil, errTimeRange
	}
	switch in.EventCategory {
	case "":
	case "insight": // of which there are none
		return &LookupEventsOutput{Events: []Event{}}, nil
	default:
		return nil, errCategory
	}
	sum := digest(&q)
	if in.NextToken != "" {
		if q.After, err = parseToken(in.NextToken, sum); err != nil {
			return nil, err
		}
	}
	q.Limit++ // to see whether there are more
	records, err := s.events.LookupEvents(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &LookupEventsOutput{Events: []Event{}}
	if len(records) == q.Limit {
		records = records[:q.Limit-1]
		last := &records[len(records)-1]
		out.NextToken = token(audit.Place{Time: last.Time, Seq: last.Seq}, sum)
	}
	for i := range records {
		e, err := eventOf(&records[i])
		if err != nil {
			return nil, err
		}
		out.Events = append(out.Events, *e)
	}
	return out, nil
}

func eventOf(r *audit.Record) (*Event, error) {
	var e audit.Event
	if err := json.Unmarshal(r.Event, &e); err != nil {
		return nil, fmt.Errorf("audit record %d: %w", r.Seq, err)
	}
	out := &Event{
		EventID: e.ID, EventName: e.Name, ReadOnly: strconv.FormatBool(e.ReadOnly), AccessKeyID: e.UserIdentity.AccessKeyID, EventTime: r.Time, EventSource: e.Source,
		Username: e.UserName(), Resources: []Resource{}, CloudTrailEvent: string(r.Event),
	}
	for _, n := range e.ResourceNames() {
		out.Resources = append(out.Resources, Resource{ResourceType: n.Type, ResourceName: n.Name})
	}
	return out, nil
}

// timeOf reads seconds since 1970, which round brings to a whole second; nil is open.
func timeOf(seconds *float64, round func(float64) float64) (time.Time, error) {
	if seconds == nil {
		return time.Time{}, nil
	}
	if !(*seconds > 0 && *seconds < 1<<38) { // some year 10000
		return time.Time{}, errTimeRange
	}
	return time.Unix(int64(round(*seconds)), 0), nil
}

// A token is where a page ends, and tells by a digest which account's request it continues. It chooses a place in an answer
// that its owner may read anyway, so it is not sealed.
const digestSize = 16

func digest(q *audit.Query) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d", q.Account, q.Region, keyOf(q), q.From.Unix(), q.To.Unix()))
	return sum[:digestSize]
}

func keyOf(q *audit.Query) audit.Key {
	if q.Key == nil {
		return audit.Key{}
	}
	return *q.Key
}

func token(p audit.Place, digest []byte) string {
	b := binary.BigEndian.AppendUint64(slices.Clone(digest), uint64(p.Time.Unix()))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, uint64(p.Seq)))
}

func parseToken(text string, digest []byte) (*audit.Place, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != digestSize+16 || string(b[:digestSize]) != string(digest) {
		return nil, errNextToken
	}
	b = b[digestSize:]
	return &audit.Place{Time: time.Unix(int64(binary.BigEndian.Uint64(b)), 0), Seq: int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

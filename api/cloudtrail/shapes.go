package cloudtrail

import "time"

// LookupEventsInput is what LookupEvents takes. Most of its bounds are the service's own to tell: see lookupEvents.
type LookupEventsInput struct {
	LookupAttributes []LookupAttribute `json:"LookupAttributes,omitempty"`
	StartTime        *float64          `json:"StartTime,omitempty"` // seconds since 1970
	EndTime          *float64          `json:"EndTime,omitempty"`
	EventCategory    string            `json:"EventCategory,omitempty"`
	MaxResults       *int              `json:"MaxResults,omitempty"`
	NextToken        string            `json:"NextToken,omitempty"`
}

// LookupAttribute is what the events have that are looked for.
type LookupAttribute struct {
	AttributeKey   string `json:"AttributeKey" required:"true" enum:"EventId,EventName,ReadOnly,Username,ResourceType,ResourceName,EventSource,AccessKeyId"`
	AttributeValue string `json:"AttributeValue" required:"true" min:"1" max:"2000"`
}

// LookupEventsOutput is what LookupEvents gives, the newest event first.
type LookupEventsOutput struct {
	Events    []Event `json:"Events"`
	NextToken string  `json:"NextToken,omitempty"`
}

// Event is one event.
type Event struct {
	EventID         string     `json:"EventId"`
	EventName       string     `json:"EventName"`
	ReadOnly        string     `json:"ReadOnly"` // "true" or "false"
	AccessKeyID     string     `json:"AccessKeyId,omitempty"`
	EventTime       time.Time  `json:"EventTime"`
	EventSource     string     `json:"EventSource"`
	Username        string     `json:"Username,omitempty"`
	Resources       []Resource `json:"Resources"`
	CloudTrailEvent string     `json:"CloudTrailEvent"` // the whole event, JSON
}

// Resource is a resource that was accessed.
type Resource struct {
	ResourceType string `json:"ResourceType,omitempty"`
	ResourceName string `json:"ResourceName"`
}

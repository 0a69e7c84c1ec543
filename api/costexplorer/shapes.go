package costexplorer

import (
	"github.com/go-json-experiment/json/jsontext"
)

// DateInterval is a time: Start inclusive, End exclusive, as YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ. Both are required; what
// is missing is refused as an empty date, in AWS's words for it (see parseTime).
type DateInterval struct {
	Start string `json:"Start" max:"40"`
	End   string `json:"End" max:"40"`
}

// GroupDefinition is one thing to group by. It has no constraints of its own: AWS refuses it in words of this service
// (see groupBy).
type GroupDefinition struct {
	Type string `json:"Type,omitempty"` // DIMENSION, TAG or COST_CATEGORY
	Key  string `json:"Key,omitempty" max:"1024"`
}

// SortDefinition is one thing to sort by.
type SortDefinition struct {
	Key       string `json:"Key" required:"true" max:"1024"` // a metric
	SortOrder string `json:"SortOrder,omitempty" enum:"ASCENDING,DESCENDING"`
}

// GetCostAndUsageInput is what GetCostAndUsage takes.
type GetCostAndUsageInput struct {
	TimePeriod     *DateInterval     `json:"TimePeriod" required:"true"`
	Granularity    string            `json:"Granularity" required:"true" enum:"DAILY,MONTHLY,HOURLY"`
	Filter         jsontext.Value    `json:"Filter,omitempty"` // an Expression, read by compileFilter
	Metrics        []string          `json:"Metrics" required:"true"`
	GroupBy        []GroupDefinition `json:"GroupBy,omitempty"`
	BillingViewArn string            `json:"BillingViewArn,omitempty" max:"2048"`
	NextPageToken  string            `json:"NextPageToken,omitempty" max:"8192"`
}

// GetCostAndUsageOutput is what GetCostAndUsage gives.
type GetCostAndUsageOutput struct {
	NextPageToken            string                          `json:"NextPageToken,omitempty"`
	GroupDefinitions         []GroupDefinition               `json:"GroupDefinitions,omitempty"`
	ResultsByTime            []ResultByTime                  `json:"ResultsByTime"`
	DimensionValueAttributes []DimensionValuesWithAttributes `json:"DimensionValueAttributes"`
}

// ResultByTime is one period. Total is {} in an answer with groups, Groups is [] in one without.
type ResultByTime struct {
	TimePeriod DateInterval `json:"TimePeriod"`
	Total      Metrics      `json:"Total"`
	Groups     []Group      `json:"Groups"`
	Estimated  bool         `json:"Estimated"`
}

// Group is one group of a period.
type Group struct {
	Keys    []string `json:"Keys"`
	Metrics Metrics  `json:"Metrics"`
}

// Metrics is a JSON object from a metric's name to its value, in the order of the request.
type Metrics []Metric

// Metric is one metric.
type Metric struct {
	Name   string
	Amount string
	Unit   string
}

// MarshalJSONTo writes {"BlendedCost":{"Amount":"0.01","Unit":"USD"}}.
func (m Metrics) MarshalJSONTo(enc *jsontext.Encoder) error {
	tokens := make([]jsontext.Token, 0, 2+7*len(m))
	tokens = append(tokens, jsontext.BeginObject)
	for _, v := range m {
		tokens = append(tokens, jsontext.String(v.Name), jsontext.BeginObject,
			jsontext.String("Amount"), jsontext.String(v.Amount), jsontext.String("Unit"), jsontext.String(v.Unit), jsontext.EndObject)
	}
	for _, t := range append(tokens, jsontext.EndObject) {
		if err := enc.WriteToken(t); err != nil {
			return err
		}
	}
	return nil
}

// DimensionValuesWithAttributes is a value with what else is known of it.
type DimensionValuesWithAttributes struct {
	Value      string            `json:"Value"`
	Attributes map[string]string `json:"Attributes"`
}

// GetTagsInput is what GetTags takes.
type GetTagsInput struct {
	SearchString   string           `json:"SearchString,omitempty" max:"1024"`
	TimePeriod     *DateInterval    `json:"TimePeriod" required:"true"`
	TagKey         string           `json:"TagKey,omitempty" max:"1024"`
	Filter         jsontext.Value   `json:"Filter,omitempty"`
	SortBy         []SortDefinition `json:"SortBy,omitempty"`
	BillingViewArn string           `json:"BillingViewArn,omitempty" max:"2048"`
	MaxResults     *int             `json:"MaxResults,omitempty" min:"1"`
	NextPageToken  string           `json:"NextPageToken,omitempty" max:"8192"`
}

// GetTagsOutput is what GetTags gives: keys, or the values of one key.
type GetTagsOutput struct {
	NextPageToken string   `json:"NextPageToken,omitempty"`
	Tags          []string `json:"Tags"`
	ReturnSize    int      `json:"ReturnSize"`
	TotalSize     int      `json:"TotalSize"`
}

// GetDimensionValuesInput is what GetDimensionValues takes.
type GetDimensionValuesInput struct {
	SearchString   string           `json:"SearchString,omitempty" max:"1024"`
	TimePeriod     *DateInterval    `json:"TimePeriod" required:"true"`
	Dimension      string           `json:"Dimension" required:"true"`
	Context        string           `json:"Context,omitempty" enum:"COST_AND_USAGE,RESERVATIONS,SAVINGS_PLANS"`
	Filter         jsontext.Value   `json:"Filter,omitempty"`
	SortBy         []SortDefinition `json:"SortBy,omitempty"`
	BillingViewArn string           `json:"BillingViewArn,omitempty" max:"2048"`
	MaxResults     *int             `json:"MaxResults,omitempty" min:"1"`
	NextPageToken  string           `json:"NextPageToken,omitempty" max:"8192"`
}

// GetDimensionValuesOutput is what GetDimensionValues gives.
type GetDimensionValuesOutput struct {
	DimensionValues []DimensionValuesWithAttributes `json:"DimensionValues"`
	ReturnSize      int                             `json:"ReturnSize"`
	TotalSize       int                             `json:"TotalSize"`
	NextPageToken   string                          `json:"NextPageToken,omitempty"`
}

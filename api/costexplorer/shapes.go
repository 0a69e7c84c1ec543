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

// GetCostAndUsageWithResourcesInput is what GetCostAndUsageWithResources takes.
type GetCostAndUsageWithResourcesInput struct {
	TimePeriod     *DateInterval     `json:"TimePeriod" required:"true"`
	Granularity    string            `json:"Granularity" required:"true" enum:"DAILY,MONTHLY,HOURLY"`
	Filter         jsontext.Value    `json:"Filter,omitempty" required:"true"`
	Metrics        []string          `json:"Metrics"`
	GroupBy        []GroupDefinition `json:"GroupBy,omitempty"`
	BillingViewArn string            `json:"BillingViewArn,omitempty" max:"2048"`
	NextPageToken  string            `json:"NextPageToken,omitempty" max:"8192"`
}

// GetCostAndUsageOutput is what GetCostAndUsage and GetCostAndUsageWithResources give.
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
	b := append(enc.AvailableBuffer(), '{')
	for i, v := range m {
		if i > 0 {
			b = append(b, ',')
		}
		for _, s := range [...][2]string{{"", v.Name}, {`:{"Amount":`, v.Amount}, {`,"Unit":`, v.Unit}} {
			var err error
			if b, err = jsontext.AppendQuote(append(b, s[0]...), s[1]); err != nil {
				return err
			}
		}
		b = append(b, '}')
	}
	return enc.WriteValue(append(b, '}'))
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

// GetCostCategoriesInput is what GetCostCategories takes.
type GetCostCategoriesInput struct {
	SearchString     string           `json:"SearchString,omitempty" max:"1024"`
	TimePeriod       *DateInterval    `json:"TimePeriod" required:"true"`
	CostCategoryName string           `json:"CostCategoryName,omitempty" max:"50"`
	Filter           jsontext.Value   `json:"Filter,omitempty"`
	SortBy           []SortDefinition `json:"SortBy,omitempty"`
	BillingViewArn   string           `json:"BillingViewArn,omitempty" max:"2048"`
	MaxResults       *int             `json:"MaxResults,omitempty" min:"1"`
	NextPageToken    string           `json:"NextPageToken,omitempty" max:"8192"`
}

// GetCostCategoriesOutput is what GetCostCategories gives: names, or the values of one.
type GetCostCategoriesOutput struct {
	CostCategoryNames  []string `json:"CostCategoryNames"`
	CostCategoryValues []string `json:"CostCategoryValues,omitzero"`
	ReturnSize         int      `json:"ReturnSize"`
	TotalSize          int      `json:"TotalSize"`
}

// GetForecastInput is what GetCostForecast and GetUsageForecast take.
type GetForecastInput struct {
	TimePeriod              *DateInterval  `json:"TimePeriod" required:"true"`
	Metric                  string         `json:"Metric" required:"true" enum:"BLENDED_COST,UNBLENDED_COST,AMORTIZED_COST,NET_UNBLENDED_COST,NET_AMORTIZED_COST,USAGE_QUANTITY,NORMALIZED_USAGE_AMOUNT"`
	Granularity             string         `json:"Granularity" required:"true" enum:"DAILY,MONTHLY,HOURLY"`
	Filter                  jsontext.Value `json:"Filter,omitempty"`
	BillingViewArn          string         `json:"BillingViewArn,omitempty" max:"2048"`
	PredictionIntervalLevel *int           `json:"PredictionIntervalLevel,omitempty" min:"51" max:"99"`
}

// GetForecastOutput is what GetCostForecast and GetUsageForecast give.
type GetForecastOutput struct {
	Total                 MetricValue      `json:"Total"`
	ForecastResultsByTime []ForecastResult `json:"ForecastResultsByTime"`
}

// MetricValue is an amount.
type MetricValue struct {
	Amount string `json:"Amount"`
	Unit   string `json:"Unit"`
}

// ForecastResult is one period of a forecast. It has bounds where PredictionIntervalLevel asks for them.
type ForecastResult struct {
	TimePeriod                   DateInterval `json:"TimePeriod"`
	MeanValue                    string       `json:"MeanValue"`
	PredictionIntervalLowerBound string       `json:"PredictionIntervalLowerBound,omitempty"`
	PredictionIntervalUpperBound string       `json:"PredictionIntervalUpperBound,omitempty"`
}

// ListCostAllocationTagsInput is what ListCostAllocationTags takes.
type ListCostAllocationTagsInput struct {
	Status     string   `json:"Status,omitempty" enum:"Active,Inactive"`
	TagKeys    []string `json:"TagKeys,omitempty" min:"1" max:"100" each.max:"1024"`
	Type       string   `json:"Type,omitempty" enum:"AWSGenerated,UserDefined"`
	NextToken  string   `json:"NextToken,omitempty" max:"8192"`
	MaxResults *int     `json:"MaxResults,omitempty" min:"1" max:"1000"`
}

// ListCostAllocationTagsOutput is what ListCostAllocationTags gives.
type ListCostAllocationTagsOutput struct {
	CostAllocationTags []CostAllocationTag `json:"CostAllocationTags"`
	NextToken          string              `json:"NextToken,omitempty"`
}

// CostAllocationTag is a key that costs can be grouped and filtered by.
type CostAllocationTag struct {
	TagKey          string `json:"TagKey"`
	Type            string `json:"Type"`                      // AWSGenerated or UserDefined
	Status          string `json:"Status"`                    // Active or Inactive
	LastUpdatedDate string `json:"LastUpdatedDate,omitempty"` // when Status was last changed
	LastUsedDate    string `json:"LastUsedDate,omitempty"`    // the month of the last cost that has it
}

// UpdateCostAllocationTagsStatusInput is what UpdateCostAllocationTagsStatus takes.
type UpdateCostAllocationTagsStatusInput struct {
	CostAllocationTagsStatus []CostAllocationTagStatusEntry `json:"CostAllocationTagsStatus" required:"true" min:"1" max:"20"`
}

// CostAllocationTagStatusEntry is the status that a key shall have.
type CostAllocationTagStatusEntry struct {
	TagKey string `json:"TagKey" required:"true" max:"1024"`
	Status string `json:"Status" required:"true" enum:"Active,Inactive"`
}

// UpdateCostAllocationTagsStatusOutput is what UpdateCostAllocationTagsStatus gives: the entries that were not taken.
type UpdateCostAllocationTagsStatusOutput struct {
	Errors []UpdateCostAllocationTagsStatusError `json:"Errors"`
}

// UpdateCostAllocationTagsStatusError says why a key's status was not set.
type UpdateCostAllocationTagsStatusError struct {
	TagKey  string `json:"TagKey"`
	Code    string `json:"Code"`
	Message string `json:"Message"`
}

package accessanalyzer

type validatePolicyInput struct {
	Document   *string `json:"policyDocument" required:"true"`
	Type       string  `json:"policyType" required:"true" enum:"IDENTITY_POLICY,RESOURCE_POLICY,SERVICE_CONTROL_POLICY,RESOURCE_CONTROL_POLICY"`
	Resource   string  `json:"validatePolicyResourceType" enum:"AWS::S3::Bucket,AWS::S3::AccessPoint,AWS::S3::MultiRegionAccessPoint,AWS::S3ObjectLambda::AccessPoint,AWS::IAM::AssumeRolePolicyDocument,AWS::DynamoDB::Table"`
	Locale     string  `json:"locale" enum:"DE,EN,ES,FR,IT,JA,KO,PT_BR,ZH_CN,ZH_TW"` // every finding is in English
	MaxResults *int    `json:"-" query:"maxResults" min:"1"`
	NextToken  string  `json:"-" query:"nextToken" max:"64"`
}

type validatePolicyOutput struct {
	Findings  []finding `json:"findings"`
	NextToken string    `json:"nextToken,omitzero"`
}

type finding struct {
	Details   string     `json:"findingDetails"`
	Type      string     `json:"findingType"`
	Code      string     `json:"issueCode"`
	LearnMore string     `json:"learnMoreLink"`
	Locations []location `json:"locations"`
}

type location struct {
	Path []pathElement `json:"path"`
	Span span          `json:"span"`
}

// pathElement is a union of which one is set.
type pathElement struct {
	Index *int    `json:"index,omitzero"`
	Key   *string `json:"key,omitzero"`
	Value *string `json:"value,omitzero"`
}

type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

type position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Offset int `json:"offset"`
}

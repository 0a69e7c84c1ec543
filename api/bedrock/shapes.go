package bedrock

import "time"

// The shapes of botocore's bedrock model of 2023-04-20, field for field. Its patterns are meant to match a whole value
// and are anchored here, but for that of a description: AWS's guides make descriptions such as
// "Project Alpha - Claude 3.5 Sonnet", which it matches in part only. What goes out keeps to no pattern, as AWS's own
// answers do not (dots in names, commas in descriptions, more than five models).
//
// Required strings of a body are pointers: an empty one is too short, not absent.

type createInferenceProfileInput struct {
	Name               *string     `json:"inferenceProfileName" required:"true" min:"1" max:"64" pattern:"^([0-9a-zA-Z][ _-]?)+$"`
	Description        *string     `json:"description" min:"1" max:"200" pattern:"([0-9a-zA-Z:.][ _-]?)+" sensitive:"true"`
	ClientRequestToken *string     `json:"clientRequestToken" min:"1" max:"256" pattern:"^[a-zA-Z0-9]([-a-zA-Z0-9]{0,254}[a-zA-Z0-9])?$"`
	ModelSource        *modelInput `json:"modelSource" required:"true"`
	Tags               []tagInput  `json:"tags" max:"200"`
}

type modelInput struct {
	_        struct{} `union:"InferenceProfileModelSource"`
	CopyFrom *string  `json:"copyFrom" min:"1" max:"2048" pattern:"^arn:aws(|-us-gov|-cn|-iso|-iso-b):bedrock:(|[0-9a-z-]{0,20}):(|[0-9]{12}):(inference-profile|foundation-model)/[a-zA-Z0-9-:.]+$"`
}

type tagInput struct {
	Key   *string `json:"key" required:"true" min:"1" max:"128" pattern:"^[a-zA-Z0-9\\s._:/=+@-]*$"`
	Value *string `json:"value" required:"true" min:"0" max:"256" pattern:"^[a-zA-Z0-9\\s._:/=+@-]*$"`
}

type createInferenceProfileOutput struct {
	ARN    string `json:"inferenceProfileArn"`
	Status string `json:"status"`
}

// identifierInput takes names too, which may have spaces and underscores: its pattern is AWS's or that of a name.
type identifierInput struct {
	Identifier string `json:"-" uri:"inferenceProfileIdentifier" required:"true" min:"1" max:"2048" pattern:"^((arn:aws(|-us-gov|-cn|-iso|-iso-b):bedrock:(|[0-9a-z-]{0,20}):(|[0-9]{12}):(inference-profile|application-inference-profile)/)?[a-zA-Z0-9-:.]+|([0-9a-zA-Z][ _-]?)+)$"`
}

type inferenceProfile struct {
	Name        string         `json:"inferenceProfileName"`
	Description string         `json:"description,omitzero"`
	CreatedAt   time.Time      `json:"createdAt"`
	UpdatedAt   time.Time      `json:"updatedAt"`
	ARN         string         `json:"inferenceProfileArn"`
	Models      []profileModel `json:"models"`
	ID          string         `json:"inferenceProfileId"`
	Status      string         `json:"status"`
	Type        string         `json:"type"`
}

type profileModel struct {
	ARN string `json:"modelArn"`
}

type listInferenceProfilesInput struct {
	MaxResults *int    `json:"-" query:"maxResults" min:"1" max:"1000"`
	NextToken  *string `json:"-" query:"nextToken" min:"1" max:"2048" pattern:"^\\S*$"`
	TypeEquals *string `json:"-" query:"type" enum:"SYSTEM_DEFINED,APPLICATION"`
}

type listInferenceProfilesOutput struct {
	Summaries []inferenceProfile `json:"inferenceProfileSummaries"`
	NextToken string             `json:"nextToken,omitzero"`
}

type empty struct{}

type tagResourceInput struct {
	resourceInput
	Tags []tagInput `json:"tags" required:"true" max:"200"`
}

type untagResourceInput struct {
	resourceInput
	Keys []string `json:"tagKeys" required:"true" max:"200" each.min:"1" each.max:"128" each.pattern:"^[a-zA-Z0-9\\s._:/=+@-]*$"`
}

type resourceInput struct {
	ARN *string `json:"resourceARN" required:"true" min:"20" max:"1011" pattern:".*(^[a-zA-Z0-9][a-zA-Z0-9\\-]*$)|(^arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:custom-model/(imported)/[a-z0-9]{12}$)|(^arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:([0-9]{12}|)((:(fine-tuning-job|model-customization-job|custom-model)/[a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2}(/[a-z0-9]{12})$)|(:guardrail/[a-z0-9]+$)|(:automated-reasoning-policy/[a-zA-Z0-9]+(:[a-zA-Z0-9]+)?$)|(:(inference-profile|application-inference-profile)/[a-zA-Z0-9-:.]+$)|(:(provisioned-model|model-invocation-job|model-evaluation-job|evaluation-job|model-import-job|imported-model|async-invoke|provisioned-model-v2|provisioned-model-reservation|prompt-router|custom-model-deployment)/[a-z0-9]{12}$))).*"`
}

type listTagsForResourceOutput struct {
	Tags []tagOutput `json:"tags"`
}

type tagOutput struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// The service itself knows more inference types and modalities than its model's enums: INFERENCE_PROFILE, VIDEO,
// SPEECH, AUDIO. They are accepted as filters because they are in the answers.
type listFoundationModelsInput struct {
	ByProvider          *string `json:"-" query:"byProvider" pattern:"^[A-Za-z0-9- ]{1,63}$"`
	ByCustomizationType *string `json:"-" query:"byCustomizationType" enum:"FINE_TUNING,CONTINUED_PRE_TRAINING,DISTILLATION"`
	ByOutputModality    *string `json:"-" query:"byOutputModality" enum:"TEXT,IMAGE,EMBEDDING,VIDEO,SPEECH,AUDIO"`
	ByInferenceType     *string `json:"-" query:"byInferenceType" enum:"ON_DEMAND,PROVISIONED,INFERENCE_PROFILE"`
}

type listFoundationModelsOutput struct {
	Summaries []foundationModel `json:"modelSummaries"`
}

type getFoundationModelInput struct {
	Identifier string `json:"-" uri:"modelIdentifier" required:"true" min:"1" max:"2048" pattern:"^((arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}::foundation-model/[a-z0-9-]{1,63}[.]{1}([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2})|([a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([.]?[a-z0-9-]{1,63})([:][a-z0-9-]{1,63}){0,2}))$"`
}

type getFoundationModelOutput struct {
	Details foundationModel `json:"modelDetails"`
}

type foundationModel struct {
	ARN              string         `json:"modelArn"`
	ID               string         `json:"modelId"`
	Name             string         `json:"modelName"`
	Provider         string         `json:"providerName"`
	InputModalities  []string       `json:"inputModalities"`
	OutputModalities []string       `json:"outputModalities"`
	Streaming        bool           `json:"responseStreamingSupported"`
	Customizations   []string       `json:"customizationsSupported"`
	InferenceTypes   []string       `json:"inferenceTypesSupported"`
	Lifecycle        modelLifecycle `json:"modelLifecycle"`
}

type modelLifecycle struct {
	Status         string    `json:"status"`
	EndOfLife      time.Time `json:"endOfLifeTime,omitzero"`
	Legacy         time.Time `json:"legacyTime,omitzero"`
	ExtendedAccess time.Time `json:"publicExtendedAccessTime,omitzero"`
}

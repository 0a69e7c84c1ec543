package resourcegroupstaggingapi

import "outcrop/fault"

// The inputs and outputs, with the constraints of the service model.

type getResourcesInput struct {
	PaginationToken string      `json:"PaginationToken" max:"2048"`
	Filters         []tagFilter `json:"TagFilters" max:"50"`
	PerPage         *int32      `json:"ResourcesPerPage"`
	TagsPerPage     *int32      `json:"TagsPerPage"`
	Types           []string    `json:"ResourceTypeFilters" each.max:"256"`
	ARNs            []string    `json:"ResourceARNList" min:"1" max:"100" each.min:"1" each.max:"1011"`

	// Tag policies, of which there are none.
	IncludeComplianceDetails  *bool `json:"IncludeComplianceDetails"`
	ExcludeCompliantResources *bool `json:"ExcludeCompliantResources"`
}

type tagFilter struct {
	Key    string   `json:"Key" min:"1" max:"128"`
	Values []string `json:"Values" max:"20" each.max:"256"`
}

// check finds what the members say together that the model does not tell, and the bounds of the page.
func (in *getResourcesInput) check() (resources, tags int, err error) {
	if len(in.ARNs) > 0 && (in.PaginationToken != "" || in.Filters != nil || in.PerPage != nil || in.TagsPerPage != nil || in.Types != nil) {
		return 0, 0, fault.New(fault.Validation, "ResourceARNList cannot be used with PaginationToken, TagFilters, ResourcesPerPage, TagsPerPage or ResourceTypeFilters.")
	}
	resources, tags = defaultResources, maxTags
	if len(in.ARNs) > 0 {
		resources, tags = len(in.ARNs), len(in.ARNs)*maxTags // one page
	}
	if n := in.PerPage; n != nil {
		if resources = int(*n); resources < 1 || resources > maxResources {
			return 0, 0, fault.New(fault.Validation, "ResourcesPerPage must be between 1 and %d.", maxResources)
		}
	}
	if n := in.TagsPerPage; n != nil {
		if tags = int(*n); tags < minTags || tags > maxTags {
			return 0, 0, fault.New(fault.Validation, "TagsPerPage must be between %d and %d.", minTags, maxTags)
		}
	}
	for _, f := range in.Filters {
		if f.Key == "" {
			return 0, 0, fault.New(fault.Validation, "A tag filter needs a key.")
		}
	}
	if in.ExcludeCompliantResources != nil && *in.ExcludeCompliantResources && (in.IncludeComplianceDetails == nil || !*in.IncludeComplianceDetails) {
		return 0, 0, fault.New(fault.Validation, "ExcludeCompliantResources needs IncludeComplianceDetails.")
	}
	return resources, tags, nil
}

type getResourcesOutput struct {
	PaginationToken string     `json:"PaginationToken"`
	Resources       []resource `json:"ResourceTagMappingList"`
}

type resource struct {
	ARN  string `json:"ResourceARN"`
	Tags []tag  `json:"Tags"`
}

type tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

type getTagKeysInput struct {
	PaginationToken string `json:"PaginationToken" max:"2048"`
}

type getTagKeysOutput struct {
	PaginationToken string   `json:"PaginationToken"`
	Keys            []string `json:"TagKeys"`
}

type getTagValuesInput struct {
	PaginationToken string `json:"PaginationToken" max:"2048"`
	Key             string `json:"Key" required:"true" min:"1" max:"128"`
}

type getTagValuesOutput struct {
	PaginationToken string   `json:"PaginationToken"`
	Values          []string `json:"TagValues"`
}

type tagResourcesInput struct {
	ARNs []string          `json:"ResourceARNList" required:"true" min:"1" max:"20" each.min:"1" each.max:"1011"`
	Tags map[string]string `json:"Tags" required:"true" min:"1" max:"50" key.min:"1" key.max:"128" each.max:"256"`
}

type untagResourcesInput struct {
	ARNs []string `json:"ResourceARNList" required:"true" min:"1" max:"20" each.min:"1" each.max:"1011"`
	Keys []string `json:"TagKeys" required:"true" min:"1" max:"50" each.min:"1" each.max:"128"`
}

type failedOutput struct {
	Failed map[string]failure `json:"FailedResourcesMap"`
}

type failure struct {
	Code    string `json:"ErrorCode"`
	Message string `json:"ErrorMessage"`
	Status  int    `json:"StatusCode"`
}

package lint

// learnMore is where AWS explains its codes; a code's own anchor follows.
// Source of the codes and words: that page.
const learnMore = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html#access-analyzer-reference-policy-checks-"

// anchor is the severity in an anchor of that page.
func (s Severity) anchor() string {
	switch s {
	case Error:
		return "error"
	case SecurityWarning:
		return "security-warning"
	case Suggestion:
		return "suggestion"
	}
	return "general-warning"
}

type code struct {
	severity Severity
	words    string
	link     string // of the codes that are ours
}

// Pages for our own codes.
const (
	prerequisites = "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html"
	globalProfile = "https://docs.aws.amazon.com/bedrock/latest/userguide/global-cross-region-inference.html"
	bedrockTable  = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html"
	allTables     = "https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html"
	operatorPage  = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"
	severalValues = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"
	variables     = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html"
	grammarPage   = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"
)

var codes = map[string]code{
	"JSON_SYNTAX_ERROR":                                   {Error, "Fix the JSON syntax error at index %d line %d column %d.", ""},
	"DATA_TYPE_MISMATCH":                                  {Error, "The text does not match the expected JSON data type %s.", ""},
	"DUPLICATE_KEYS_WITH_DIFFERENT_CASE":                  {Error, "The condition key %s appears more than once with different capitalization in the same condition block. Remove the duplicate condition keys.", ""},
	"INVALID_ACTION":                                      {Error, "The action %s does not exist.", ""},
	"INVALID_ARN_ACCOUNT":                                 {Error, "The resource ARN account ID %s is not valid. Provide a 12-digit account ID.", ""},
	"INVALID_ARN_PREFIX":                                  {Error, "Add the required prefix (arn) to the resource ARN.", ""},
	"INVALID_ARN_RESOURCE":                                {Error, "Resource ARN does not match the expected ARN format. Update the resource portion of the ARN.", ""},
	"INVALID_ARN_SERVICE_CASE":                            {Error, "Update the service name %s in the resource ARN to use all lowercase letters.", ""},
	"ARN_ACCOUNT_NOT_ALLOWED":                             {Error, "The service %s does not support specifying an account ID in the resource ARN.", ""},
	"ARN_REGION_NOT_ALLOWED":                              {Error, "The service %s does not support specifying a Region in the resource ARN.", ""},
	"MISSING_ARN_REGION":                                  {Error, "Add a Region to the %s resource ARN.", ""},
	"MISSING_ARN_FIELD":                                   {Error, "Resource ARNs must include at least %d fields in the following structure: arn:partition:service:region:account:resource", ""},
	"INVALID_PARTITION":                                   {Error, "The resource ARN for the service %s does not support the partition %s. Use the supported values: %s", ""},
	"INVALID_SERVICE":                                     {Error, "The service %s does not exist. Use a valid service name.", ""},
	"INVALID_SERVICE_IN_ACTION":                           {Error, "The service %s specified in the action does not exist.", ""},
	"INVALID_CONDITION_KEY_FORMAT":                        {Error, "The condition key format is not valid. Use the format service:keyname.", ""},
	"INVALID_CONDITION_MULTIPLE_BOOLEAN":                  {Error, "The condition key does not support multiple Boolean values. Use a single Boolean value.", ""},
	"INVALID_CONDITION_OPERATOR":                          {Error, "The condition operator %s is not valid. Use a valid condition operator.", ""},
	"INVALID_GLOBAL_CONDITION_KEY":                        {Error, "The condition key %s does not exist. Use a valid condition key.", ""},
	"INVALID_SERVICE_CONDITION_KEY":                       {Error, "The condition key %s does not exist in the service %s. Use a valid condition key.", ""},
	"INVALID_EFFECT":                                      {Error, "The effect %s is not valid. Use Allow or Deny.", ""},
	"INVALID_POLICY_ELEMENT":                              {Error, "The policy element %s is not valid.", ""},
	"INVALID_PRINCIPAL_FORMAT":                            {Error, "The Principal element contents are not valid. Specify a key-value pair in the Principal element.", ""},
	"INVALID_PRINCIPAL_KEY":                               {Error, "The principal key %s is not valid.", ""},
	"INVALID_VARIABLE_FOR_OPERATOR":                       {Error, "Policy variables can only be used with String and ARN operators.", ""},
	"INVALID_VERSION":                                     {Error, "The version %s is not valid. Use one of the following versions: %s", ""},
	"MISSING_ACTION":                                      {Error, "Add an Action or NotAction element to the policy statement.", ""},
	"MISSING_EFFECT":                                      {Error, "Add an Effect element to the policy statement with a value of Allow or Deny.", ""},
	"MISSING_PRINCIPAL":                                   {Error, "Add a Principal element to the policy statement.", ""},
	"MISSING_QUALIFIER":                                   {Error, "The request context key %s has multiple values. Use the ForAllValues or ForAnyValue condition key qualifiers in your policy.", ""},
	"MISSING_RESOURCE":                                    {Error, "Add a Resource or NotResource element to the policy statement.", ""},
	"MISSING_STATEMENT":                                   {Error, "Add a statement to the policy", ""},
	"MISSING_TAG_KEY_IN_CONDITION":                        {Error, "The condition key %s must include a tag key to control access based on tags. Use the format %[1]stag-key and specify a key name for tag-key.", ""},
	"NULL_WITH_IF_EXISTS":                                 {Error, "The Null condition operator cannot be used with the IfExists suffix. Update the operator or the suffix.", ""},
	"SCP_SYNTAX_ERROR_PRINCIPAL":                          {Error, "SCPs do not support specifying principals. Remove the Principal or NotPrincipal element.", ""},
	"POLICY_SIZE_EXCEEDS_SCP_QUOTA":                       {Error, "The %d characters in the service control policy (SCP) exceed the %d character maximum for SCPs. We recommend that you use multiple granular policies.", ""},
	"UNIQUE_SIDS_REQUIRED":                                {Error, "Duplicate statement IDs are not supported for this policy type. Update the Sid value.", ""},
	"UNSUPPORTED_ELEMENT_COMBINATION":                     {Error, "The policy elements %s and %s can not be used in the same statement. Remove one of these elements.", ""},
	"UNSUPPORTED_GLOBAL_CONDITION_KEY":                    {Error, "The condition key aws:ARN is not supported. Use aws:PrincipalArn or aws:SourceArn instead.", ""},
	"UNSUPPORTED_PRINCIPAL":                               {Error, "The policy type %s does not support the Principal element. Remove the Principal element.", ""},
	"UNSUPPORTED_SID":                                     {Error, "Update the characters in the Sid element to use one of the following character types: [a-z, A-Z, 0-9]", ""},
	"UNSUPPORTED_WILDCARD_IN_PRINCIPAL":                   {Error, "Wildcards (*, ?) are not supported with the principal key %s. Replace the wildcard with a valid principal value.", ""},
	"MISSING_BRACE_IN_VARIABLE":                           {Error, "The policy variable is missing a closing curly brace. Add } after the variable text.", ""},
	"MISSING_QUOTE_IN_VARIABLE":                           {Error, "The policy variable default value must begin and end with a single quote. Add the missing quote.", ""},
	"UNSUPPORTED_SPACE_IN_VARIABLE":                       {Error, "A space is not supported within the policy variable text. Remove the space.", ""},
	"EMPTY_VARIABLE":                                      {Error, "Empty policy variable. Remove the ${ } variable structure or provide a variable within the structure.", ""},
	"VARIABLE_UNSUPPORTED_IN_ELEMENT":                     {Error, "Policy variables are supported in the Resource and Condition elements. Remove the policy variable %s from this element.", ""},
	"VARIABLE_UNSUPPORTED_IN_VERSION":                     {Error, "To include variables in your policy, use the policy version 2012-10-17 or later.", ""},
	"ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL":         {Error, "Role trust policies do not support NotPrincipal. Update the policy to use a Principal element instead.", ""},
	"ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE":             {Error, "Role trust policies apply to the role that they are attached to. You cannot specify a resource. Remove the Resource or NotResource element.", ""},
	"ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL": {Error, "\"Principal:\" \"*\" is not supported in the principal element of a role trust policy. Replace the wildcard with a valid principal value.", ""},

	"MISSING_VERSION":                             {Warning, "We recommend that you specify the Version element to help you with debugging permission issues.", ""},
	"WILDCARD_WITHOUT_LIKE_OPERATOR":              {Warning, "Your condition value includes a * or ? character. If you meant to use a wildcard (*, ?), update the condition operator to include Like.", ""},
	"POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA":   {Warning, "The %d characters in the identity policy, excluding whitespace, exceed the %d character maximum for inline and managed policies. We recommend that you use multiple granular policies.", ""},
	"POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA": {Warning, "The characters in the role trust policy, excluding whitespace, exceed the character maximum. We recommend that you request a role trust policy length quota increase using Service Quotas and AWS Support Center. If the quotas have already been increased, then you can ignore this warning.", ""},
	"TYPE_MISMATCH":                               {Warning, "Use the operator type %s instead of operator %s for the condition key %s.", ""},
	"TYPE_MISMATCH_BOOLEAN":                       {Warning, "Add a valid Boolean value (true or false) for the condition operator %s.", ""},
	"TYPE_MISMATCH_DATE":                          {Warning, "The date condition operator is used with an invalid value. Specify a valid date using YYYY-MM-DD or other ISO 8601 date/time format.", ""},
	"TYPE_MISMATCH_IP_RANGE":                      {Warning, "The condition operator %s is used with an invalid IP range value. Specify the IP range in standard CIDR format.", ""},
	"TYPE_MISMATCH_NUMBER":                        {Warning, "Add a valid numeric value for the condition operator %s.", ""},
	"TYPE_MISMATCH_STRING":                        {Warning, "Add a valid base64-encoded string value for the condition operator %s.", ""},
	"INVALID_DATE_VALUE":                          {Warning, "The date %s might not resolve as expected. We recommend that you use the YYYY-MM-DD format.", ""},

	"ALLOW_WITH_NOT_PRINCIPAL":                       {SecurityWarning, "Using Allow with NotPrincipal can be overly permissive. We recommend that you use Principal instead.", ""},
	"FORALLVALUES_WITH_SINGLE_VALUED_KEY":            {SecurityWarning, "Using ForAllValues qualifier with the single-valued condition key %s can be overly permissive. We recommend that you remove ForAllValues:.", ""},
	"PASS_ROLE_WITH_NOT_RESOURCE":                    {SecurityWarning, "Using the iam:PassRole action with NotResource can be overly permissive because it can allow iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs instead.", ""},
	"PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE": {SecurityWarning, "Using an action with a wildcard (*) and NotResource can be overly permissive because it can allow iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs instead.", ""},
	"PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE":     {SecurityWarning, "Using NotAction with NotResource can be overly permissive because it can allow iam:PassRole permissions on multiple resources.. We recommend that you specify resource ARNs instead.", ""},
	"PASS_ROLE_WITH_STAR_IN_RESOURCE":                {SecurityWarning, "Using the iam:PassRole action with wildcards (*) in the resource can be overly permissive because it allows iam:PassRole permissions on multiple resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement.", ""},
	"PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE":     {SecurityWarning, "Using wildcards (*) in the action and the resource can be overly permissive because it allows iam:PassRole permissions on all resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement.", ""},
	"PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION": {SecurityWarning, "Using a resource with wildcards (*) and NotAction can be overly permissive because it allows iam:PassRole permissions on all resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement.", ""},

	"EMPTY_ARRAY_ACTION":                 {Suggestion, "This statement includes no actions and does not affect the policy. Specify actions.", ""},
	"EMPTY_ARRAY_RESOURCE":               {Suggestion, "This statement includes no resources and does not affect the policy. Specify resources.", ""},
	"EMPTY_ARRAY_PRINCIPAL":              {Suggestion, "This statement includes no principals and does not affect the policy. Specify principals.", ""},
	"EMPTY_ARRAY_CONDITION":              {Suggestion, "There are no values for the condition key %s and it does not affect the policy. Specify conditions.", ""},
	"EMPTY_ARRAY_CONDITION_FORALLVALUES": {Suggestion, "The ForAllValues prefix with an empty condition key matches only if the key %s is missing from the request context. To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.", ""},
	"EMPTY_ARRAY_CONDITION_FORANYVALUE":  {Suggestion, "The ForAnyValue prefix with an empty condition key %s never matches the request context and it does not affect the policy. Specify conditions.", ""},
	"EMPTY_ARRAY_CONDITION_IFEXISTS":     {Suggestion, "The IfExists suffix with an empty condition key matches only if the key %s is missing from the request context. To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.", ""},
	"EMPTY_OBJECT_CONDITION":             {Suggestion, "This condition block is empty and it does not affect the policy. Specify conditions.", ""},
	"EMPTY_OBJECT_PRINCIPAL":             {Suggestion, "This statement includes no principals and does not affect the policy. Specify principals.", ""},
	"EMPTY_SID_VALUE":                    {Suggestion, "Add a value to the empty string in the Sid element.", ""},
	"IMPROVE_IP_RANGE":                   {Suggestion, "The non-zero bits in the IP address after the masked bits are ignored. Replace address with %s.", ""},
	"NULL_WITH_QUALIFIER":                {Suggestion, "Avoid using the Null condition operator with the ForAllValues or ForAnyValue qualifiers because they always return a true or false respectively.", ""},
	"REDUNDANT_ACTION":                   {Suggestion, "The %d action(s) are redundant because they provide similar permissions. Update the policy to remove the redundant action such as: %s.", ""},
	"REDUNDANT_RESOURCE":                 {Suggestion, "The %d resource ARN(s) are redundant because they reference the same resource. Review the use of wildcards (*)", ""},
	"REDUNDANT_STATEMENT":                {Suggestion, "The statements are redundant because they provide identical permissions. Update the policy to remove the redundant statement.", ""},
	"WILDCARD_IN_SERVICE_NAME":           {Suggestion, "Avoid using wildcards (*, ?) in the service name because it might grant unintended access to other AWS services with similar names.", ""},

	// Ours.
	"REFUSED":                          {Error, "The policy is refused: %s (%s)", grammarPage},
	"PROFILE_NAME_IN_ARN":              {Error, "%s matches no inference profile: the ARN of an application inference profile is application-inference-profile/ and an id of 12 characters, a-z and 0-9, never its name.", prerequisites},
	"CONDITION_ALWAYS_MET":             {Error, "%s compares * as a character, which no value of %s has: nothing is equal to it, so the condition is always met.", operatorPage},
	"CONDITION_NEVER_MET":              {Error, "%s compares * as a character, which no value of %s has: nothing is equal to it, so the condition is never met.", operatorPage},
	"UNKNOWN_VARIABLE":                 {Warning, "There is no key %s: the variable never has a value, and nothing matches what has one without a value.", variables},
	"RESOURCE_WITHOUT_ACTION":          {Warning, "No action of the statement is ever asked for on %s.", allTables},
	"ACTION_WITHOUT_RESOURCE":          {Warning, "%s is never asked for on a resource of the statement.", allTables},
	"ALLOW_PROFILE_WITHOUT_MODELS":     {Warning, "A call through a profile is authorized on the profile and on each model behind it; the policy allows no model.", prerequisites},
	"MODELS_WITHOUT_PROFILE_CONDITION": {SecurityWarning, "The models are allowed by themselves too: who calls them without the profile is not held back, and not counted under it.", prerequisites},
	"GLOBAL_PROFILE_WITHOUT_MODEL":     {Warning, "A global profile's model is authorized outside any Region too, as arn:aws:bedrock:::foundation-model/...; the policy does not allow that.", globalProfile},
	"REGION_WITHOUT_UNSPECIFIED":       {Warning, "A global profile's model is authorized in the Region \"unspecified\" too, which aws:RequestedRegion is not allowed to be here.", globalProfile},
	"DENY_MISSES_STREAMS":              {SecurityWarning, "bedrock:InvokeModel is denied and bedrock:InvokeModelWithResponseStream is not: ConverseStream and other streams are not held back.", bedrockTable},
	"DENY_HITS_OTHER_OPERATIONS":       {Warning, "%s is in no request but those that call models: for all other actions of the statement it is missing, which meets %s, and they are denied.", operatorPage},
	"DENY_HITS_LISTS":                  {Warning, "%s is asked for on *, which NotResource does not except: it is denied too.", bedrockTable},
	"FORALLVALUES_WITHOUT_NULL":        {SecurityWarning, "ForAllValues is met where %s is missing, so the statement allows requests without it.", severalValues},
}

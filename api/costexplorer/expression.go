package costexplorer

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/cost"
	"outcrop/fault"
)

// Bounds of a filter. AWS publishes none for them; a request is 1 MiB at most in any case.
const (
	maxDepth = 32    // expressions inside expressions
	maxNodes = 1_000 // expressions in all
)

// expression is the model's Expression.
type expression struct {
	Or             []expression `json:"Or"`
	And            []expression `json:"And"`
	Not            *expression  `json:"Not"`
	Dimensions     *values      `json:"Dimensions"`
	Tags           *values      `json:"Tags"`
	CostCategories *values      `json:"CostCategories"`
}

// values is the model's DimensionValues, TagValues and CostCategoryValues.
type values struct {
	Key          string   `json:"Key"`
	Values       []string `json:"Values"`
	MatchOptions []string `json:"MatchOptions"`
}

type predicate = func(*cost.Charges) bool

// filter is a request's Filter.
type filter struct {
	accepts predicate // nil accepts everything
	split   bool      // it asks for who called

	tagging *cost.Tagging
	nodes   int
}

// compileFilter reads a request's Filter.
func compileFilter(text jsontext.Value, tagging *cost.Tagging) (*filter, error) {
	f := &filter{tagging: tagging}
	if len(text) == 0 || text.Kind() == 'n' {
		return f, nil
	}
	var e expression
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fault.Wrap(err, fault.Serialization, "Filter is not an Expression")
	}
	var err error
	f.accepts, err = f.compile(&e, 1)
	return f, err
}

func (f *filter) compile(e *expression, depth int) (predicate, error) {
	f.nodes++
	if depth > maxDepth || f.nodes > maxNodes {
		return nil, fault.New(fault.Validation, "Expression is too large. At most %d expressions, %d deep, are allowed.", maxNodes, maxDepth)
	}
	roots := 0
	for _, set := range []bool{e.Or != nil, e.And != nil, e.Not != nil, e.Dimensions != nil, e.Tags != nil, e.CostCategories != nil} {
		if set {
			roots++
		}
	}
	const operators = "And, Or, Not, Dimensions, Tags, CostCategories"
	switch {
	case roots > 1: // the text is AWS's, from the model's description of Expression
		return nil, fault.New(fault.Validation, "Expression has more than one roots. Only one root operator is allowed for each expression: %s", operators)
	case roots == 0:
		return nil, fault.New(fault.Validation, "Expression has no root. One root operator is required for each expression: %s", operators)
	case e.And != nil:
		all, err := f.compileAll("And", e.And, depth)
		return func(c *cost.Charges) bool {
			return !slices.ContainsFunc(all, func(p predicate) bool { return !p(c) })
		}, err
	case e.Or != nil:
		any, err := f.compileAll("Or", e.Or, depth)
		return func(c *cost.Charges) bool {
			return slices.ContainsFunc(any, func(p predicate) bool { return p(c) })
		}, err
	case e.Not != nil:
		p, err := f.compile(e.Not, depth+1)
		return func(c *cost.Charges) bool { return !p(c) }, err
	case e.Dimensions != nil:
		d, err := filterDimension(e.Dimensions.Key)
		if err != nil {
			return nil, err
		}
		if len(e.Dimensions.Values) == 0 && !slices.Contains(e.Dimensions.MatchOptions, "ABSENT") {
			return nil, fault.New(fault.Validation, "Dimension %s has no values.", d.name)
		}
		match, err := e.Dimensions.compile()
		return func(c *cost.Charges) bool { v := d.by(c); return match(v, !d.none && v != "") }, err
	case e.Tags != nil:
		match, err := e.Tags.compile()
		key := e.Tags.Key
		if key == "" {
			// Neither key nor values: what has no tags at all (the model's description of TagValues).
			if len(e.Tags.Values) > 0 {
				return nil, fault.New(fault.Validation, "Tags has values and no key.")
			}
			return func(c *cost.Charges) bool { return match("", !f.tagging.Untagged(c)) }, err
		}
		f.split = f.split || cost.OfCaller(key)
		return func(c *cost.Charges) bool { return match(f.tagging.Tag(c, key)) }, err
	default:
		// There are no cost categories: nothing is in one.
		match, err := e.CostCategories.compile()
		return func(*cost.Charges) bool { return match("", false) }, err
	}
}

// compileAll compiles the operands of And and Or. The text is AWS's:
// https://github.com/aws-samples/aws-cost-explorer-report/issues/27
func (f *filter) compileAll(name string, es []expression, depth int) ([]predicate, error) {
	if len(es) < 2 {
		return nil, fault.New(fault.Validation, "%s expression must have at least 2 operands", name)
	}
	ps := make([]predicate, 0, len(es))
	for i := range es {
		p, err := f.compile(&es[i], depth+1)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// compile turns values and match options into a function of a value and of whether it is there at all: any of the
// values may match. What is not there has the value "", as it has when it is grouped by. AWS allows EQUALS,
// CASE_SENSITIVE and, for tags, ABSENT in GetCostAndUsage; the other options of its model are allowed here too, but for
// GREATER_THAN_OR_EQUAL, which compares numbers.
func (v *values) compile() (func(value string, present bool) bool, error) {
	how, fold, sensitive, absent := "", false, false, false
	for _, o := range v.MatchOptions {
		switch o {
		case "CASE_SENSITIVE":
			sensitive = true
		case "CASE_INSENSITIVE":
			fold = true
		case "ABSENT":
			absent = true
		case "EQUALS", "STARTS_WITH", "ENDS_WITH", "CONTAINS":
			if how != "" && how != o {
				return nil, fault.New(fault.Validation, "MatchOptions %s and %s contradict each other.", how, o)
			}
			how = o
		default:
			return nil, fault.New(fault.Validation, "MatchOptions %s is not allowed. Valid values are EQUALS, ABSENT, STARTS_WITH, ENDS_WITH, CONTAINS, CASE_SENSITIVE, CASE_INSENSITIVE", o)
		}
	}
	if fold && sensitive {
		return nil, fault.New(fault.Validation, "MatchOptions CASE_SENSITIVE and CASE_INSENSITIVE contradict each other.")
	}
	for _, value := range v.Values {
		if len(value) > 4*1024 { // the model's 1,024 characters
			return nil, fault.New(fault.Validation, "A value of %s is longer than 1024 characters.", v.Key)
		}
	}
	if absent || len(v.Values) == 0 {
		if slices.ContainsFunc(v.Values, func(s string) bool { return s != "" }) {
			return nil, fault.New(fault.Validation, "MatchOptions ABSENT takes no values.")
		}
		return func(_ string, present bool) bool { return !present }, nil
	}
	if how == "" || how == "EQUALS" {
		set := make(map[string]bool, len(v.Values))
		for _, value := range v.Values {
			if fold {
				value = strings.ToLower(value)
			}
			set[value] = true
		}
		return func(s string, _ bool) bool {
			if fold {
				s = strings.ToLower(s)
			}
			return set[s]
		}, nil
	}
	test := strings.Contains
	switch how {
	case "STARTS_WITH":
		test = strings.HasPrefix
	case "ENDS_WITH":
		test = strings.HasSuffix
	}
	wanted := slices.Clone(v.Values)
	if fold {
		for i := range wanted {
			wanted[i] = strings.ToLower(wanted[i])
		}
	}
	return func(s string, _ bool) bool {
		if fold {
			s = strings.ToLower(s)
		}
		return slices.ContainsFunc(wanted, func(w string) bool { return test(s, w) })
	}, nil
}

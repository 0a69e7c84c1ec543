package wire

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// The protocol tests of Smithy (https://github.com/smithy-lang/smithy, Apache-2.0, Copyright Amazon.com, Inc. or its
// affiliates), in the version that testdata/smithy.json names: restJson1 with its malformed requests and its validation,
// and awsJson1_1. The shapes below are those of the tests' models, as far as operations here have such members. Every
// test is run, or listed in notServed, or in otherAtAWS; the event stream's are in eventstream_test.go.

// A smithyCase is one test. "$value:L" and its like stand for one of the Values, each of which is a test of its own.
type smithyCase struct {
	Protocol  string              `json:"protocol"`
	Test      string              `json:"test"` // malformed, request or response
	Operation string              `json:"operation"`
	ID        string              `json:"id"`
	Method    string              `json:"method"`
	URI       string              `json:"uri"`
	Query     []string            `json:"query"`
	Headers   map[string]string   `json:"headers"`
	Body      string              `json:"body"`
	Params    jsontext.Value      `json:"params"` // the members of the input or output
	Code      int                 `json:"code"`
	Answered  map[string]string   `json:"answerHeaders"`
	Answer    *string             `json:"answer"`
	Values    map[string][]string `json:"values"`
}

// notServed are the tests that no operation here could meet, by the reason: whole operations, or "request ID".
var notServed = []struct {
	reason string
	tests  string
}{
	{"no input has a timestamp", `restJson1.JsonTimestamps restJson1.TimestampFormatHeaders restJson1.HttpRequestWithLabelsAndTimestampFormat
		restJson1.JsonLists restJson1.MalformedTimestampBodyDefault restJson1.MalformedTimestampBodyDateTime restJson1.MalformedTimestampBodyHttpDate
		restJson1.MalformedTimestampHeaderDateTime restJson1.MalformedTimestampHeaderEpoch restJson1.MalformedTimestampHeaderDefault
		restJson1.MalformedTimestampPathDefault restJson1.MalformedTimestampPathEpoch restJson1.MalformedTimestampPathHttpDate
		restJson1.MalformedTimestampQueryDefault restJson1.MalformedTimestampQueryEpoch restJson1.MalformedTimestampQueryHttpDate
		request.RestJsonSerializeTimestampUnionValue response.RestJsonDeserializeTimestampUnionValue
		request.AwsJson11SerializeTimestampUnionValue response.AwsJson11DeserializeTimestampUnionValue
		request.serializes_timestamp_shapes request.serializes_timestamp_shapes_with_iso8601_timestampformat
		request.serializes_timestamp_shapes_with_httpdate_timestampformat request.serializes_timestamp_shapes_with_unixtimestamp_timestampformat
		response.parses_timestamp_shapes response.parses_iso8601_timestamps response.parses_httpdate_timestamps`},
	{"no member is a byte or a short", `restJson1.MalformedByte restJson1.MalformedShort
		malformed.RestJsonMalformedRangeByte malformed.RestJsonMalformedRangeMinByte malformed.RestJsonMalformedRangeMaxByte
		malformed.RestJsonMalformedRangeShort malformed.RestJsonMalformedRangeMinShort malformed.RestJsonMalformedRangeMaxShort
		malformed.RestJsonMalformedRangeByteOverride malformed.RestJsonMalformedRangeMinByteOverride malformed.RestJsonMalformedRangeMaxByteOverride
		malformed.RestJsonMalformedRangeShortOverride malformed.RestJsonMalformedRangeMinShortOverride malformed.RestJsonMalformedRangeMaxShortOverride`},
	{"no number may be NaN or infinite", `awsJson1_1.SimpleScalarProperties
		request.RestJsonSupportsNaNFloatInputs request.RestJsonSupportsInfinityFloatInputs request.RestJsonSupportsNegativeInfinityFloatInputs
		response.RestJsonSupportsNaNFloatInputs response.RestJsonSupportsInfinityFloatInputs response.RestJsonSupportsNegativeInfinityFloatInputs`},
	{"labels are strings, one segment each", `restJson1.HttpRequestWithLabels restJson1.HttpRequestWithFloatLabels restJson1.HttpRequestWithGreedyLabelInPath
		malformed.RestJsonPathBooleanStringCoercion malformed.RestJsonPathIntegerUnderflowOverflow malformed.RestJsonPathIntegerMalformedValueRejected
		malformed.RestJsonPathLongUnderflowOverflow malformed.RestJsonPathLongMalformedValueRejected
		malformed.RestJsonPathDoubleMalformedValueRejected malformed.RestJsonPathFloatMalformedValueRejected`},
	{"headers and queries carry strings, booleans and integers", `restJson1.InputAndOutputWithHeaders restJson1.NullAndEmptyHeadersServer restJson1.AllQueryStringTypes
		restJson1.OmitsSerializingEmptyLists restJson1.HttpPrefixHeaders restJson1.HttpEmptyPrefixHeaders restJson1.HttpPrefixHeadersInResponse
		restJson1.QueryPrecedence restJson1.QueryParamsAsStringListMap restJson1.MediaTypeHeader restJson1.MalformedString
		malformed.RestJsonQueryDoubleMalformedValueRejected malformed.RestJsonHeaderDoubleMalformedValueRejected
		malformed.RestJsonQueryFloatMalformedValueRejected malformed.RestJsonHeaderFloatMalformedValueRejected`},
	{"no route has a fixed query, or its host's name as an input", `restJson1.ConstantQueryString restJson1.ConstantAndVariableQueryString
		restJson1.EndpointOperation restJson1.EndpointWithHostLabelOperation awsJson1_1.EndpointOperation awsJson1_1.EndpointWithHostLabelOperation`},
	{"a payload is a blob", `restJson1.HttpStringPayload restJson1.HttpEnumPayload restJson1.DocumentTypeAsPayload restJson1.HttpPayloadWithUnion
		restJson1.HttpPayloadWithStructure restJson1.TestPayloadStructure`},
	{"no list is a set", `restJson1.MalformedUniqueItems`},
	{"lists and maps are dense", `restJson1.SparseJsonMaps restJson1.SparseJsonLists awsJson1_1.SparseNullsOperation`},
	{"maps are of strings or documents", `request.RestJsonJsonMaps response.RestJsonJsonMaps request.RestJsonSerializesZeroValuesInMaps response.RestJsonDeserializesZeroValuesInMaps
		request.serializes_map_of_structure_shapes response.parses_map_of_structure_shapes
		request.serializes_map_of_recursive_structure_shapes response.parses_map_of_recursive_structure_shapes
		malformed.RestJsonMalformedLengthMapKey malformed.RestJsonMalformedLengthMapValue`},
	{"no member has a default of its own", `restJson1.OperationWithDefaults restJson1.OperationWithNestedStructure`},
	{"no operation is without an output", `response.RestJsonNoInputAndNoOutput response.RestJsonUnitInputAndOutputNoOutput
		response.json_1_1_service_responds_with_no_payload`},
	{"no exception is without a message or has members of its own, and rest-json's have it as message", `restJson1.ComplexError restJson1.InvalidGreeting
		restJson1.GreetingWithErrors awsJson1_1.ComplexError`},
	{"no operation asks for a checksum, or takes compressed requests", `restJson1.HttpChecksumRequired restJson1.PutWithContentEncoding awsJson1_1.PutWithContentEncoding`},
	{"other services' customisations of clients", `restJson1.GetRestApis restJson1.UploadArchive awsJson1_1.Predict`},
	{"request ids are made here", `response.parses_the_request_id_from_the_response`},
	{"Bedrock is not known to look at the media types of a JSON operation", `restJson1.MalformedAcceptWithBody
		restJson1.MalformedAcceptWithPayload restJson1.MalformedAcceptWithGenericString restJson1.MalformedContentTypeWithBody
		restJson1.MalformedContentTypeWithPayload restJson1.MalformedContentTypeWithoutBody restJson1.MalformedContentTypeWithoutBodyEmptyInput`},
}

// otherAtAWS are the malformed requests that Bedrock is known to answer otherwise than Smithy has it, or, where a message
// is wanted, in these words.
var otherAtAWS = map[string]struct {
	code          int
	kind, message string
}{
	// See checker.choose.
	"RestJsonMalformedUnionNoFieldsSet":            {400, "ValidationException", "SimpleUnion object at union must set one of the following keys: int, string."},
	"RestJsonMalformedUnionEmptyObjectNoFieldsSet": {400, "ValidationException", "SimpleUnion object at union must set one of the following keys: int, string."},
	"RestJsonMalformedUnionUnknownMember":          {400, "ValidationException", "SimpleUnion object at union must set one of the following keys: int, string."},
	"RestJsonMalformedUnionMultipleFieldsSet":      {400, "ValidationException", "SimpleUnion object at union must set only one of the following keys: int, string."},
	// Bedrock, which answers as above when the only member is unknown, does not see what it does not know.
	"RestJsonMalformedUnionKnownAndUnknownFieldsSet": {200, "", ""},
}

func ptr[T any](v T) *T { return &v }

// A smithyService runs the operations of one protocol: an operation keeps its input, and answers with what is laid ready.
type smithyService struct {
	ops    []Op
	shapes map[string][2]reflect.Type // input and output, by operation

	input, output any // pointers
	err           error
}

func serveSmithy[In, Out any](s *smithyService, name, method, path string, status int) {
	s.shapes[name] = [2]reflect.Type{reflect.TypeFor[In](), reflect.TypeFor[Out]()}
	row := Row{Name: name, Method: method, Path: path, Status: status, Action: "x:" + name}
	s.ops = append(s.ops, Handle(row, nil, func(_ context.Context, _ *Call, in *In) (*Out, error) {
		s.input = in
		out, _ := s.output.(*Out)
		return out, s.err
	}))
}

type (
	sBlob struct {
		Blob []byte `json:"blob"`
	}
	sBoolean struct {
		InBody   *bool  `json:"booleanInBody"`
		InPath   string `json:"-" uri:"booleanInPath"`
		InQuery  *bool  `json:"-" query:"booleanInQuery"`
		InHeader *bool  `json:"-" header:"booleanInHeader"`
	}
	sInteger struct {
		InBody   *int32 `json:"integerInBody"`
		InPath   string `json:"-" uri:"integerInPath"`
		InQuery  *int32 `json:"-" query:"integerInQuery"`
		InHeader *int32 `json:"-" header:"integerInHeader"`
	}
	sLong struct {
		InBody   *int64 `json:"longInBody"`
		InPath   string `json:"-" uri:"longInPath"`
		InQuery  *int64 `json:"-" query:"longInQuery"`
		InHeader *int64 `json:"-" header:"longInHeader"`
	}
	sDouble struct {
		InBody *float64 `json:"doubleInBody"`
		InPath string   `json:"-" uri:"doubleInPath"`
	}
	sFloat struct {
		InBody *float32 `json:"floatInBody"`
		InPath string   `json:"-" uri:"floatInPath"`
	}
	sList struct {
		List []string `json:"bodyList"`
	}
	sMap struct {
		Map map[string]string `json:"bodyMap"`
	}
	sBody struct {
		Int   *int32   `json:"int"`
		Float *float32 `json:"float"`
	}
	sUnion struct {
		Union *struct {
			_ struct{} `union:"SimpleUnion"`

			Int    *int32  `json:"int"`
			String *string `json:"string"`
		} `json:"union"`
	}

	sEnum struct {
		String *string           `json:"string" enum:"abc,def,jkl"`
		Trait  *string           `json:"stringWithEnumTrait" enum:"abc,def"`
		List   []string          `json:"list" each.enum:"abc,def,jkl"`
		Map    map[string]string `json:"map" key.enum:"abc,def,jkl" each.enum:"abc,def,jkl"`
		Union  *struct {
			_ struct{} `union:"EnumUnion"`

			First  *string `json:"first" enum:"abc,def,jkl"`
			Second *string `json:"second" enum:"abc,def,jkl"`
		} `json:"union"`
	}
	sLength struct {
		Blob      []byte              `json:"blob" min:"2" max:"8"`
		String    *string             `json:"string" min:"2" max:"8"`
		MinString *string             `json:"minString" min:"2"`
		MaxString *string             `json:"maxString" max:"8"`
		List      []string            `json:"list" min:"2" max:"8" each.min:"2" each.max:"8"`
		Map       map[string][]string `json:"map" min:"2" max:"8"`
	}
	sLengthOverride struct {
		Blob      []byte              `json:"blob" min:"4" max:"6"`
		String    *string             `json:"string" min:"4" max:"6"`
		MinString *string             `json:"minString" min:"4"`
		MaxString *string             `json:"maxString" max:"6"`
		List      []string            `json:"list" min:"4" max:"6" each.min:"2" each.max:"8"`
		Map       map[string][]string `json:"map" min:"4" max:"6"`
	}
	sLengthQuery struct {
		String *string `json:"-" query:"string" min:"2" max:"8"`
	}
	sPattern struct {
		String     *string           `json:"string" pattern:"^[a-m]+$"`
		EvilString *string           `json:"evilString" pattern:"^([0-9]+)+$"`
		List       []string          `json:"list" each.pattern:"^[a-m]+$"`
		Map        map[string]string `json:"map" key.pattern:"^[a-m]+$" each.pattern:"^[a-m]+$"`
		Union      *struct {
			_ struct{} `union:"PatternUnion"`

			First  *string `json:"first" pattern:"^[a-m]+$"`
			Second *string `json:"second" pattern:"^[a-m]+$"`
		} `json:"union"`
	}
	sPatternOverride struct {
		String *string           `json:"string" pattern:"^[g-m]+$"`
		List   []string          `json:"list" each.pattern:"^[g-m]+$"`
		Map    map[string]string `json:"map" key.pattern:"^[g-m]+$" each.pattern:"^[g-m]+$"`
		Union  *struct {
			_ struct{} `union:"PatternUnionOverride"`

			First  *string `json:"first" pattern:"^[g-m]+$"`
			Second *string `json:"second" pattern:"^[g-m]+$"`
		} `json:"union"`
	}
	sRange struct {
		Integer    *int32   `json:"integer" min:"2" max:"8"`
		MinInteger *int32   `json:"minInteger" min:"2"`
		MaxInteger *int32   `json:"maxInteger" max:"8"`
		Long       *int64   `json:"long" min:"2" max:"8"`
		MinLong    *int64   `json:"minLong" min:"2"`
		MaxLong    *int64   `json:"maxLong" max:"8"`
		Float      *float64 `json:"float" min:"2.2" max:"8.8"`
		MinFloat   *float64 `json:"minFloat" min:"2.2"`
		MaxFloat   *float64 `json:"maxFloat" max:"8.8"`
	}
	sRangeOverride struct {
		Integer    *int32   `json:"integer" min:"4" max:"6"`
		MinInteger *int32   `json:"minInteger" min:"4"`
		MaxInteger *int32   `json:"maxInteger" max:"6"`
		Long       *int64   `json:"long" min:"4" max:"6"`
		MinLong    *int64   `json:"minLong" min:"4"`
		MaxLong    *int64   `json:"maxLong" max:"6"`
		Float      *float64 `json:"float" min:"4.4" max:"6.6"`
		MinFloat   *float64 `json:"minFloat" min:"4.4"`
		MaxFloat   *float64 `json:"maxFloat" max:"6.6"`
	}
	sRequired struct {
		String         *string `json:"string" required:"true"`
		StringInQuery  *string `json:"-" query:"stringInQuery" required:"true"`
		StringInHeader *string `json:"-" header:"string-in-headers" required:"true"`
	}
	sRecursive struct {
		Union *sRecursiveUnion `json:"union"`
	}
	sRecursiveUnion struct {
		_ struct{} `union:"RecursiveUnionOne"`

		String *string          `json:"string" enum:"abc,def"`
		Union  *sRecursiveUnion `json:"union"`
	}
	sSensitive struct {
		String *string `json:"string" pattern:"^[a-m]+$" sensitive:"true"`
	}

	sDocument struct {
		StringValue   *string        `json:"stringValue,omitzero"`
		DocumentValue jsontext.Value `json:"documentValue,omitzero"`
	}
	sDocumentMap struct {
		DocValuedMap map[string]jsontext.Value `json:"docValuedMap,omitzero"`
	}
	sValue struct {
		Value *int32 `json:"value"`
	}
	sPayload struct {
		Foo  *string `json:"-" header:"X-Foo"`
		Blob []byte  `json:"-" payload:"blob"`
	}
	sPayloadOutput struct {
		Foo         *string `json:"-" header:"X-Foo"`
		ContentType *string `json:"-" header:"Content-Type"` // of a media type in the model
		Blob        []byte  `json:"-" payload:"blob"`
	}
	sTypedPayload struct {
		ContentType *string `json:"-" header:"Content-Type"`
		Data        []byte  `json:"-" payload:"blob"`
	}
	sRegex struct {
		Str string `json:"-" uri:"str"`
	}
	sStatus struct {
		Status int `json:"-" status:""`
	}
	sResponseCode struct {
		ResponseCode int `json:"-" status:""`
	}
	sBaz struct {
		Baz *string `json:"baz,omitzero"`
	}
	sData struct {
		Data []byte `json:"data,omitzero"`
	}
	sEnums struct {
		FooEnum1    *string           `json:"fooEnum1,omitzero"`
		FooEnum2    *string           `json:"fooEnum2,omitzero"`
		FooEnum3    *string           `json:"fooEnum3,omitzero"`
		FooEnumList []string          `json:"fooEnumList,omitzero" each.enum:"Foo,Baz,Bar,1,0"`
		FooEnumSet  []string          `json:"fooEnumSet,omitzero"`
		FooEnumMap  map[string]string `json:"fooEnumMap,omitzero"`
	}
	sIntEnums struct {
		IntegerEnum1    *int32           `json:"integerEnum1,omitzero"`
		IntegerEnum2    *int32           `json:"integerEnum2,omitzero"`
		IntegerEnum3    *int32           `json:"integerEnum3,omitzero"`
		IntegerEnumList []int32          `json:"integerEnumList,omitzero"`
		IntegerEnumSet  []int32          `json:"integerEnumSet,omitzero"`
		IntegerEnumMap  map[string]int32 `json:"integerEnumMap,omitzero"`
	}
	sIntEnums11 struct {
		IntEnum1    *int32           `json:"intEnum1,omitzero"`
		IntEnum2    *int32           `json:"intEnum2,omitzero"`
		IntEnum3    *int32           `json:"intEnum3,omitzero"`
		IntEnumList []int32          `json:"intEnumList,omitzero"`
		IntEnumSet  []int32          `json:"intEnumSet,omitzero"`
		IntEnumMap  map[string]int32 `json:"intEnumMap,omitzero"`
	}
	sMaps struct {
		DenseSetMap map[string][]string `json:"denseSetMap,omitzero"`
	}
	sContents struct {
		Contents *sMyUnion `json:"contents,omitzero"`
	}
	sMyUnion struct {
		_ struct{} `union:"MyUnion"`

		StringValue    *string           `json:"stringValue,omitzero"`
		BooleanValue   *bool             `json:"booleanValue,omitzero"`
		NumberValue    *int32            `json:"numberValue,omitzero"`
		BlobValue      []byte            `json:"blobValue,omitzero"`
		EnumValue      *string           `json:"enumValue,omitzero" enum:"Foo,Baz,Bar,1,0"`
		ListValue      []string          `json:"listValue,omitzero"`
		MapValue       map[string]string `json:"mapValue,omitzero"`
		StructureValue *struct {
			Hi *string `json:"hi,omitzero"`
		} `json:"structureValue,omitzero"`
		RenamedStructureValue *struct {
			Salutation *string `json:"salutation,omitzero"`
		} `json:"renamedStructureValue,omitzero"`
		UnionValue *struct {
			_ struct{} `union:"NestedUnion"`

			StringValue *string `json:"stringValue,omitzero"`
		} `json:"unionValue,omitzero"`
	}
	sQueries struct {
		NullValue   *string `json:"-" query:"Null"`
		EmptyString *string `json:"-" query:"Empty"`
	}
	sAction struct {
		Action *struct {
			_ struct{} `union:"PlayerAction"`

			Quit *struct{} `json:"quit,omitzero"`
		} `json:"action,omitzero"`
	}
	sJSONName struct {
		Value *struct {
			_ struct{} `union:"UnionWithJsonName"`

			Foo *string `json:"FOO,omitzero"`
			Bar *string `json:"bar,omitzero"`
			Baz *string `json:"_baz,omitzero"`
		} `json:"value,omitzero"`
	}
	sShapes struct {
		Nested *sNested1 `json:"nested,omitzero"`
	}
	sNested1 struct {
		Foo    *string   `json:"foo,omitzero"`
		Nested *sNested2 `json:"nested,omitzero"`
	}
	sNested2 struct {
		Bar             *string   `json:"bar,omitzero"`
		RecursiveMember *sNested1 `json:"recursiveMember,omitzero"`
	}
	sScalars struct {
		Foo               *string  `json:"-" header:"X-Foo"`
		StringValue       *string  `json:"stringValue,omitzero"`
		TrueBooleanValue  *bool    `json:"trueBooleanValue,omitzero"`
		FalseBooleanValue *bool    `json:"falseBooleanValue,omitzero"`
		ByteValue         *int8    `json:"byteValue,omitzero"`
		ShortValue        *int16   `json:"shortValue,omitzero"`
		IntegerValue      *int32   `json:"integerValue,omitzero"`
		LongValue         *int64   `json:"longValue,omitzero"`
		FloatValue        *float32 `json:"floatValue,omitzero"`
		DoubleValue       *float64 `json:"DoubleDribble,omitzero"`
	}
	sTestBody struct {
		TestID     *string `json:"-" header:"x-amz-test-id"`
		TestConfig *struct {
			Timeout *int32 `json:"timeout,omitzero"`
		} `json:"testConfig,omitzero"`
	}
	sTestID struct {
		TestID *string `json:"-" header:"X-Amz-Test-Id"`
	}

	sString struct {
		String *string `json:"string,omitzero"`
	}
	sOptional struct {
		Value *string `json:"Value,omitzero"`
	}
	sInline struct {
		InlineDocument jsontext.Value `json:"inlineDocument,omitzero"`
	}
	sKitchenSink struct {
		Blob                []byte                       `json:"Blob,omitzero"`
		Boolean             *bool                        `json:"Boolean,omitzero"`
		Double              *float64                     `json:"Double,omitzero"`
		EmptyStruct         *struct{}                    `json:"EmptyStruct,omitzero"`
		Float               *float32                     `json:"Float,omitzero"`
		Integer             *int32                       `json:"Integer,omitzero"`
		JSONValue           *string                      `json:"JsonValue,omitzero"`
		ListOfLists         [][]string                   `json:"ListOfLists,omitzero"`
		ListOfMapsOfStrings []map[string]string          `json:"ListOfMapsOfStrings,omitzero"`
		ListOfStrings       []string                     `json:"ListOfStrings,omitzero"`
		ListOfStructs       []sOptional                  `json:"ListOfStructs,omitzero"`
		Long                *int64                       `json:"Long,omitzero"`
		MapOfListsOfStrings map[string][]string          `json:"MapOfListsOfStrings,omitzero"`
		MapOfMaps           map[string]map[string]string `json:"MapOfMaps,omitzero"`
		MapOfStrings        map[string]string            `json:"MapOfStrings,omitzero"`
		RecursiveList       []sKitchenSink               `json:"RecursiveList,omitzero"`
		RecursiveStruct     *sKitchenSink                `json:"RecursiveStruct,omitzero"`
		SimpleStruct        *sOptional                   `json:"SimpleStruct,omitzero"`
		String              *string                      `json:"String,omitzero"`
		StructWithJSONName  *sOptional                   `json:"StructWithJsonName,omitzero"`
	}
)

// smithyServices are a server for each protocol of the tests.
func smithyServices() map[string]*smithyService {
	rest := &smithyService{shapes: map[string][2]reflect.Type{}}
	serveSmithy[sBlob, empty](rest, "MalformedBlob", "POST", "/MalformedBlob", 0)
	serveSmithy[sBoolean, empty](rest, "MalformedBoolean", "POST", "/MalformedBoolean/{booleanInPath}", 0)
	serveSmithy[sInteger, empty](rest, "MalformedInteger", "POST", "/MalformedInteger/{integerInPath}", 0)
	serveSmithy[sLong, empty](rest, "MalformedLong", "POST", "/MalformedLong/{longInPath}", 0)
	serveSmithy[sDouble, empty](rest, "MalformedDouble", "POST", "/MalformedDouble/{doubleInPath}", 0)
	serveSmithy[sFloat, empty](rest, "MalformedFloat", "POST", "/MalformedFloat/{floatInPath}", 0)
	serveSmithy[sList, empty](rest, "MalformedList", "POST", "/MalformedList", 0)
	serveSmithy[sMap, empty](rest, "MalformedMap", "POST", "/MalformedMap", 0)
	serveSmithy[sBody, empty](rest, "MalformedRequestBody", "POST", "/MalformedRequestBody", 0)
	serveSmithy[sUnion, empty](rest, "MalformedUnion", "POST", "/MalformedUnion", 0)
	serveSmithy[sEnum, empty](rest, "MalformedEnum", "POST", "/MalformedEnum", 0)
	serveSmithy[sLength, empty](rest, "MalformedLength", "POST", "/MalformedLength", 0)
	serveSmithy[sLengthOverride, empty](rest, "MalformedLengthOverride", "POST", "/MalformedLengthOverride", 0)
	serveSmithy[sLengthQuery, empty](rest, "MalformedLengthQueryString", "POST", "/MalformedLengthQueryString", 0)
	serveSmithy[sPattern, empty](rest, "MalformedPattern", "POST", "/MalformedPattern", 0)
	serveSmithy[sPatternOverride, empty](rest, "MalformedPatternOverride", "POST", "/MalformedPatternOverride", 0)
	serveSmithy[sRange, empty](rest, "MalformedRange", "POST", "/MalformedRange", 0)
	serveSmithy[sRangeOverride, empty](rest, "MalformedRangeOverride", "POST", "/MalformedRangeOverride", 0)
	serveSmithy[sRequired, empty](rest, "MalformedRequired", "POST", "/MalformedRequired", 0)
	serveSmithy[sRecursive, empty](rest, "RecursiveStructures", "POST", "/RecursiveStructures", 0)
	serveSmithy[sSensitive, empty](rest, "SensitiveValidation", "POST", "/SensitiveValidation", 0)
	serveSmithy[empty, empty](rest, "AcceptHeaderStarService", "GET", "/test-accept-header", 0)
	serveSmithy[sValue, empty](rest, "ContentTypeParameters", "POST", "/ContentTypeParameters", 0)
	serveSmithy[sDocument, sDocument](rest, "DocumentType", "PUT", "/DocumentType", 0)
	serveSmithy[sDocumentMap, sDocumentMap](rest, "DocumentTypeAsMapValue", "PUT", "/DocumentTypeAsMapValue", 0)
	serveSmithy[empty, empty](rest, "EmptyInputAndEmptyOutput", "POST", "/EmptyInputAndEmptyOutput", 0)
	serveSmithy[sPayload, sPayloadOutput](rest, "HttpPayloadTraits", "POST", "/HttpPayloadTraits", 0)
	serveSmithy[sPayload, sPayloadOutput](rest, "HttpPayloadTraitsWithMediaType", "POST", "/HttpPayloadTraitsWithMediaType", 0)
	serveSmithy[sRegex, empty](rest, "HttpRequestWithRegexLiteral", "GET", "/ReDosLiteral/{str}/(a+)+", 0)
	serveSmithy[empty, sStatus](rest, "HttpResponseCode", "PUT", "/HttpResponseCode", 0)
	serveSmithy[empty, sBaz](rest, "IgnoreQueryParamsInResponse", "GET", "/IgnoreQueryParamsInResponse", 0)
	serveSmithy[sData, sData](rest, "JsonBlobs", "POST", "/JsonBlobs", 0)
	serveSmithy[sEnums, sEnums](rest, "JsonEnums", "PUT", "/JsonEnums", 0)
	serveSmithy[sIntEnums, sIntEnums](rest, "JsonIntEnums", "PUT", "/JsonIntEnums", 0)
	serveSmithy[sMaps, sMaps](rest, "JsonMaps", "POST", "/JsonMaps", 0)
	serveSmithy[sContents, sContents](rest, "JsonUnions", "PUT", "/JsonUnions", 0)
	serveSmithy[empty, empty](rest, "NoInputAndNoOutput", "POST", "/NoInputAndNoOutput", 0)
	serveSmithy[empty, empty](rest, "NoInputAndOutput", "POST", "/NoInputAndOutputOutput", 0)
	serveSmithy[sQueries, empty](rest, "OmitsNullSerializesEmptyString", "GET", "/OmitsNullSerializesEmptyString", 0)
	serveSmithy[sAction, sAction](rest, "PostPlayerAction", "POST", "/PostPlayerAction", 0)
	serveSmithy[sJSONName, sJSONName](rest, "PostUnionWithJsonName", "POST", "/PostUnionWithJsonName", 0)
	serveSmithy[sShapes, sShapes](rest, "RecursiveShapes", "PUT", "/RecursiveShapes", 0)
	serveSmithy[empty, empty](rest, "ResponseCodeHttpFallback", "GET", "/responseCodeHttpFallback", 201)
	serveSmithy[empty, sResponseCode](rest, "ResponseCodeRequired", "GET", "/responseCodeRequired", 0)
	serveSmithy[sScalars, sScalars](rest, "SimpleScalarProperties", "PUT", "/SimpleScalarProperties", 0)
	serveSmithy[sPayload, sPayloadOutput](rest, "StreamingTraits", "POST", "/StreamingTraits", 0)
	serveSmithy[sPayload, empty](rest, "StreamingTraitsRequireLength", "POST", "/StreamingTraitsRequireLength", 0)
	serveSmithy[sPayload, sPayloadOutput](rest, "StreamingTraitsWithMediaType", "POST", "/StreamingTraitsWithMediaType", 0)
	serveSmithy[sTestBody, sTestBody](rest, "TestBodyStructure", "POST", "/body", 0)
	serveSmithy[empty, sTestID](rest, "TestGetNoInputNoPayload", "GET", "/no_input_no_payload", 0)
	serveSmithy[sTestID, sTestID](rest, "TestGetNoPayload", "GET", "/no_payload", 0)
	serveSmithy[sTypedPayload, sTypedPayload](rest, "TestPayloadBlob", "POST", "/blob_payload", 0)
	serveSmithy[empty, sTestID](rest, "TestPostNoInputNoPayload", "POST", "/no_input_no_payload", 0)
	serveSmithy[sTestID, sTestID](rest, "TestPostNoPayload", "POST", "/no_payload", 0)
	serveSmithy[empty, empty](rest, "UnitInputAndOutput", "POST", "/UnitInputAndOutput", 0)

	rpc := &smithyService{shapes: map[string][2]reflect.Type{}}
	serveSmithy[sValue, empty](rpc, "ContentTypeParameters", "", "", 0)
	serveSmithy[empty, empty](rpc, "EmptyOperation", "", "", 0)
	serveSmithy[empty, empty](rpc, "InvalidGreeting", "", "", 0)
	serveSmithy[sEnums, sEnums](rpc, "JsonEnums", "", "", 0)
	serveSmithy[sIntEnums11, sIntEnums11](rpc, "JsonIntEnums", "", "", 0)
	serveSmithy[sContents, sContents](rpc, "JsonUnions", "", "", 0)
	serveSmithy[sKitchenSink, sKitchenSink](rpc, "KitchenSinkOperation", "", "", 0)
	serveSmithy[sString, sString](rpc, "NullOperation", "", "", 0)
	serveSmithy[sOptional, sOptional](rpc, "OperationWithOptionalInputOutput", "", "", 0)
	serveSmithy[sInline, sInline](rpc, "PutAndGetInlineDocuments", "", "", 0)
	return map[string]*smithyService{"restJson1": rest, "awsJson1_1": rpc}
}

func TestSmithy(t *testing.T) {
	raw, err := os.ReadFile("testdata/smithy.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases  []smithyCase `json:"cases"`
		Others [][3]string  `json:"others"` // protocol, operation, id
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 312 || len(file.Others) != 211 {
		t.Fatalf("%d tests and %d others", len(file.Cases), len(file.Others))
	}
	out := map[string]bool{} // what notServed names; true once it was met
	for _, n := range notServed {
		for _, name := range strings.Fields(n.tests) {
			out[name] = false
		}
	}
	for _, o := range file.Others {
		name := o[0] + "." + o[1]
		if _, ok := out[name]; !ok {
			t.Errorf("%s of %s is neither run nor listed", o[2], name)
		}
		out[name] = true
	}
	services := smithyServices()
	servers := map[string]*Server{
		"restJson1": newTestServer(t, nil, restService("restjson", "", services["restJson1"].ops...)),
		"awsJson1_1": newTestServer(t, nil, &Service{Name: "json", SigningName: "json", Protocol: AWSJSON11, TargetPrefix: "JsonProtocol", CapitalError: true,
			Exception: func(fault.Kind) (Exception, bool) { return Exception{"InvalidGreeting", 400}, true }, Ops: services["awsJson1_1"].ops}),
	}
	run := 0
	for i := range file.Cases {
		c := &file.Cases[i]
		name := c.Test + "." + c.ID
		if _, ok := out[name]; ok {
			out[name] = true
			continue
		}
		service, server := services[c.Protocol], servers[c.Protocol]
		t.Run(c.Protocol+"/"+name, func(t *testing.T) {
			service.input, service.output, service.err = nil, nil, nil
			switch c.Test {
			case "malformed":
				c.malformed(t, service, server)
			case "request":
				c.request(t, service, server)
			default:
				c.response(t, service, server)
			}
		})
		run++
	}
	t.Logf("%d tests are run", run)
	for name, met := range out {
		if !met {
			t.Errorf("notServed has %s, which is no test", name)
		}
	}
	for id := range otherAtAWS {
		if !slices.ContainsFunc(file.Cases, func(c smithyCase) bool { return c.ID == id }) {
			t.Errorf("otherAtAWS has %s, which is no test", id)
		}
	}
}

// send sends the case's request.
func (c *smithyCase) send(t *testing.T, server *Server, uri, body string, query []string, headers map[string]string) *httptest.ResponseRecorder {
	signer := "bedrock"
	if c.Protocol == "awsJson1_1" {
		signer = "json"
	}
	if len(query) > 0 {
		uri += "?" + strings.Join(query, "&")
	}
	var hs []string
	for k, v := range headers {
		hs = append(hs, k, v)
	}
	return send(t, server, c.Method, uri, signed(signer), body, hs...)
}

// malformed runs a request that must be refused before the handler is called.
func (c *smithyCase) malformed(t *testing.T, service *smithyService, server *Server) {
	times := 1
	for _, vs := range c.Values {
		times = len(vs)
	}
	for i := range times {
		fill := func(s string) string { return c.fill(s, i) }
		var query []string
		for _, q := range c.Query {
			query = append(query, fill(q))
		}
		headers := map[string]string{}
		for k, v := range c.Headers {
			headers[k] = fill(v)
		}
		body := fill(c.Body)
		service.input = nil
		w := c.send(t, server, fill(c.URI), body, query, headers)
		if aws, ok := otherAtAWS[c.ID]; ok {
			if aws.code == 200 {
				if w.Code != 200 {
					t.Errorf("%s: %d %s", body, w.Code, w.Body)
				}
			} else if kind, message := errorOf(t, w); w.Code != aws.code || kind != aws.kind || message != aws.message {
				t.Errorf("%s:\n got %d %s %s\nwant %d %s %s", body, w.Code, kind, message, aws.code, aws.kind, aws.message)
			}
			continue
		}
		kind, message := errorOf(t, w)
		if w.Code != c.Code || kind != c.Answered["x-amzn-errortype"] || message == "" {
			t.Errorf("%s %s %v:\n got %d %s\nwant %d %s", body, query, headers, w.Code, w.Body, c.Code, c.Answered["x-amzn-errortype"])
		}
		if service.input != nil {
			t.Errorf("%s: the handler was called", body)
		}
		if c.Answer != nil {
			if want := c.inAWSWords(t, fill(*c.Answer), body); !regexp.MustCompile("^" + want + "$").MatchString(message) {
				t.Errorf("%s:\n got %s\nwant %s", body, message, want)
			}
			if !strings.HasSuffix(w.Body.String(), `"}`) || strings.Contains(w.Body.String(), "fieldList") {
				t.Errorf("AWS's body has a message alone, not %s", w.Body)
			}
		}
	}
}

// fill puts the i-th values into s: $value:L as it is, $value:S as JSON text; $$ is a dollar.
func (c *smithyCase) fill(s string, i int) string {
	return regexp.MustCompile(`\$(\w+):([LS])|\$\$`).ReplaceAllStringFunc(s, func(m string) string {
		if m == "$$" {
			return "$"
		}
		v := c.Values[m[1:len(m)-2]][i]
		if strings.HasSuffix(m, "S") {
			quoted, _ := jsontext.AppendQuote(nil, v)
			return string(quoted)
		}
		return v
	})
}

var (
	between  = regexp.MustCompile(`Member must (have length )?(?:be )?between ([\d.]+) and ([\d.]+), inclusive`)
	bounded  = regexp.MustCompile(`Member must be (greater|less) than`)
	numberIn = regexp.MustCompile(`: ([\d.]+) }`)
	lengthOf = regexp.MustCompile(`Value with length (\d+) at`)
)

// inAWSWords makes of the violations in the body of a ValidationException of Smithy's the message of AWS's older
// framework, which Bedrock has (see validate.go). It is a regular expression, because Smithy leaves the values out.
func (c *smithyCase) inAWSWords(t *testing.T, answer, request string) string {
	t.Helper()
	var body struct {
		FieldList []struct{ Message, Path string } `json:"fieldList"`
	}
	if err := json.Unmarshal([]byte(answer), &body, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range body.FieldList {
		_, what, _ := strings.Cut(f.Message, "failed to satisfy constraint: ")
		steps := strings.Split(strings.TrimPrefix(f.Path, "/"), "/")
		// What a string in a list or a map must be stands in one list of constraints.
		wrap := ""
		switch {
		case steps[0] == "list" && len(steps) > 1:
			wrap, steps = "Member must satisfy constraint", steps[:1]
		case steps[0] == "map" && len(steps) > 1:
			wrap, steps = "Map value must satisfy constraint", steps[:1]
		case steps[0] == "map" && strings.Contains(c.ID, "MapKey"):
			wrap = "Map keys must satisfy constraint"
		}
		if m := between.FindStringSubmatch(what); m != nil {
			low, high := "Member must have value greater than or equal to "+m[2], "Member must have value less than or equal to "+m[3]
			got := numberIn.FindStringSubmatch(request)
			if m[1] != "" {
				low, high = "Member must have length greater than or equal to "+m[2], "Member must have length less than or equal to "+m[3]
				got = lengthOf.FindStringSubmatch(f.Message)
			}
			n, err := strconv.ParseFloat(got[1], 64)
			least, _ := strconv.ParseFloat(m[2], 64)
			switch {
			case err != nil:
				t.Fatal(err)
			case wrap != "":
				what = high + ", " + low
			case n < least:
				what = low
			default:
				what = high
			}
		}
		what = bounded.ReplaceAllString(what, "Member must have value $1 than")
		if _, pattern, ok := strings.Cut(what, "pattern: ^"); ok {
			what = "Member must satisfy regular expression pattern: " + strings.TrimSuffix(pattern, "$")
		}
		if wrap != "" {
			what = wrap + ": [" + what + "]"
		}
		value := "('.*' )?"
		if strings.Contains(what, "must not be null") {
			value = "null "
		} else if c.Operation == "SensitiveValidation" {
			value = ""
		}
		all = append(all, "Value "+value+"at '"+regexp.QuoteMeta(strings.Join(steps, "."))+"' failed to satisfy constraint: "+regexp.QuoteMeta(what))
	}
	noun := "error"
	if len(all) > 1 {
		noun = "errors"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(all), noun, strings.Join(all, "; "))
}

// request runs a request whose members the handler must find.
func (c *smithyCase) request(t *testing.T, service *smithyService, server *Server) {
	w := c.send(t, server, c.URI, c.Body, c.Query, c.Headers)
	if w.Code > 299 || service.input == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := reflect.New(service.shapes[c.Operation][0])
	build(t, want.Elem(), c.Params)
	got := reflect.ValueOf(service.input)
	canonical(t, got.Elem())
	canonical(t, want.Elem())
	if !reflect.DeepEqual(got.Interface(), want.Interface()) {
		g, _ := json.Marshal(got.Interface())
		t.Errorf("the input is not %s: %s", c.Params, g)
	}
}

// response runs a request whose answer must be the wanted one.
func (c *smithyCase) response(t *testing.T, service *smithyService, server *Server) {
	out := reflect.New(service.shapes[c.Operation][1])
	if c.Operation == "InvalidGreeting" {
		service.err = fault.New(fault.Validation, "Hi")
	} else {
		build(t, out.Elem(), c.Params)
		service.output = out.Interface()
	}
	if typed, ok := c.Answered["Content-Type"]; ok && out.Elem().Kind() == reflect.Struct {
		if f := out.Elem().FieldByName("ContentType"); f.IsValid() {
			f.Set(reflect.ValueOf(ptr(typed)))
		}
	}
	var headers map[string]string
	c.URI, c.Method = "/", "POST"
	for _, op := range service.ops {
		if op.Name == c.Operation && op.Path != "" {
			c.URI, c.Method = strings.ReplaceAll(op.Path, "{str}", "a"), op.Method
		}
	}
	if c.Protocol == "awsJson1_1" {
		headers = map[string]string{"X-Amz-Target": "JsonProtocol." + c.Operation}
	}
	w := c.send(t, server, c.URI, "", nil, headers)
	if w.Code != c.Code {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for k, v := range c.Answered {
		if got := w.Header().Get(k); got != v && !(k == "X-Amz-Target" && got == "") { // a header of requests, in one test's answer
			t.Errorf("%s is %q, want %q", k, got, v)
		}
	}
	if c.Answer == nil {
		return
	}
	got, want := jsontext.Value(bytes.Clone(w.Body.Bytes())), jsontext.Value(*c.Answer)
	if strings.Contains(w.Header().Get("Content-Type"), "json") && len(want) > 0 && want[0] == '{' {
		if err := got.Canonicalize(); err != nil {
			t.Fatal(err)
		}
		if err := want.Canonicalize(); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != string(want) {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// build puts what a test calls the members into v. A blob is its text there.
func build(t *testing.T, v reflect.Value, from jsontext.Value) {
	t.Helper()
	if len(from) == 0 || string(from) == "null" {
		return
	}
	decode := func(to any) {
		t.Helper()
		if err := json.Unmarshal(from, to); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case v.Type() == valueType:
		v.SetBytes(from)
		return
	case v.Type() == bytesType:
		var text string
		decode(&text)
		v.SetBytes([]byte(text))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		build(t, v.Elem(), from)
	case reflect.Slice:
		var all []jsontext.Value
		decode(&all)
		v.Set(reflect.MakeSlice(v.Type(), len(all), len(all)))
		for i := range all {
			build(t, v.Index(i), all[i])
		}
	case reflect.Map:
		var all map[string]jsontext.Value
		decode(&all)
		v.Set(reflect.MakeMap(v.Type()))
		for k := range all {
			elem := reflect.New(v.Type().Elem()).Elem()
			build(t, elem, all[k])
			v.SetMapIndex(reflect.ValueOf(k), elem)
		}
	case reflect.Struct:
		var all map[string]jsontext.Value
		decode(&all)
		for k := range all {
			f := v.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, k) })
			if !f.IsValid() {
				t.Fatalf("%v has no member %s", v.Type(), k)
			}
			build(t, f, all[k])
		}
	default:
		decode(v.Addr().Interface())
	}
}

// canonical gives every document below v its canonical form, and an absent payload that of an empty one.
func canonical(t *testing.T, v reflect.Value) {
	t.Helper()
	if v.Type() == valueType {
		if doc := v.Interface().(jsontext.Value).Clone(); len(doc) > 0 {
			if err := doc.Canonicalize(); err != nil {
				t.Fatal(err)
			}
			v.SetBytes(doc)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			canonical(t, v.Elem())
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			elem := reflect.New(v.Type().Elem()).Elem()
			elem.Set(v.MapIndex(k))
			canonical(t, elem)
			v.SetMapIndex(k, elem)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if _, ok := v.Type().Field(i).Tag.Lookup("payload"); ok && f.IsNil() {
				f.SetBytes([]byte{})
			}
			if f.CanSet() {
				canonical(t, f)
			}
		}
	}
}

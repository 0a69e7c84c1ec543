package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// internalMessage is all that a caller reads of an internal error; the rest is in the log, under the request id.
const internalMessage = "The system encountered an unexpected error during processing. Try your request again."

// coralURI is the name space of the exceptions that belong to no service.
// Seen in https://github.com/karthink/gptel/issues/1397 (Bedrock runtime, 2026).
const coralURI = "http://internal.amazon.com/coral/com.amazon.coral.service/"

// protocolExceptions are the kinds that are wire's own, by protocol.
//
// rest-json answers credentials with 403, json-1.1 with 400 (Amazon ECS, DynamoDB and Systems Manager are seen to), the
// query protocol with 403 and codes of its own without "Exception". Sources: the common errors of each service's API
// reference; for the 400 of an unknown operation in json-1.1 https://github.com/architect/dynalite (index.js), which is tested
// against DynamoDB; https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html; for the 403 and the text of
// MissingAuthenticationToken from STS https://github.com/amzn/selling-partner-api-docs/issues/3081; for
// RequestEntityTooLargeException https://github.com/aws/aws-sdk-go/issues/3080.
var protocolExceptions = map[fault.Kind][3]Exception{
	fault.MissingToken:        {{"MissingAuthenticationTokenException", 403}, {"MissingAuthenticationTokenException", 400}, {"MissingAuthenticationToken", 403}},
	fault.IncompleteSignature: {{"IncompleteSignatureException", 403}, {"IncompleteSignatureException", 400}, {"IncompleteSignature", 400}},
	fault.InvalidSignature:    {{"InvalidSignatureException", 403}, {"InvalidSignatureException", 400}, {"SignatureDoesNotMatch", 403}},
	fault.UnrecognizedClient:  {{"UnrecognizedClientException", 403}, {"UnrecognizedClientException", 400}, {"InvalidClientTokenId", 403}},
	fault.ExpiredToken:        {{"ExpiredTokenException", 403}, {"ExpiredTokenException", 400}, {"ExpiredToken", 403}},
	fault.InvalidAPIKey:       {{"AccessDeniedException", 403}, {"AccessDeniedException", 400}, {"AccessDenied", 403}},
	fault.TooManyFailures:     {{"ThrottlingException", 429}, {"ThrottlingException", 400}, {"Throttling", 400}},
	fault.Serialization:       {{"SerializationException", 400}, {"SerializationException", 400}, {"MalformedQueryString", 400}},
	fault.UnknownOperation:    {{"UnknownOperationException", 404}, {"UnknownOperationException", 400}, {"InvalidAction", 400}},
}

// fallbacks are what a service that has no word of its own for a kind says: those that are not its doing.
var fallbacks = map[fault.Kind][3]Exception{
	fault.Internal:    {{"InternalFailure", 500}, {"InternalFailure", 500}, {"InternalFailure", 500}},
	fault.Unavailable: {{"ServiceUnavailableException", 503}, {"ServiceUnavailableException", 503}, {"ServiceUnavailable", 503}},
	fault.TooLarge:    {{"RequestEntityTooLargeException", 413}, {"RequestEntityTooLargeException", 413}, {"RequestEntityTooLarge", 413}},
}

// exception finds what f calls a kind. shown is false when the caller must not read the fault's message.
func (f *front) exception(k fault.Kind) (e Exception, coral, shown bool) {
	if f.Protocol == ForeignJSON {
		e, shown = f.foreignException(k)
		return e, false, shown
	}
	column := int(f.Protocol) - 1
	if row, ok := protocolExceptions[k]; ok {
		return row[column], k != fault.TooManyFailures, true
	}
	if f.Exception != nil {
		if e, ok := f.Exception(k); ok {
			return e, k == fault.AccessDenied, k != fault.Internal
		}
	}
	if k != fault.Internal {
		if row, ok := fallbacks[k]; ok {
			return row[column], true, true
		}
		return f.exception(fault.Internal)
	}
	return fallbacks[fault.Internal][column], true, false
}

// explain keeps err for the request event and says what the caller reads of it.
func (x *exchange) explain(err error) (ft *fault.Error, e Exception, coral bool, message string) {
	ft = fault.From(err)
	x.fault = ft
	e, coral, shown := x.service.exception(ft.Kind)
	if shown {
		return ft, e, coral, ft.Message
	}
	if ft.Kind != fault.Internal {
		// The service has no exception for it: a mistake of ours, to be seen in the log.
		x.fault = fault.Wrap(ft, fault.Internal, "%s has no exception for this kind", x.service.Name)
	}
	return x.fault, e, coral, internalMessage
}

// fail answers with an error, before anything else was written.
func (x *exchange) fail(err error) {
	ft, e, coral, message := x.explain(err)
	x.recordFailure(ft, e, message)
	h := x.Header
	if x.unread && !errors.Is(err, os.ErrDeadlineExceeded) {
		x.setPatience(x.server.intake.drain)
	}
	if ft.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((ft.RetryAfter+time.Second-1)/time.Second), 10)}
	}
	var body []byte
	switch x.service.Protocol {
	case ForeignJSON:
		h["Content-Type"] = jsonType
		body = x.service.Foreign.AppendError(nil, &Failure{Exception: e, Kind: ft.Kind, Message: message, RequestID: x.ID, Member: ft.Resource})
	case AWSQuery:
		h["Content-Type"] = xmlType
		body = x.errorXML(e, message)
	case AWSJSON11:
		h["Content-Type"] = json11Type
		h["X-Amzn-Errortype"] = []string{e.Code}
		code := e.Code
		if coral && e.Code != "AccessDeniedException" {
			code = "com.amazon.coral.service#" + code
		}
		body = appendMember([]byte("{"), "__type", code)
		body = x.service.errorMembers(body, ft, message)
	default:
		h["Content-Type"] = jsonType
		uri := x.service.ErrorURI
		if coral {
			uri = coralURI
		}
		h["X-Amzn-Errortype"] = []string{strings.TrimSuffix(e.Code+":"+uri, ":")}
		if ft.Kind == fault.UnknownOperation && x.request.Header.Get("Smithy-Protocol") == rpcV2CBOR {
			// Clients of that protocol look at nothing that does not say that it is of it.
			// Source: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
			h["Smithy-Protocol"], h["Content-Type"] = []string{rpcV2CBOR}, []string{"application/cbor"}
			body = []byte{0xa2} // a map of two
			for _, s := range []string{"__type", "com.amazon.coral.service#" + e.Code, "message", message} {
				body = appendCBORText(body, s)
			}
			break
		}
		if ft.Kind == fault.UnknownOperation {
			// As seen in https://github.com/tidyverse/ellmer/issues/50. The message is ours: SDKs show it.
			body = []byte(`{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"`)
			body = append(appendMember(body, "message", message), '}')
			break
		}
		body = x.service.errorMembers([]byte("{"), ft, message)
	}
	x.write(e.Status, body)
}

// rpcV2CBOR is a protocol that some AWS clients speak, of services that are not served here.
const rpcV2CBOR = "rpc-v2-cbor"

// appendCBORText appends s, of less than 64 KiB, as a text string. Source: RFC 8949, section 3.1
func appendCBORText(b []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return append(append(b, 0x79, byte(len(s)>>8), byte(len(s))), s...)
}

// errorMembers appends the members of an exception and the closing brace.
func (f *front) errorMembers(b []byte, ft *fault.Error, message string) []byte {
	// A denial comes from in front of the service, whose own members may be spelled otherwise: {"Message":"User: ..."}.
	name := func(s string) string {
		if f.CapitalError || ft.Kind == fault.AccessDenied || ft.Kind == fault.InvalidAPIKey {
			return strings.ToUpper(s[:1]) + s[1:]
		}
		return s
	}
	b = appendMember(b, name("message"), message)
	switch ft.Kind {
	case fault.TooManyTags, fault.ModelError:
		if ft.Resource != "" {
			b = appendMember(b, name("resourceName"), ft.Resource)
		}
	case fault.ModelStream:
		if ft.OriginalMessage != "" {
			b = appendMember(b, name("originalMessage"), ft.OriginalMessage)
		}
	}
	if ft.OriginalStatus != 0 && (ft.Kind == fault.ModelError || ft.Kind == fault.ModelStream) {
		b = append(b, `,"`+name("originalStatusCode")+`":`...)
		b = strconv.AppendInt(b, int64(ft.OriginalStatus), 10)
	}
	return append(b, '}')
}

// appendMember appends "name":"value", after a comma unless it is the first.
func appendMember(b []byte, name, value string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(append(b, '"'), name...), `":`...)
	b, _ = jsontext.AppendQuote(b, value) // the only error is text that is not UTF-8, which has been mended
	return b
}

// errorXML is the query protocol's error.
func (x *exchange) errorXML(e Exception, message string) []byte {
	var b bytes.Buffer
	b.WriteString("<ErrorResponse")
	if x.service.Namespace != "" {
		b.WriteString(` xmlns="` + x.service.Namespace + `"`)
	}
	side := "Sender"
	if e.Status >= http.StatusInternalServerError {
		side = "Receiver"
	}
	b.WriteString("><Error><Type>" + side + "</Type><Code>" + e.Code + "</Code><Message>")
	xml.EscapeText(&b, []byte(message)) // a bytes.Buffer takes everything
	b.WriteString("</Message></Error><RequestId>" + x.ID + "</RequestId></ErrorResponse>\n")
	return b.Bytes()
}

// exceptionFrame appends the frame that ends a stream. The exception's name begins with a small letter there.
func (x *exchange) exceptionFrame(dst []byte, err error) []byte {
	ft, e, _, message := x.explain(err)
	start := len(dst)
	dst = beginFrame(dst, ":exception-type", strings.ToLower(e.Code[:1])+e.Code[1:], "exception")
	return endFrame(x.service.errorMembers(append(dst, '{'), ft, message), start)
}

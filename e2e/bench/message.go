//go:build linux

package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The bodies that are sent and answered. Both sides carry the same prompt and the same answer, whatever the format.

const (
	foundationModel = "anthropic.claude-3-haiku-20240307-v1:0"
	upstreamModel   = "small-chat-model"
	promptTokens    = 230 // what the fake upstream says of the prompt
	maxTokens       = 256
	region          = "us-east-1"
)

// prompt is 1 KB of prose with the quotes and line ends that a JSON string must escape.
var prompt = func() string {
	const text = "Here are the notes of Tuesday's \"platform\" meeting. Write a summary for people who were not there:\n" +
		"what was decided, who does what until when, and which questions stayed open. Keep names as they are.\n"
	return strings.Repeat(text, 1024/len(text)+1)[:1024]
}()

// words are the tokens of an answer.
var words = strings.Fields("The team agreed to move the batch jobs to the new cluster first and to keep the old one until the end of May .")

func word(i int) string { return " " + words[i%len(words)] }

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(b)
}

func answerText(tokens int) string {
	var b strings.Builder
	for i := range tokens {
		b.WriteString(word(i))
	}
	return b.String()
}

// openAIBody is a request of the upstream's format.
var openAIBody = func() (bodies [2][]byte) {
	for i, stream := range []string{"", `,"stream":true,"stream_options":{"include_usage":true}`} {
		bodies[i] = fmt.Appendf(nil, `{"model":%q,"messages":[{"role":"user","content":%s}],"max_completion_tokens":%d,"temperature":0.2%s}`,
			upstreamModel, quote(prompt), maxTokens, stream)
	}
	return bodies
}()

// converseBody is the same request as Bedrock's Converse and ConverseStream.
var converseBody = fmt.Appendf(nil, `{"messages":[{"role":"user","content":[{"text":%s}]}],"inferenceConfig":{"maxTokens":%d,"temperature":0.2}}`,
	quote(prompt), maxTokens)

const usageJSON = `{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":0}}`

func openAIAnswer(tokens int) []byte {
	return fmt.Appendf(nil, `{"id":"chatcmpl-1","object":"chat.completion","created":1770000000,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":`+usageJSON+`}`,
		upstreamModel, quote(answerText(tokens)), promptTokens, tokens, promptTokens+tokens)
}

// openAIEvents is a streamed answer, an element for each server-sent event: one for each token, then why it stopped,
// the usage when asked for, and the end.
func openAIEvents(tokens int, usage bool) [][]byte {
	const head = "data: " + `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1770000000,"model":"` + upstreamModel + `","choices":[`
	ending := "]"
	if usage {
		ending = `],"usage":null`
	}
	var events [][]byte
	for i := range tokens {
		role := ""
		if i == 0 {
			role = `"role":"assistant",`
		}
		events = append(events, fmt.Appendf(nil, "%s{\"index\":0,\"delta\":{%s\"content\":%s},\"logprobs\":null,\"finish_reason\":null}%s}\n\n", head, role, quote(word(i)), ending))
	}
	events = append(events, fmt.Appendf(nil, "%s{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}%s}\n\n", head, ending))
	if usage {
		events = append(events, fmt.Appendf(nil, "%s],\"usage\":"+usageJSON+"}\n\n", head, promptTokens, tokens, promptTokens+tokens))
	}
	return append(events, []byte("data: [DONE]\n\n"))
}

// openAI makes a whole request for what passes the upstream's format on.
func openAI(g *gateway, stream bool, _ time.Time) []byte {
	body := openAIBody[0]
	if stream {
		body = openAIBody[1]
	}
	return fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nUser-Agent: outcrop-bench\r\nContent-Length: %d\r\nAccept: */*\r\nAuthorization: Bearer sk-bench-0123456789\r\nContent-Type: application/json\r\n\r\n%s",
		g.addr, len(body), body)
}

var (
	wantOpenAI       = fmt.Appendf(nil, `"completion_tokens":%d`, answerSize)
	wantOpenAIStream = fmt.Appendf(nil, `"completion_tokens":%d`, streamSize)
	wantText         = []byte(quote(answerText(answerSize)))
)

func verifyOpenAI(body []byte, stream bool) error {
	switch {
	case !stream && (!bytes.Contains(body, wantOpenAI) || !bytes.Contains(body, wantText)):
		return fmt.Errorf("no usage or not the answer: %.300s", body)
	case stream && !bytes.HasSuffix(body, []byte("data: [DONE]\n\n")):
		return errors.New("the stream did not end")
	case stream && !bytes.Contains(body[max(0, len(body)-1024):], wantOpenAIStream):
		return errors.New("no usage in the stream")
	}
	return nil
}

// converse makes a whole, signed request with the header fields that AWS SDK for Go sends.
func converse(s *signer, profileARN string) func(g *gateway, stream bool, now time.Time) []byte {
	var paths [2]string
	escaped := strings.NewReplacer(":", "%3A", "/", "%2F").Replace(profileARN)
	paths[0], paths[1] = "/model/"+escaped+"/converse", "/model/"+escaped+"/converse-stream"
	return func(g *gateway, stream bool, now time.Time) []byte {
		path := paths[0]
		if stream {
			path = paths[1]
		}
		return s.request("bedrock", g.addr, path, "application/json", nil, converseBody, now)
	}
}

var (
	wantConverse       = fmt.Appendf(nil, `"outputTokens":%d`, answerSize)
	wantConverseStream = fmt.Appendf(nil, `"outputTokens":%d`, streamSize)
)

func verifyConverse(body []byte, stream bool) error {
	if !stream {
		if !bytes.Contains(body, wantConverse) || !bytes.Contains(body, wantText) {
			return fmt.Errorf("no usage or not the answer: %.300s", body)
		}
		return nil
	}
	var last []byte
	for len(body) > 0 {
		if len(body) < 16 {
			return errors.New("the stream ends within a message")
		}
		n := int(binary.BigEndian.Uint32(body))
		if n < 16 || n > len(body) {
			return errors.New("the stream ends within a message")
		}
		last, body = body[:n], body[n:]
	}
	if !bytes.Contains(last, []byte("metadata")) || !bytes.Contains(last, wantConverseStream) {
		return fmt.Errorf("the last message is not the usage: %.300q", last)
	}
	return nil
}

// signer signs with AWS Signature Version 4.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
type signer struct{ id, secret, region string }

// request is a whole signed POST of path, which is escaped once as it goes on the wire. extra are further header fields,
// lower-case names, in order.
func (s *signer) request(service, host, path, contentType string, extra [][2]string, body []byte, now time.Time) []byte {
	stamp := now.UTC().Format("20060102T150405Z")
	fields := append([][2]string{
		{"amz-sdk-invocation-id", "6f1c2d1e-6a5b-4c3d-9e8f-0a1b2c3d4e5f"},
		{"amz-sdk-request", "attempt=1; max=3"},
		{"content-length", fmt.Sprint(len(body))},
		{"content-type", contentType},
		{"host", host},
		{"x-amz-date", stamp},
	}, extra...)
	out := []byte("POST " + path + " HTTP/1.1\r\nUser-Agent: outcrop-bench\r\nAccept-Encoding: identity\r\n")
	for _, f := range fields {
		out = append(out, f[0]+": "+f[1]+"\r\n"...)
	}
	// The canonical path escapes the path as it is sent once more.
	out = append(out, "Authorization: "+s.authorization("POST", strings.ReplaceAll(path, "%", "%25"), "", service, stamp, fields, body)+"\r\n\r\n"...)
	return append(out, body...)
}

// authorization is the value of the header field. fields are all that is signed, in the order of their names.
func (s *signer) authorization(method, canonicalPath, canonicalQuery, service, stamp string, fields [][2]string, body []byte) string {
	var headers, names strings.Builder
	for i, f := range fields {
		headers.WriteString(f[0] + ":" + f[1] + "\n")
		if i > 0 {
			names.WriteByte(';')
		}
		names.WriteString(f[0])
	}
	canonical := method + "\n" + canonicalPath + "\n" + canonicalQuery + "\n" + headers.String() + "\n" + names.String() + "\n" + hash(body)
	scope := stamp[:8] + "/" + s.region + "/" + service + "/aws4_request"
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{stamp[:8], s.region, service, "aws4_request", "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hash([]byte(canonical))} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return "AWS4-HMAC-SHA256 Credential=" + s.id + "/" + scope + ", SignedHeaders=" + names.String() + ", Signature=" + hex.EncodeToString(key)
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

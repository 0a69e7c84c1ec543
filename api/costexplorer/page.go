package costexplorer

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/go-json-experiment/json"

	"outcrop/fault"
)

// Bounds of a page. AWS tells none for GetCostAndUsage; many scripts read one page only, so it is large.
const (
	maxGroups = 5_000 // groups of GetCostAndUsage; a period without groups counts as one
	maxValues = 1_000 // tags or values, which is also the upper limit of MaxResults
)

// page is where the next page begins. Its token is bound to the request and the account by a digest of both; what is in
// it chooses a place in an answer that its owner may read anyway, so it is not sealed.
type page struct {
	Start *int64   `json:"s,omitempty"` // seconds since 1970: the period
	After []string `json:"a,omitempty"` // the keys of the last group, or the value, that was given; nil before the first
}

const digestSize = 16

// digest tells one request of one account from another. in is the request without its token.
func digest(account, operation string, in any) ([]byte, error) {
	b, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write([]byte(account + "\x00" + operation + "\x00"))
	h.Write(b)
	return h.Sum(nil)[:digestSize], nil
}

func (p page) token(digest []byte) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(digest[:digestSize:digestSize], b...)), nil
}

// The texts of the two exceptions of pagination are their descriptions in the model.
var (
	errInvalidToken   = fault.New(fault.InvalidNextToken, "The pagination token is invalid. Try again without a pagination token.")
	errRequestChanged = fault.New(fault.Conflict, "Your request parameters changed between pages. Try again with the old parameters or without a pagination token.")
)

// parsePage reads a token; no token is the first page.
func parsePage(token string, digest []byte) (page, error) {
	var p page
	if token == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < digestSize {
		return p, errInvalidToken
	}
	if err := json.Unmarshal(b[digestSize:], &p, json.RejectUnknownMembers(true)); err != nil {
		return page{}, errInvalidToken
	}
	if string(b[:digestSize]) != string(digest) {
		return page{}, errRequestChanged
	}
	return p, nil
}

//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"outcrop/iam"
	"outcrop/profile"
)

// An installation of the size that BenchmarkAuthorization has.
const (
	manyProfiles   = 10_000
	manyPrincipals = 1_000
	manyStatements = 50 // of each principal, in two managed policies of its own
	manyRegions    = 10 // an account has at most 1,000 profiles in one
)

// crowd is a server with many profiles and principals, and for each principal requests that it signed: as many as there are of them,
// each with a profile of its own.
type crowd struct {
	*server
	converse, get []*http.Request
	callers       []iam.Caller
	profiles      []string // by caller: its ARN
}

// crowdRegion is where the callers of a crowd call.
const crowdRegion = "us-east-1"

// newCrowd fills a folder and serves it. With few it has one user, who may do everything, and one profile for all requests.
func newCrowd(b *testing.B, few bool) *crowd {
	b.Helper()
	ctx, dir := b.Context(), b.TempDir()
	st, sealer, err := openFolder(ctx, dir, true)
	must(b, err)
	people, err := iam.Open(ctx, iam.Config{Store: st, Sealer: sealer})
	must(b, err)
	must(b, people.EnsureRoot(ctx, gatewayAccount, "", ""))

	profiles, users := manyProfiles, manyPrincipals
	if few {
		profiles, users = 1, 1
	}
	regions := []string{crowdRegion, "us-east-2", "us-west-2", "eu-west-1", "eu-west-3", "eu-central-1", "ap-northeast-1", "ap-south-1", "ap-southeast-2", "sa-east-1"}
	c := &crowd{}
	at := time.Now().UTC().Truncate(time.Millisecond)
	for i := range profiles {
		p := &profile.Profile{
			Account: gatewayAccount, Region: regions[i%manyRegions], ID: fmt.Sprintf("profile%05d", i), Name: fmt.Sprintf("profile-%d", i),
			ModelID: anthropicModel, CreatedAt: at, UpdatedAt: at,
			Tags: []profile.Tag{{Key: "owner", Value: fmt.Sprint("user-", i%users)}, {Key: "team", Value: fmt.Sprint("team-", i%50)}},
		}
		p.ARN = "arn:aws:bedrock:" + p.Region + ":" + gatewayAccount + ":application-inference-profile/" + p.ID
		p.Source = strings.Replace(haikuARN, crowdRegion, p.Region, 1)
		p.Models = []string{p.Source}
		_, _, err := st.Profiles().Insert(ctx, p, profile.MaxProfiles)
		must(b, err)
		if p.Region == crowdRegion {
			c.profiles = append(c.profiles, p.ARN)
		}
	}

	var rows iam.Rows
	var keys []aws.Credentials
	for i := range users {
		id := fmt.Sprintf("AIDACROWD%012d", i)
		key := aws.Credentials{AccessKeyID: fmt.Sprintf("AKIACROWD%011d", i), SecretAccessKey: fmt.Sprintf("a-secret-of-the-crowd-%d", i)}
		keys = append(keys, key)
		rows.Entities = append(rows.Entities, iam.Entity{
			Account: gatewayAccount, Kind: iam.UserKind, Name: fmt.Sprint("user-", i), Path: "/", ID: id, CreatedAt: at, Tags: []iam.Tag{{Key: "team", Value: fmt.Sprint("team-", i%50)}},
		})
		rows.Keys = append(rows.Keys, iam.AccessKey{ID: key.AccessKeyID, Account: gatewayAccount, Owner: id, Secret: sealer.Seal(key.SecretAccessKey, key.AccessKeyID), Active: true, CreatedAt: at})
		if few {
			rows.Attachments = append(rows.Attachments, iam.Attachment{Owner: id, Policy: "arn:aws:iam::aws:policy/AdministratorAccess"})
			continue
		}
		for half := range 2 {
			p := iam.ManagedPolicy{Account: gatewayAccount, Name: fmt.Sprintf("of-%d-%d", i, half), Path: "/", ID: fmt.Sprintf("ANPACROWD%011d%d", i, half), Default: 1, Last: 1, CreatedAt: at, UpdatedAt: at}
			rows.Managed = append(rows.Managed, p)
			rows.Versions = append(rows.Versions, iam.PolicyVersion{Policy: p.ID, Number: 1, Document: crowdPolicy(i, half), CreatedAt: at})
			rows.Attachments = append(rows.Attachments, iam.Attachment{Owner: id, Policy: p.ARN()})
		}
	}
	state, err := st.Principals(ctx)
	must(b, err)
	must(b, st.ChangePrincipals(ctx, state.Revision, iam.Changes{Put: rows}))
	must(b, st.Close())

	config := defaults()
	config.Listen = "127.0.0.1:0"
	c.server, err = New(context.Background(), config, dir, io.Discard)
	must(b, err)
	b.Cleanup(func() { must(b, c.Close()) })
	for i, p := range c.people.Principals(gatewayAccount, crowdRegion)[1:] {
		c.callers = append(c.callers, p)
		mine := c.profiles[i%len(c.profiles)]
		for _, r := range []struct {
			to           *[]*http.Request
			method, path string
			body         string
		}{{&c.get, http.MethodGet, "/inference-profiles/" + escapeARN(mine), ""}, {&c.converse, http.MethodPost, "/model/" + escapeARN(mine) + "/converse", hello}} {
			q := httptest.NewRequest(r.method, "http://localhost"+r.path, strings.NewReader(r.body))
			q.Header.Set("Content-Type", "application/json")
			sum := sha256.Sum256([]byte(r.body))
			var n int
			_, err := fmt.Sscanf(p.UserName, "user-%d", &n)
			must(b, err)
			must(b, v4.NewSigner().SignHTTP(ctx, keys[n], q, hex.EncodeToString(sum[:]), "bedrock", crowdRegion, time.Now()))
			*r.to = append(*r.to, q)
		}
	}
	return c
}

func escapeARN(arn string) string {
	return strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn)
}

// crowdPolicy is half of what user i may do: statements of the kinds that people write. The last but one of the second half is the one
// that allows what it asks for, and the last denies what it does not.
func crowdPolicy(i, half int) string {
	var statements []string
	for n := range manyStatements / 2 {
		k := (i*manyStatements + half*manyStatements/2 + n) % manyProfiles
		s := ""
		switch n % 5 {
		case 0:
			s = fmt.Sprintf(`{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:us-east-2:%s:application-inference-profile/profile%05d"}`, gatewayAccount, k)
		case 1:
			s = fmt.Sprintf(`{"Effect":"Allow","Action":["bedrock:Get*","bedrock:ListTagsForResource"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"user-%d"}}}`, k)
		case 2:
			s = fmt.Sprintf(`{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"none-%d"}}}`, k)
		case 3:
			s = fmt.Sprintf(`{"Effect":"Deny","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*:*:application-inference-profile/none%d*"}`, k)
		case 4:
			s = fmt.Sprintf(`{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::%s:user/none-%d"}`, gatewayAccount, k)
		}
		statements = append(statements, s)
	}
	if half == 1 {
		statements[len(statements)-2] = `{"Effect":"Allow","Action":["bedrock:InvokeModel*","bedrock:GetInferenceProfile"],"Resource":["arn:aws:bedrock:*:*:application-inference-profile/*","arn:aws:bedrock:*::foundation-model/*"]}`
		statements[len(statements)-1] = `{"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","us-west-2"]}}}`
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// BenchmarkAuthorization is what authorization costs where there is much of everything, 10,000 profiles, 1,000 users and 50 statements for
// each: a decision, all decisions of one call through a profile (that on the profile and that on the model), whole requests through the
// handler, and a change of one policy. Users and profiles take turns, so that no cache of the processor has them. "few" is the same
// request with one user, who may do everything, and one profile.
func BenchmarkAuthorization(b *testing.B) {
	many := newCrowd(b, false)
	b.Run("Decision", func(b *testing.B) {
		guard := iam.NewGuard(iam.GuardConfig{})
		var access [][]iam.Access
		for i := range many.callers {
			route, err := many.server.profiles.Resolve(gatewayAccount, crowdRegion, many.profiles[i%len(many.profiles)])
			must(b, err)
			access = append(access, []iam.Access{{Action: "bedrock:InvokeModel", Resource: route.Authorize[0].ARN, Context: route.Authorize[0].Context}})
		}
		b.ReportAllocs()
		defer reportCPU(b)()
		for i := 0; b.Loop(); i++ {
			i := i % len(many.callers)
			if err := guard.Check(b.Context(), "id", &many.callers[i], access[i]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Call", func(b *testing.B) {
		guard := iam.NewGuard(iam.GuardConfig{})
		b.ReportAllocs()
		defer reportCPU(b)()
		for i := 0; b.Loop(); i++ {
			i := i % len(many.callers)
			route, err := many.server.profiles.Resolve(gatewayAccount, crowdRegion, many.profiles[i%len(many.profiles)])
			if err != nil {
				b.Fatal(err)
			}
			var access [2]iam.Access
			for n, r := range route.Authorize {
				access[n] = iam.Access{Action: "bedrock:InvokeModel", Resource: r.ARN, Context: r.Context}
			}
			if err := guard.Check(b.Context(), "id", &many.callers[i], access[:len(route.Authorize)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	few := newCrowd(b, true)
	for _, c := range []struct {
		name string
		*crowd
	}{{"many", many}, {"few", few}} {
		b.Run("GetInferenceProfile/"+c.name, func(b *testing.B) { c.serve(b, c.get, nil) })
		b.Run("Converse/"+c.name, func(b *testing.B) { c.serve(b, c.converse, []byte(hello)) })
	}
	b.Run("Change", func(b *testing.B) {
		n := 0
		defer reportCPU(b)()
		for b.Loop() {
			n++
			must(b, many.people.PutUserPolicy(b.Context(), gatewayAccount, "user-7", "changed", []byte(fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"bedrock:*","Resource":"arn:aws:bedrock:*:*:none-%d"}}`, n))))
		}
	})
}

// reportCPU begins to count the process's time on processors, which other processes of the machine do not change as they do the time that
// passes; what it returns reports it.
func reportCPU(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

// serve has requests served in turns, many at a time: what is waited for, the disk, is then waited for together.
func (c *crowd) serve(b *testing.B, requests []*http.Request, body []byte) {
	var turn atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(64)
	b.ResetTimer()
	defer reportCPU(b)()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := *requests[int(turn.Add(1))%len(requests)]
			if body != nil {
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			w := httptest.NewRecorder()
			c.services.ServeHTTP(w, &r)
			if w.Code != http.StatusOK {
				b.Errorf("%d %s", w.Code, w.Body)
				return
			}
		}
	})
}

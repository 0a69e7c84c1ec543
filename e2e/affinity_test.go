package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// conversations is a load of many conversations of several turns, some at once. Each turn sends all that came before it,
// with a cachePoint at its end.
type conversations struct {
	many, turns, atOnce int
	salt                string // no two loads have a prompt in common
}

// warmth is what came of such a load.
type warmth struct {
	read, all int64          // input tokens: read from a cache, and altogether
	served    map[string]int // calls by Region
}

func (w *warmth) share() float64 { return float64(w.read) / float64(max(w.all, 1)) }

// skew is how many times its fair share the busiest Region had.
func (w *warmth) skew(regions int) float64 {
	most, all := 0, 0
	for _, n := range w.served {
		most, all = max(most, n), all+n
	}
	return float64(most*regions) / float64(max(all, 1))
}

func (c conversations) run(t *testing.T, client *bedrockruntime.Client, profile string) *warmth {
	t.Helper()
	w := &warmth{served: map[string]int{}}
	var mu sync.Mutex
	var callers sync.WaitGroup
	next := make(chan int)
	for range c.atOnce {
		callers.Go(func() {
			for i := range next {
				var turns []rt.Message
				for n := range c.turns {
					turns = append(turns, rt.Message{Role: rt.ConversationRoleUser, Content: []rt.ContentBlock{&rt.ContentBlockMemberText{
						Value: fmt.Sprintf("Conversation %d of %s, question %d: %s?", i, c.salt, n, strings.Repeat("and how does one go on with this ", 12))}}})
					asked := slices.Clone(turns)
					last := &asked[len(asked)-1]
					last.Content = append(slices.Clone(last.Content), &rt.ContentBlockMemberCachePoint{Value: rt.CachePointBlock{Type: rt.CachePointTypeDefault}})
					out, err := client.Converse(deadline(t), &bedrockruntime.ConverseInput{
						ModelId: &profile, Messages: asked,
						System: []rt.SystemContentBlock{&rt.SystemContentBlockMemberText{Value: "You are brief. " + strings.Repeat("Everybody gets this. ", 10)}},
					})
					if err != nil {
						t.Error(err)
						return
					}
					turns = append(turns, out.Output.(*rt.ConverseOutputMemberMessage).Value)
					u := out.Usage
					mu.Lock()
					if u.CacheReadInputTokens != nil {
						w.read += int64(*u.CacheReadInputTokens)
						w.all += int64(*u.CacheReadInputTokens)
					}
					if u.CacheWriteInputTokens != nil {
						w.all += int64(*u.CacheWriteInputTokens)
					}
					w.all += int64(*u.InputTokens)
					w.served[header(out.ResultMetadata).Get("X-Outcrop-Served-Region")]++
					mu.Unlock()
				}
			}
		})
	}
	for i := range c.many {
		if t.Failed() {
			break
		}
		next <- i
	}
	close(next)
	callers.Wait()
	return w
}

// affinity runs the same load at one Region and at three, each of them a server with simulated models that cache prompts.
func affinity(t *testing.T, c conversations) (one, all *warmth) {
	const model = "amazon.nova-lite-v1:0"
	var config strings.Builder
	config.WriteString("upstreams:\n")
	for _, name := range three {
		r := start(t, options{config: "upstreams:\n  - name: sim\n    provider: simulated\n    models: {\"" + model + "\": \"*\"}\n" +
			"    simulated: {cache: {min_tokens: 64}, latency: {first_token: {value: 10ms}}}\n"})
		fmt.Fprintf(&config, "  - name: %s\n    provider: bedrock\n    bedrock: {endpoint: %q}\n    regions: [%[1]s]\n", name, r.url)
	}
	gateway := start(t, options{config: config.String(), env: []string{"AWS_ACCESS_KEY_ID=" + rootID, "AWS_SECRET_ACCESS_KEY=" + rootSecret}})
	client := gateway.runtime(three[0])
	c.salt = "one Region"
	one = c.run(t, client, gateway.routed("one", "foundation-model/"+model, ""))
	c.salt = "all of them"
	all = c.run(t, client, gateway.routed("all", "inference-profile/us."+model, shared))
	return one, all
}

// playAffinity holds three Regions to what one has: behind them a conversation finds what has been cached of it nearly as
// often.
func playAffinity(t *testing.T) (one, all *warmth) {
	one, all = affinity(t, conversations{many: 240, turns: 5, atOnce: 12})
	t.Logf("one Region: %.1f%% of the input from the cache; three: %.1f%%, calls %v", 100*one.share(), 100*all.share(), all.served)
	if one.share() < 0.5 {
		t.Errorf("one Region reads %.2f of the input from its cache: nothing is tested", one.share())
	}
	if all.share() < 0.9*one.share() {
		t.Errorf("three Regions read %.2f of the input from their caches, one Region %.2f", all.share(), one.share())
	}
	if s := all.skew(len(three)); s >= 1.5 {
		t.Errorf("the busiest Region had %.2f times its fair share: %v", s, all.served)
	}
	return one, all
}

package profile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/fault"
)

// Limits that AWS has too.
const (
	MaxProfiles = 1000 // application profiles of one account in one Region (quota L-40EC9882)
	MaxTags     = 50   // tags of one profile
	MaxPage     = 1000 // profiles on one page of List
)

// What AWS says, word for word.
const (
	msgInvalidModel  = "The provided model identifier is invalid."
	msgInvalidSource = "copyFrom must be a valid inference profile model source ARN."
	msgEndOfLife     = "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
	msgNotOnDemand   = "Invocation of model ID %s with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."
)

// Config is what a Service needs.
type Config struct {
	Store   Store
	Catalog *catalog.Catalog
	Clock   func() time.Time // nil is time.Now
	Logger  *slog.Logger     // nil logs nothing

	// Served reports whether a configured upstream explicitly serves the model in region: it can then be called there
	// by its own id, whatever AWS offers. It is asked on requests and must be quick; its answers do not change. Nil
	// is no.
	Served func(region, modelID string) bool

	// Reachable reports whether any upstream serves the model in region at all. It must be quick; its answers do not
	// change. Nil is yes.
	Reachable func(region, modelID string) bool
}

// Service is all inference profiles. It answers from memory and is safe for concurrent use; changes go to the store
// first.
type Service struct {
	store   Store
	catalog *catalog.Catalog
	clock   func() time.Time
	log     *slog.Logger
	served  func(region, modelID string) bool
	reaches func(region, modelID string) bool

	// The snapshot. The map and each space are immutable and replaced whole; a change replaces the one space it is
	// in, so that it costs the profiles of one account and Region, not all of them.
	spaces atomic.Pointer[map[spaceKey]*atomic.Pointer[space]]
	routes atomic.Pointer[map[routeKey]*Route] // of system profiles and bare models, as they are asked for

	mu       sync.Mutex // held by whoever changes the store or the snapshot
	revision int64      // of the store, as of which the snapshot is
	muRoutes sync.Mutex // held to replace routes
}

type spaceKey struct{ account, region string }

// space is the application profiles of one account in one Region.
type space struct {
	byID   map[string]*entry
	byName map[string][]*entry
	order  []*entry // by CreatedAt, then ID
}

type entry struct {
	profile *Profile
	route   *Route // nil when the catalog no longer has the model
}

type routeKey struct{ account, region, id string } // account "" for a bare model

// maxRoutes bounds the routes kept; further ones are made for each call.
const maxRoutes = 1 << 13

// Open reads the store and returns a Service.
func Open(ctx context.Context, c Config) (*Service, error) {
	s := &Service{store: c.Store, catalog: c.Catalog, clock: c.Clock, log: c.Logger, served: c.Served, reaches: c.Reachable}
	if s.reaches == nil {
		s.reaches = func(string, string) bool { return true }
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.routes.Store(&map[routeKey]*Route{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reload(ctx); err != nil {
		return nil, fmt.Errorf("profiles: %w", err)
	}
	return s, nil
}

// Refresh takes in what other processes have changed in the store. It is cheap when nothing has.
func (s *Service) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.store.Revision(ctx)
	if err != nil || n == s.revision {
		return err
	}
	return s.reload(ctx)
}

// reload replaces the whole snapshot. mu is held.
func (s *Service) reload(ctx context.Context) error {
	profiles, revision, err := s.store.Load(ctx)
	if err != nil {
		return err
	}
	built := map[spaceKey]*space{}
	for _, p := range profiles {
		k := spaceKey{p.Account, p.Region}
		sp := built[k]
		if sp == nil {
			sp = &space{byID: map[string]*entry{}, byName: map[string][]*entry{}}
			built[k] = sp
		}
		sp.add(s.entry(p))
	}
	m := make(map[spaceKey]*atomic.Pointer[space], len(built))
	for k, sp := range built {
		m[k] = &atomic.Pointer[space]{}
		m[k].Store(sp)
	}
	s.spaces.Store(&m)
	s.revision = revision
	return nil
}

// apply replaces one space by what change makes of a copy of it, after the store has reached revision. When other
// changes came before, the whole snapshot is read again. mu is held.
func (s *Service) apply(ctx context.Context, k spaceKey, revision int64, change func(*space)) {
	next := s.space(k).clone()
	change(next)
	spaces := *s.spaces.Load()
	cell, ok := spaces[k]
	if !ok {
		grown := make(map[spaceKey]*atomic.Pointer[space], len(spaces)+1)
		maps.Copy(grown, spaces)
		cell = &atomic.Pointer[space]{}
		grown[k] = cell
		cell.Store(next)
		s.spaces.Store(&grown)
	} else {
		cell.Store(next)
	}
	if revision == s.revision+1 {
		s.revision = revision
		return
	}
	s.catchUp(ctx)
}

// catchUp reads what other processes have changed. The caller's own work is done: a failure is for the next Refresh to
// make good. mu is held.
func (s *Service) catchUp(ctx context.Context) {
	if err := s.reload(context.WithoutCancel(ctx)); err != nil {
		s.log.Warn("profiles changed by another process could not be read; the next refresh tries again", "error", err)
	}
}

var nothing = &space{}

// space returns the profiles of an account in a Region; never nil.
func (s *Service) space(k spaceKey) *space {
	if c, ok := (*s.spaces.Load())[k]; ok {
		return c.Load()
	}
	return nothing
}

func (sp *space) clone() *space {
	n := &space{
		byID: make(map[string]*entry, len(sp.byID)+1), byName: make(map[string][]*entry, len(sp.byName)+1), order: slices.Clone(sp.order),
	}
	maps.Copy(n.byID, sp.byID)
	maps.Copy(n.byName, sp.byName)
	return n
}

func (sp *space) add(e *entry) {
	p := e.profile
	sp.byID[p.ID] = e
	sp.byName[p.Name] = append(slices.Clip(sp.byName[p.Name]), e)
	i, _ := slices.BinarySearchFunc(sp.order, p, func(e *entry, p *Profile) int { return compare(e.profile, p) })
	sp.order = slices.Insert(sp.order, i, e)
}

func (sp *space) remove(id string) {
	e, ok := sp.byID[id]
	if !ok {
		return
	}
	delete(sp.byID, id)
	not := func(o *entry) bool { return o == e }
	if same := slices.DeleteFunc(slices.Clone(sp.byName[e.profile.Name]), not); len(same) > 0 {
		sp.byName[e.profile.Name] = same
	} else {
		delete(sp.byName, e.profile.Name)
	}
	sp.order = slices.DeleteFunc(sp.order, not)
}

// compare orders profiles by creation.
func compare(a, b *Profile) int {
	if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// CreateRequest is what Create needs. The constraints on the form of its members are the front end's.
type CreateRequest struct {
	Name        string
	Description string
	Source      string // copyFrom: the ARN of a foundation model or of a system-defined profile
	Token       string // clientRequestToken; "" for none
	Tags        []Tag
}

// Create makes an application profile. The same request with the same token returns the profile that the first one
// made, for as long as it lives; another request with that token is a Conflict.
func (s *Service) Create(ctx context.Context, account, region string, r CreateRequest) (*Profile, error) {
	if err := checkTags(r.Tags); err != nil {
		return nil, err
	}
	if len(r.Tags) > MaxTags {
		return nil, tooManyTags(r.Name)
	}
	p := &Profile{
		Name: r.Name, Description: r.Description, Type: Application, Account: account, Region: region,
		Source: r.Source, Tags: sortTags(slices.Clone(r.Tags)),
	}
	if err := s.resolveSource(p); err != nil {
		return nil, err
	}
	if err := s.checkReserved(p, p.Tags); err != nil {
		return nil, err
	}
	if missing, all := s.unreached(s.entry(p).route); all {
		return nil, fault.New(fault.Validation, "The model source %s cannot be served: this server has no upstream for %s in %s.", p.Source, p.ModelID, few(missing))
	}
	if r.Token != "" {
		p.Token, p.TokenDigest = r.Token, digest(p)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	p.CreatedAt = s.clock().UTC().Truncate(time.Microsecond)
	p.UpdatedAt = p.CreatedAt
	for range 3 { // an id is taken once in 4.7e18 tries for each profile there is
		p.ID = newID()
		p.ARN = arn.ApplicationProfile(region, account, p.ID)
		stored, revision, err := s.store.Insert(ctx, p, MaxProfiles)
		switch {
		case errors.Is(err, ErrExists):
			continue
		case errors.Is(err, ErrQuota):
			return nil, fault.New(fault.QuotaExceeded, "You have reached the limit of %d application inference profiles for this account in %s.", MaxProfiles, region)
		case err != nil:
			return nil, err
		case stored.ID != p.ID && stored.TokenDigest != p.TokenDigest:
			return nil, fault.New(fault.Conflict, "The clientRequestToken %s was already used with a different request.", r.Token)
		case stored.ID != p.ID:
			if _, known := s.space(spaceKey{account, region}).byID[stored.ID]; !known { // another process made it
				s.catchUp(ctx)
			}
			return stored, nil
		}
		s.apply(ctx, spaceKey{account, region}, revision, func(sp *space) { sp.add(s.entry(p)) })
		return p, nil
	}
	return nil, fmt.Errorf("create profile: %w", ErrExists)
}

// resolveSource fills in what p.Source says: the model, the geography and the models shown.
func (s *Service) resolveSource(p *Profile) error {
	invalid := fault.New(fault.Validation, msgInvalidSource)
	a, err := arn.Parse(p.Source)
	if err != nil || a.Service != "bedrock" || a.Partition != arn.Partition(p.Region) || a.Region != p.Region {
		return invalid
	}
	missing := fault.New(fault.NotFound, "The model source %s was not found.", p.Source)
	switch kind, id := a.Split(); kind {
	case "foundation-model":
		if a.Account != "" {
			return invalid
		}
		m, ok := s.catalog.Model(id)
		if !ok {
			return missing
		}
		if !s.OnDemand(p.Region, m) {
			return invalid
		}
		p.ModelID, p.Models = id, []string{arn.FoundationModel(p.Region, id)}
	case "inference-profile":
		// An ARN without an account names nobody else's profile; guides print it so.
		if a.Account != p.Account && a.Account != "" {
			return invalid
		}
		sys, ok := s.catalog.Profile(id)
		if !ok {
			return missing
		}
		if p.Models = s.catalog.ProfileModels(id, p.Region); p.Models == nil {
			return invalid
		}
		p.ModelID, p.Geo = sys.ModelID, sys.Geo
	default:
		return invalid
	}
	return nil
}

// unreached returns the Regions of a route where no upstream serves its model, and whether those are all.
func (s *Service) unreached(r *Route) (regions []string, all bool) {
	for _, t := range r.Targets {
		if !s.reaches(t.Region, t.ModelID) {
			regions = append(regions, t.Region)
		}
	}
	return regions, len(regions) == len(r.Targets)
}

// Unserved is an application profile with Regions where no upstream serves its model.
type Unserved struct {
	Profile *Profile
	Regions []string // in the order in which they would be tried
	All     bool     // it has no others
}

// Unserved returns the application profiles of all accounts that have such Regions, ordered by ARN. One whose model the
// catalog no longer has is among them, without Regions.
func (s *Service) Unserved() []Unserved {
	var us []Unserved
	for _, cell := range *s.spaces.Load() {
		for _, e := range cell.Load().order {
			u := Unserved{Profile: e.profile, All: true}
			if e.route != nil {
				u.Regions, u.All = s.unreached(e.route)
			}
			if u.All || len(u.Regions) > 0 {
				us = append(us, u)
			}
		}
	}
	slices.SortFunc(us, func(a, b Unserved) int { return strings.Compare(a.Profile.ARN, b.Profile.ARN) })
	return us
}

// Crosses is catalog.Catalog's.
func (s *Service) Crosses(name, region string) (regions []string, crosses bool) {
	return s.catalog.Crosses(name, region)
}

// Unreached says in words in which of p's Regions no upstream serves its model, "" when there is none. Those that its routing
// policy puts first come first.
func (s *Service) Unreached(p *Profile) string {
	e := s.entry(p)
	if e.route == nil {
		return ""
	}
	missing, _ := s.unreached(e.route)
	if len(missing) == 0 {
		return ""
	}
	if policy := e.route.Policy; policy != nil {
		slices.SortStableFunc(missing, policy.Before)
	}
	return fmt.Sprintf("no upstream for %s in %s", p.ModelID, few(missing))
}

// few lists Regions, the first of many.
func few(regions []string) string {
	const shown = 5
	s := strings.Join(regions[:min(len(regions), shown)], ", ")
	if n := len(regions) - shown; n > 0 {
		s += fmt.Sprintf(" and %d more Regions", n)
	}
	return s
}

// OnDemand reports whether the model can be called in region by its own id.
func (s *Service) OnDemand(region string, m *catalog.Model) bool {
	return s.catalog.OnDemand(m.ID, region) || s.served != nil && s.served(region, m.ID)
}

// Get returns the profile that identifier names to account in region: an ARN, an id, or the name of exactly one
// application profile. Ids come before names.
func (s *Service) Get(account, region, identifier string) (*Profile, error) {
	sp := s.space(spaceKey{account, region})
	if strings.HasPrefix(identifier, "arn:") {
		a, err := arn.Parse(identifier)
		if err == nil && a.Service == "bedrock" && a.Partition == arn.Partition(region) && a.Region == region && a.Account == account {
			switch kind, id := a.Split(); kind {
			case "application-inference-profile":
				if e, ok := sp.byID[id]; ok {
					return e.profile, nil
				}
			case "inference-profile":
				if p := s.system(account, region, id); p != nil {
					return p, nil
				}
			}
		}
		return nil, notFound(identifier)
	}
	if e, ok := sp.byID[identifier]; ok {
		return e.profile, nil
	}
	if p := s.system(account, region, identifier); p != nil {
		return p, nil
	}
	e, err := sp.named(identifier)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, notFound(identifier)
	}
	return e.profile, nil
}

// named returns the one profile of that name, nil when there is none.
func (sp *space) named(name string) (*entry, error) {
	es := sp.byName[name]
	if len(es) < 2 {
		for _, e := range es {
			return e, nil
		}
		return nil, nil
	}
	// As many ARNs as a reader can use: a name may be on a thousand profiles.
	const shown = 10
	var arns []string
	for _, e := range es[:min(len(es), shown)] {
		arns = append(arns, e.profile.ARN)
	}
	more := ""
	if n := len(es) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return nil, fault.New(fault.Validation, "The name %s is ambiguous: %d inference profiles have it. Use one of these ARNs: %s%s.",
		name, len(es), strings.Join(arns, ", "), more)
}

func notFound(identifier string) error {
	return fault.New(fault.NotFound, "The inference profile %s was not found.", identifier)
}

// system returns a system-defined profile as account sees it in region, nil when it is not offered there.
func (s *Service) system(account, region, id string) *Profile {
	c, ok := s.catalog.Profile(id)
	if !ok {
		return nil
	}
	models := s.catalog.ProfileModels(id, region)
	if models == nil {
		return nil
	}
	return &Profile{
		ARN: arn.SystemProfile(region, account, id), ID: id, Name: c.Name, Description: s.catalog.ProfileDescription(id, region),
		Type: SystemDefined, Account: account, Region: region, ModelID: c.ModelID, Geo: c.Geo, Models: models,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
}

// List returns one page of the profiles that account sees in region and the token of the next page, "" on the last.
// kind is Application, SystemDefined or "" for both: the system-defined ones first, in the catalog's order, then the
// application profiles in order of creation. limit 0 is MaxPage. A token is good for the same account, Region and
// kind only; what is made or deleted between pages changes nothing else of what they show.
func (s *Service) List(account, region, kind string, limit int, token string) (page []*Profile, next string, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	seal := account + "\x00" + region + "\x00" + kind + "\x00"
	var after position
	if token != "" {
		if after, err = openToken(seal, token); err != nil {
			return nil, "", err
		}
	}
	var last position
	if kind != Application && !after.application {
		offered := s.catalog.Profiles(region)
		from := 0
		if after.id != "" {
			if from = 1 + slices.IndexFunc(offered, func(p *catalog.Profile) bool { return p.ID == after.id }); from == 0 {
				return nil, "", badToken()
			}
		}
		for _, c := range offered[from:] {
			if len(page) == limit {
				return page, last.token(seal), nil
			}
			page, last = append(page, s.system(account, region, c.ID)), position{id: c.ID}
		}
	}
	if kind == SystemDefined {
		return page, "", nil
	}
	order := s.space(spaceKey{account, region}).order
	if after.application {
		i, found := slices.BinarySearchFunc(order, after, func(e *entry, at position) int {
			return compare(e.profile, &Profile{CreatedAt: at.created, ID: at.id})
		})
		if found {
			i++
		}
		order = order[i:]
	}
	for _, e := range order {
		if len(page) == limit {
			return page, last.token(seal), nil
		}
		page, last = append(page, e.profile), position{application: true, created: e.profile.CreatedAt, id: e.profile.ID}
	}
	return page, "", nil
}

// position is where a page ended.
type position struct {
	application bool
	created     time.Time
	id          string
}

// token is opaque to callers. It is not secret: it can only say where in a caller's own list to go on. The sum ties it
// to the list and catches what was not made here.
func (p position) token(seal string) string {
	b := make([]byte, 0, 8+1+8+len(p.id))
	if p.application {
		b = append(b, 'a')
		b = binary.BigEndian.AppendUint64(b, uint64(p.created.UnixMicro()))
	} else {
		b = append(b, 's')
	}
	b = append(b, p.id...)
	return base64.RawURLEncoding.EncodeToString(append(pageSum(seal, b), b...))
}

func pageSum(seal string, b []byte) []byte {
	sum := sha256.Sum256(append([]byte("outcrop page\x00"+seal), b...))
	return sum[:8]
}

func openToken(seal, token string) (position, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 10 || string(pageSum(seal, b[8:])) != string(b[:8]) {
		return position{}, badToken()
	}
	switch b = b[8:]; {
	case b[0] == 's':
		return position{id: string(b[1:])}, nil
	case b[0] == 'a' && len(b) > 9:
		return position{application: true, created: time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:9]))).UTC(), id: string(b[9:])}, nil
	}
	return position{}, badToken()
}

func badToken() error { return fault.New(fault.Validation, "The provided nextToken is invalid.") }

// Delete removes the application profile that identifier names, as for Get.
func (s *Service) Delete(ctx context.Context, account, region, identifier string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.Get(account, region, identifier)
	if err != nil {
		return err
	}
	if p.Type == SystemDefined {
		return fault.New(fault.Validation, "The inference profile %s is system-defined and cannot be deleted.", identifier)
	}
	revision, err := s.store.Delete(ctx, account, region, p.ID, s.clock())
	if errors.Is(err, ErrNotFound) { // another process was first
		s.catchUp(ctx)
		return notFound(identifier)
	}
	if err != nil {
		return err
	}
	s.apply(ctx, spaceKey{account, region}, revision, func(sp *space) { sp.remove(p.ID) })
	return nil
}

// Tags returns the tags of the application profile with that ARN, sorted by key. The caller does not change them.
func (s *Service) Tags(account, region, resource string) ([]Tag, error) {
	p, err := s.taggable(account, region, resource)
	if err != nil {
		return nil, err
	}
	return p.Tags, nil
}

// Tag sets tags of the application profile with that ARN; those of the same key are overwritten. A profile's UpdatedAt
// stays: tags are not among the attributes that it dates.
func (s *Service) Tag(ctx context.Context, account, region, resource string, tags []Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	p, err := s.taggable(account, region, resource)
	if err != nil {
		return err
	}
	if err := s.checkReserved(p, tags); err != nil {
		return err
	}
	return s.edit(ctx, account, region, resource, func(old []Tag) ([]Tag, error) {
		merged := slices.Clone(tags)
		for _, t := range old {
			if !slices.ContainsFunc(tags, func(n Tag) bool { return n.Key == t.Key }) {
				merged = append(merged, t)
			}
		}
		if len(merged) > MaxTags {
			return nil, tooManyTags(resource)
		}
		return sortTags(merged), nil
	})
}

// Untag removes tags of the application profile with that ARN. A key that is not there is no error.
func (s *Service) Untag(ctx context.Context, account, region, resource string, keys []string) error {
	return s.edit(ctx, account, region, resource, func(old []Tag) ([]Tag, error) {
		return slices.DeleteFunc(slices.Clone(old), func(t Tag) bool { return slices.Contains(keys, t.Key) }), nil
	})
}

func (s *Service) edit(ctx context.Context, account, region, resource string, edit func([]Tag) ([]Tag, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.taggable(account, region, resource)
	if err != nil {
		return err
	}
	tags, revision, err := s.store.EditTags(ctx, account, region, p.ID, s.clock(), edit)
	if errors.Is(err, ErrNotFound) { // another process was first
		s.catchUp(ctx)
		return notFound(resource)
	}
	if err != nil {
		return err
	}
	changed := *p
	changed.Tags = tags
	s.apply(ctx, spaceKey{account, region}, revision, func(sp *space) { sp.remove(p.ID); sp.add(s.entry(&changed)) })
	return nil
}

// taggable returns the application profile with that ARN.
func (s *Service) taggable(account, region, resource string) (*Profile, error) {
	if !strings.HasPrefix(resource, "arn:") {
		return nil, fault.New(fault.Validation, "The provided resource ARN %s is invalid.", resource)
	}
	p, err := s.Get(account, region, resource)
	if err != nil {
		return nil, err
	}
	if p.Type == SystemDefined {
		return nil, fault.New(fault.Validation, "The inference profile %s is system-defined and cannot be tagged.", resource)
	}
	return p, nil
}

// checkTags refuses what one request may not have.
func checkTags(tags []Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return fault.New(fault.Validation, "Tag keys that begin with aws: are reserved: %s", t.Key)
		}
		if seen[t.Key] {
			return fault.New(fault.Validation, "Tag keys must be unique within a request: %s", t.Key)
		}
		seen[t.Key] = true
	}
	return nil
}

func tooManyTags(resource string) error {
	e := fault.New(fault.TooManyTags, "The resource %s can have at most %d tags.", resource, MaxTags)
	e.Resource = resource
	return e
}

func sortTags(tags []Tag) []Tag {
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

// digest tells two creations apart. The order of tags does not count.
func digest(p *Profile) string {
	h := sha256.New()
	put := func(v string) {
		_ = binary.Write(h, binary.BigEndian, uint64(len(v)))
		h.Write([]byte(v))
	}
	put(p.Name)
	put(p.Description)
	put(p.Source)
	for _, t := range p.Tags {
		put(t.Key)
		put(t.Value)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// newID returns 12 random characters of [a-z0-9], as AWS's ids are.
func newID() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, 12)
	var b [16]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		for _, c := range b {
			if int(c) >= 256-256%len(alphabet) {
				continue // keeps every character as likely
			}
			if id = append(id, alphabet[int(c)%len(alphabet)]); len(id) == cap(id) {
				return string(id)
			}
		}
	}
}

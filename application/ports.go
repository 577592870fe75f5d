package application

import (
	"context"
	"errors"
	"time"

	"github.com/trustpub/trustpub/domain"
)

// This file is the whole swap surface: every interface that the use cases need.
//
// What holds for all of them: implementations are safe for concurrent use; they
// return promptly when ctx ends; a *domain.Error that they return reaches the
// client as it is, and any other error of a store is reported as
// store_unavailable, with its text for the log alone.

// Verifier checks an ID token and returns whose it is. Refusals are
// *domain.Error of KindRefused; a key set that can't be had is KindUnavailable
// with CodeKeysUnavailable. It remembers nothing of the token: whether it was used
// before is for the TokenStore to say.
type Verifier interface {
	Verify(ctx context.Context, idToken string) (domain.Claims, error)
}

// ConfigFinder finds the configs that may trust a workload.
type ConfigFinder interface {
	// FindConfigs returns all configs of the claims' provider, issuer and key
	// (domain.Claims.Key), in the order of their IDs. Where there are none, it returns
	// those of the provider and issuer that are pinned to the very IDs of the claims:
	// their workload was renamed, and domain.Authorize says so. None is an empty slice
	// and no error. It may return too much, as domain.Authorize checks every rule
	// again, but never too little.
	FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error)
}

// ConfigStore keeps the publisher configs of all kinds.
type ConfigStore interface {
	// CreateConfig stores a new config and returns it with its ID, which is above zero,
	// one no config of any kind has, and never used again, also after a deletion. When
	// the package already has limit configs or an identical one
	// (domain.Config.Identity), it stores nothing and returns KindConflict with
	// CodeTooManyConfigs or CodeDuplicateConfig; the duplicate goes first. Both checks
	// and the insert are one atomic step.
	CreateConfig(ctx context.Context, config domain.Config, limit int) (domain.Config, error)
	// Config returns one config, or KindNotFound.
	Config(ctx context.Context, id int64) (domain.Config, error)
	// ListConfigs returns a page, oldest (lowest ID) first.
	ListConfigs(ctx context.Context, query ListQuery) (ConfigPage, error)
	// DeleteConfig removes one config, or returns KindNotFound. From then on its grants
	// are gone from every token (see TokenStore.FindToken).
	DeleteConfig(ctx context.Context, id int64) error
}

// ListQuery selects a page of configs.
type ListQuery struct {
	// Package is whose configs to list; the zero value lists those of all packages.
	Package domain.Package
	// Kind is which configs to list; empty lists all.
	Kind domain.ConfigKind
	// After is the ID after which the page begins; 0 is the first page.
	After int64
	// Limit is the most configs on the page, above zero.
	Limit int
}

// ConfigPage is a page of configs.
type ConfigPage struct {
	// Configs are the page's, by ascending ID.
	Configs []domain.Config
	// Total counts the configs on all pages.
	Total int
	// More reports whether a further page follows.
	More bool
}

// TokenStore keeps access tokens and the record of used ID tokens.
type TokenStore interface {
	// SaveToken stores the token and records jti as used, both or neither, however
	// many replicas and goroutines try at once: of all calls with one (Issuer, ID),
	// exactly one ever returns nil. The others get KindRefused with
	// CodeAlreadyUsed, and nothing of theirs is stored. An expired record that is
	// still there counts as used.
	//
	// nil means durable. When the outcome of the write is unknown the
	// implementation finds out before it answers, by token.Hash, which belongs to
	// this call alone; what it can't find out within ctx is an error other than
	// CodeAlreadyUsed, and so is any other violation of a constraint.
	//
	// In the same step it pins configs: those that still exist are pinned to what the
	// pin says, unless that has happened meanwhile with other IDs. Then nothing is
	// stored, and the error is domain.PinnedMeanwhile. A config that is gone is left
	// out, as its grants are.
	SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error
	// FindToken returns the token with that hash, or KindNotFound. Its Grants are
	// only those whose config exists at that moment; when none is left it is still
	// found, with no grants.
	FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error)
	// RevokeToken marks the token as revoked at that time and reports whether this
	// call did it: false when the token is unknown or was revoked before. Either answer is
	// as certain as a write: a server of a cluster that was replaced, and does not know it
	// yet, can't give it.
	RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error)
}

// ConfigMemory spares the look-up of configs that were looked up before. It is optional:
// without one, each exchange looks them up. What is remembered decides nothing by itself:
// the store holds it against the configs that there are in the very step in which it
// spends the jti, so a token is never justified by what has changed meanwhile.
type ConfigMemory interface {
	// RecallConfigs returns what FindConfigs has once returned for claims of that
	// provider, issuer and key, and whether anything is remembered. It asks nobody.
	RecallConfigs(claims domain.Claims) (Recalled, bool)
	// SaveRecalled does what TokenStore.SaveToken does with the jti of the claims and
	// without pins, provided that FindConfigs would at that moment return for the claims
	// what was recalled. Otherwise it stores nothing, no longer remembers it, and returns
	// an error that is ErrOutdated, whether or not the jti was used before. One thing
	// goes first: when it was this very token that the jti was spent for, by an attempt
	// whose outcome was unknown, the call has succeeded.
	SaveRecalled(ctx context.Context, token domain.AccessToken, claims domain.Claims, recalled Recalled) error
}

// Recalled is what a ConfigMemory remembers of a look-up.
type Recalled struct {
	// Configs are those that were found. They must not be changed.
	Configs []domain.Config
	// State stands for all that was read, for the memory itself.
	State string
}

// ErrOutdated is how SaveRecalled says that what was recalled is no longer so.
var ErrOutdated = errors.New("application: the configs have changed since they were looked up")

// ExpiredRemover forgets what has expired.
type ExpiredRemover interface {
	// RemoveExpired deletes at most limit tokens and at most limit used-jti records
	// whose expiry lies before the given time, and returns how many rows it
	// deleted. It never blocks a SaveToken for longer than one such batch takes.
	// While another replica is at it, it deletes nothing and returns 0.
	RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error)
}

// OwnerLookup finds the immutable ID of an account at a CI provider.
type OwnerLookup interface {
	// OwnerID returns the number of the account that has that login at the GitHub
	// of that issuer. An unknown login is KindInvalid with CodeUnknownOwner; a
	// provider that can't be asked is KindUnavailable with
	// CodeOwnerLookupUnavailable.
	OwnerID(ctx context.Context, issuer, login string) (int64, error)
}

// Ownership says who may manage the publishers of a package. A registry that
// embeds trustpub answers from its own owners.
type Ownership interface {
	// MayManage returns nil when the actor may see, add and remove the publishers of
	// the package, and else KindForbidden with CodeForbidden, or KindNotFound where
	// the actor must not learn that the package exists.
	MayManage(ctx context.Context, actor Actor, pkg domain.Package) error
}

// Actor is an authenticated caller of PublisherService: a user of the registry, or
// the operator.
type Actor struct {
	// ID names the caller for Ownership and in the audit record. It is never empty
	// for an authenticated caller.
	ID string
}

// Auditor receives one event per exchange, refusal, revocation and config change.
type Auditor interface {
	// Record must not block for long, and can't fail the operation, which is done.
	Record(ctx context.Context, event Event)
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// noAudit records nothing: what is verified is not recorded anyway.
type noAudit struct{}

func (noAudit) Record(context.Context, application.Event) {}

// verify measures what an embedding registry calls at each upload, by as many goroutines
// as there would be connections. Its CPU time, the server's, is that of this process.
func (s *site) verify(ctx context.Context, goroutines, n int) (result, error) {
	db, err := pqconn.Open(s.databaseURL, 0)
	if err != nil {
		return result{}, err
	}
	r, err := s.verifyIn(ctx, db, goroutines, n)
	return r, errors.Join(err, db.Close())
}

func (s *site) verifyIn(ctx context.Context, db *sql.DB, goroutines, n int) (result, error) {
	service, err := s.tokenService(db)
	if err != nil {
		return result{}, err
	}
	// This opens the connections, and prepares the statements.
	packages := make([]domain.Package, len(s.tokens))
	errs := make([]error, len(s.tokens))
	callAtOnce(ctx, goroutines, len(s.tokens), func(i int) error {
		token, err := service.Introspect(ctx, s.tokens[i])
		if err == nil && len(token.Grants) > 0 {
			packages[i] = token.Grants[0].Package
		}
		errs[i] = err
		return err
	})
	err = errors.Join(errs...)
	if err != nil {
		return result{}, err
	}
	own := []int{selfPID}
	before, err := cpuOf(own)
	if err != nil {
		return result{}, err
	}
	databaseBefore, err := cpuOfFamily(s.stack.postgresPID())
	if err != nil {
		return result{}, err
	}
	o := callAtOnce(ctx, goroutines, n, func(i int) error {
		i %= len(s.tokens)
		_, err := service.Verify(ctx, s.tokens[i], packages[i])
		return err
	})
	after, err := cpuOf(own)
	if err != nil {
		return result{}, err
	}
	databaseAfter, err := cpuOfFamily(s.stack.postgresPID())
	if err != nil {
		return result{}, err
	}
	// The child processes of this one are the server's, and so is PostgreSQL.
	r := o.result(s.name, goroutines)
	r.server, r.database = (after-before)/time.Duration(n), (databaseAfter-databaseBefore)/time.Duration(n)
	return r, nil
}

// tokenService is what a registry makes of its database.
func (s *site) tokenService(db *sql.DB) (*application.TokenService, error) {
	prefix, err := domain.NewTokenPrefix(domain.DefaultTokenPrefix)
	if err != nil {
		return nil, err
	}
	options := []postgres.Option{postgres.StatementContext(pqconn.Unwatched)}
	if s.unshared {
		options = append(options, postgres.Unshared())
	}
	return application.NewTokenService(application.TokenConfig{
		Tokens: postgres.NewStore(db, options...), Auditor: noAudit{}, Prefixes: []domain.TokenPrefix{prefix}, Now: time.Now,
	})
}

// callAtOnce makes n calls, by that many goroutines.
func callAtOnce(ctx context.Context, goroutines, n int, call func(i int) error) outcome {
	latencies, errs := make([]time.Duration, n), make([]error, n)
	var next atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for range goroutines {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				due := time.Now()
				errs[i] = call(i)
				latencies[i] = time.Since(due)
			}
		})
	}
	group.Wait()
	o := outcome{took: time.Since(begin), refusals: map[string]int{}}
	for i, err := range errs {
		switch {
		case err != nil:
			o.refusals[fmt.Sprint("error: ", err)]++
		case latencies[i] > 0:
			o.latencies = append(o.latencies, latencies[i])
		}
	}
	slices.Sort(o.latencies)
	o.succeeded = len(o.latencies)
	o.sent = n
	return o
}

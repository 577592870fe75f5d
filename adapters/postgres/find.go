package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/domain"
)

// FindConfigs implements [application.ConfigFinder].
func (s *Store) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	return s.finds(ctx, claims)
}

func (s *Store) findConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	kind := domain.ConfigKindFor(claims.Provider())
	var found []stored
	err := retry(ctx, func(ctx context.Context) (err error) {
		found, err = s.findStored(ctx, kind, `
			where c.issuer = $1 and c.lookup_key = $2 and c.provider = $3
			order by c.id`, claims.Issuer(), claims.Key(), claims.Provider())
		if err != nil {
			return err
		}
		s.memory.remember(lookupOf(claims), found)
		if len(found) > 0 || len(claims.IDs()) == 0 {
			return nil
		}
		pinned, err := encodeStrings(claims.IDs())
		if err != nil {
			return err
		}
		found, err = s.findStored(ctx, kind, `
			where c.issuer = $1 and c.pinned = $2 and c.pinned <> '{}' and c.provider = $3
			order by c.id`, claims.Issuer(), pinned, claims.Provider())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find configs: %w", err)
	}
	return configsOf(found), nil
}

// findStored is selectStored in a statement of its own.
func (s *Store) findStored(ctx context.Context, kind domain.ConfigKind, condition string, args ...any) ([]stored, error) {
	var found []stored
	err := s.inStatement(ctx, func(ctx context.Context, q sqlx.QueryerContext) (err error) {
		found, err = selectStored(ctx, q, kind, condition, args...)
		return err
	})
	return found, err
}

// findConfigsTogether finds the configs of several workloads, in one statement for each
// kind of config. A workload without any is to be done alone, as it may have been
// renamed.
func (s *Store) findConfigsTogether(ctx context.Context, workloads []domain.Claims) ([]groupcommit.Answer[[]domain.Config], error) {
	wanted := map[domain.ConfigKind][]lookup{}
	for _, claims := range workloads {
		kind, by := domain.ConfigKindFor(claims.Provider()), lookupOf(claims)
		if !slices.Contains(wanted[kind], by) {
			wanted[kind] = append(wanted[kind], by)
		}
	}
	found := map[lookup][]stored{}
	for kind, lookups := range wanted {
		rows, err := s.findKind(ctx, kind, lookups)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			by := lookup{row.row.Issuer, row.row.LookupKey, row.row.Provider}
			found[by] = append(found[by], row)
		}
	}
	for by, rows := range found {
		s.memory.remember(by, rows)
	}
	answers := make([]groupcommit.Answer[[]domain.Config], len(workloads))
	for i, claims := range workloads {
		answers[i].Value = configsOf(found[lookupOf(claims)]) // Each has a slice of its own.
		if len(answers[i].Value) == 0 {
			answers[i].Err = groupcommit.ErrAlone
		}
	}
	return answers, nil
}

// findKind reads the configs of a kind that are found by any of lookups.
func (s *Store) findKind(ctx context.Context, kind domain.ConfigKind, lookups []lookup) ([]stored, error) {
	var issuers, keys, providers []string
	for _, l := range lookups {
		issuers, keys, providers = append(issuers, l.issuer), append(keys, l.key), append(providers, l.provider)
	}
	return s.findStored(ctx, kind, `
		join unnest($1::text[], $2::text[], $3::text[]) as wanted (issuer, lookup_key, provider)
			on wanted.issuer = c.issuer and wanted.lookup_key = c.lookup_key and wanted.provider = c.provider
		order by c.id`, arrayText(issuers), arrayText(keys), arrayText(providers))
}

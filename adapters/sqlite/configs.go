package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// FindConfigs implements [application.ConfigFinder].
func (s *Store) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	kind := domain.ConfigKindFor(claims.Provider())
	pinned, err := encodeStrings(claims.IDs())
	if err != nil {
		return nil, err
	}
	configs, err := selectConfigs(ctx, s.db.reader, kind, `
		where c.issuer = ? and c.lookup_key = ? and c.provider = ?
		order by c.id`, claims.Issuer(), claims.Key(), claims.Provider())
	if err == nil && len(configs) == 0 && len(claims.IDs()) > 0 {
		configs, err = selectConfigs(ctx, s.db.reader, kind, `
			where c.issuer = ? and c.pinned = ? and c.pinned <> '{}' and c.provider = ?
			order by c.id`, claims.Issuer(), pinned, claims.Provider())
	}
	if err != nil {
		return nil, fmt.Errorf("find configs: %w", err)
	}
	return configs, nil
}

// CreateConfig implements [application.ConfigStore].
func (s *Store) CreateConfig(ctx context.Context, config domain.Config, limit int) (domain.Config, error) {
	var stored domain.Config
	err := s.write(ctx, func(tx *sqlx.Tx) (err error) {
		stored, err = insertConfig(ctx, tx, config, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create config: %w", err)
	}
	return stored, nil
}

// insertConfig inserts the config, unless it exists or the package is full.
func insertConfig(ctx context.Context, tx *sqlx.Tx, config domain.Config, limit int) (domain.Config, error) {
	common := config.Common()
	existing, err := selectAllKinds(ctx, tx, `
		where c.ecosystem = ? and c.package = ?`, common.Package.Ecosystem, common.Package.Name)
	if err != nil {
		return nil, fmt.Errorf("read the package's configs: %w", err)
	}
	if slices.ContainsFunc(existing, func(other domain.Config) bool { return other.Identity() == config.Identity() }) {
		return nil, domain.DuplicateConfig()
	}
	if len(existing) >= limit {
		return nil, domain.TooManyConfigs(len(existing))
	}
	pinned, err := encodeStrings(common.Pinned)
	if err != nil {
		return nil, err
	}
	result, err := tx.ExecContext(ctx, `
		insert into trustpub_configs (created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
		values (?, ?, ?, ?, ?, ?, ?)`, common.CreatedAt.UnixMicro(), common.Provider,
		common.Package.Ecosystem, common.Package.Name, common.Issuer, common.Key, pinned)
	if err != nil {
		return nil, fmt.Errorf("insert: %w", err)
	}
	id, err := result.LastInsertId()
	if err != nil {
		return nil, err
	}
	err = insertKind(ctx, tx, id, config)
	if err != nil {
		return nil, fmt.Errorf("insert the values of its kind: %w", err)
	}
	stored, err := selectConfigs(ctx, tx, domain.ConfigKindFor(common.Provider), `
		where c.id = ?`, id)
	if err != nil {
		return nil, err
	}
	return stored[0], nil
}

// Config implements [application.ConfigStore].
func (s *Store) Config(ctx context.Context, id int64) (domain.Config, error) {
	found, err := selectAllKinds(ctx, s.db.reader, `
		where c.id = ?`, id)
	if err != nil {
		return nil, fmt.Errorf("find config: %w", err)
	}
	if len(found) == 0 {
		return nil, domain.ConfigNotFound(id)
	}
	return found[0], nil
}

// ListConfigs implements [application.ConfigStore].
func (s *Store) ListConfigs(ctx context.Context, query application.ListQuery) (application.ConfigPage, error) {
	var page application.ConfigPage
	for _, kind := range kindsOf(query.Kind) {
		var total int
		err := s.db.reader.GetContext(ctx, &total, `
			select count(*) from trustpub_configs c
			join `+tableOf(kind)+` k on k.id = c.id
			where (?1 = '' and ?2 = '') or (c.ecosystem = ?1 and c.package = ?2)`, query.Package.Ecosystem, query.Package.Name)
		if err != nil {
			return application.ConfigPage{}, fmt.Errorf("count configs: %w", err)
		}
		configs, err := selectConfigs(ctx, s.db.reader, kind, `
			where ((?1 = '' and ?2 = '') or (c.ecosystem = ?1 and c.package = ?2)) and c.id > ?3
			order by c.id
			limit ?4`, query.Package.Ecosystem, query.Package.Name, query.After, query.Limit+1)
		if err != nil {
			return application.ConfigPage{}, fmt.Errorf("list configs: %w", err)
		}
		page.Total += total
		page.Configs = append(page.Configs, configs...)
	}
	sortByID(page.Configs)
	page.More = len(page.Configs) > query.Limit
	page.Configs = page.Configs[:min(len(page.Configs), query.Limit)]
	return page, nil
}

// DeleteConfig implements [application.ConfigStore].
func (s *Store) DeleteConfig(ctx context.Context, id int64) error {
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `delete from trustpub_configs where id = ?`, id))
		if err == nil && n == 0 {
			return domain.ConfigNotFound(id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete config: %w", err)
	}
	return nil
}

// kindsOf returns the kinds that a query asks for; empty asks for all.
func kindsOf(kind domain.ConfigKind) []domain.ConfigKind {
	if kind != "" {
		return []domain.ConfigKind{kind}
	}
	return []domain.ConfigKind{domain.KindGitHubConfig, domain.KindGitLabConfig, domain.KindClaimsConfig}
}

// tableOf returns the table with what a kind has beside [configRow].
func tableOf(kind domain.ConfigKind) string {
	switch kind {
	case domain.KindGitHubConfig:
		return "trustpub_configs_github"
	case domain.KindGitLabConfig:
		return "trustpub_configs_gitlab"
	case domain.KindClaimsConfig:
	}
	return "trustpub_configs_claims"
}

// selectConfigs reads the configs of a kind; c is trustpub_configs in the condition.
func selectConfigs(ctx context.Context, q sqlx.QueryerContext, kind domain.ConfigKind, condition string, args ...any) ([]domain.Config, error) {
	switch kind {
	case domain.KindGitHubConfig:
		return selectRows[githubConfigRow](ctx, q, selectGitHubConfigs+condition, args)
	case domain.KindGitLabConfig:
		return selectRows[gitlabConfigRow](ctx, q, selectGitLabConfigs+condition, args)
	case domain.KindClaimsConfig:
		return selectRows[claimsConfigRow](ctx, q, selectClaimsConfigs+condition, args)
	}
	return nil, fmt.Errorf("unknown kind of config %q", kind)
}

// selectAllKinds reads the configs of all kinds, by ascending ID.
func selectAllKinds(ctx context.Context, q sqlx.QueryerContext, condition string, args ...any) ([]domain.Config, error) {
	var all []domain.Config
	for _, kind := range kindsOf("") {
		configs, err := selectConfigs(ctx, q, kind, condition, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, configs...)
	}
	sortByID(all)
	return all, nil
}

func sortByID(configs []domain.Config) {
	slices.SortFunc(configs, func(a, b domain.Config) int { return cmp.Compare(a.Common().ID, b.Common().ID) })
}

// insertKind stores what the config's kind has beside [configRow].
func insertKind(ctx context.Context, tx *sqlx.Tx, id int64, config domain.Config) error {
	switch config := config.(type) {
	case domain.GitHubConfig:
		return insertGitHubConfig(ctx, tx, id, config)
	case domain.GitLabConfig:
		return insertGitLabConfig(ctx, tx, id, config)
	case domain.ClaimsConfig:
		return insertClaimsConfig(ctx, tx, id, config)
	}
	return fmt.Errorf("unknown kind of config %T", config)
}

// selectCommon are the columns of [configRow].
const selectCommon = `c.id, c.created_at, c.provider, c.ecosystem, c.package, c.issuer, c.lookup_key, c.pinned`

// configRow is a row of trustpub_configs: what configs of all kinds have.
type configRow struct {
	ID        int64  `db:"id"`
	CreatedAt int64  `db:"created_at"`
	Provider  string `db:"provider"`
	Ecosystem string `db:"ecosystem"`
	Package   string `db:"package"`
	Issuer    string `db:"issuer"`
	LookupKey string `db:"lookup_key"`
	Pinned    string `db:"pinned"`
}

// kindRow is a row of a kind, which restores its config by the same rules by which it
// was made.
type kindRow interface {
	common() configRow
	config(pinned map[string]string) (domain.Config, error)
}

func (r configRow) common() configRow { return r }

func (r configRow) createdAt() time.Time { return fromMicros(r.CreatedAt) }

func (r configRow) pkg() domain.Package {
	return domain.Package{Ecosystem: r.Ecosystem, Name: r.Package}
}

func selectRows[R kindRow](ctx context.Context, q sqlx.QueryerContext, query string, args []any) ([]domain.Config, error) {
	var rows []R
	err := sqlx.SelectContext(ctx, q, &rows, query, args...)
	if err != nil {
		return nil, err
	}
	configs := make([]domain.Config, 0, len(rows))
	for _, row := range rows {
		config, err := restore(row)
		if err != nil {
			// A row that breaks a rule is a defect of the data, not the client's mistake.
			return nil, fmt.Errorf("restore config %d: %s", row.common().ID, err.Error())
		}
		configs = append(configs, config)
	}
	return configs, nil
}

func restore(row kindRow) (domain.Config, error) {
	pinned := map[string]string{}
	err := json.Unmarshal([]byte(row.common().Pinned), &pinned)
	if err != nil {
		return nil, fmt.Errorf("decode pinned IDs: %w", err)
	}
	return row.config(pinned)
}

// pin pins the configs, as [application.TokenStore] says.
func pin(ctx context.Context, tx *sqlx.Tx, pins []domain.Pin) error {
	for _, p := range pins {
		var rows []string
		err := tx.SelectContext(ctx, &rows, `select pinned from trustpub_configs where id = ?`, p.ConfigID)
		if err != nil {
			return fmt.Errorf("read what config %d is pinned to: %w", p.ConfigID, err)
		}
		before, err := encodeStrings(p.Before)
		if err != nil {
			return err
		}
		after, err := encodeStrings(p.After)
		if err != nil {
			return err
		}
		if len(rows) == 0 || rows[0] == after {
			continue
		}
		if rows[0] != before {
			return domain.PinnedMeanwhile()
		}
		_, err = tx.ExecContext(ctx, `update trustpub_configs set pinned = ? where id = ?`, after, p.ConfigID)
		if err != nil {
			return fmt.Errorf("pin config %d: %w", p.ConfigID, err)
		}
	}
	return nil
}

// encodeStrings returns the one JSON text of a map, whose members are sorted.
func encodeStrings(m map[string]string) (string, error) {
	if m == nil {
		m = map[string]string{}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode IDs: %w", err)
	}
	return string(text), nil
}

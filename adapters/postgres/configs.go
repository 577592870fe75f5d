package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// CreateConfig implements [application.ConfigStore]. The configs of one package are
// made one after the other, so that counting and inserting are one step.
func (s *Store) CreateConfig(ctx context.Context, config domain.Config, limit int) (domain.Config, error) {
	var made domain.Config
	again := false
	err := retry(ctx, func(ctx context.Context) error {
		err := s.inTx(ctx, func(tx *sqlx.Tx) (err error) {
			made, err = create(ctx, tx, config, limit, again)
			return err
		})
		again = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create config: %w", err)
	}
	return made, nil
}

// create inserts the config, unless it exists or the package is full. again tells
// that an earlier attempt may have committed: the identical config that was made at
// this very microsecond is then that attempt's, and no conflict.
func create(ctx context.Context, tx *sqlx.Tx, config domain.Config, limit int, again bool) (domain.Config, error) {
	common := config.Common()
	pkg, createdAt := common.Package, common.CreatedAt.UTC().Truncate(time.Microsecond) // what the column holds
	_, err := tx.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockSpace+lockConfig, packageLock(pkg))
	if err != nil {
		return nil, fmt.Errorf("lock package: %w", err)
	}
	existing, err := selectAllKinds(ctx, tx, `
		where c.ecosystem = $1 and c.package = $2`, pkg.Ecosystem, pkg.Name)
	if err != nil {
		return nil, fmt.Errorf("read the package's configs: %w", err)
	}
	for _, other := range existing {
		if other.Identity() != config.Identity() {
			continue
		}
		if again && other.Common().CreatedAt.Equal(createdAt) {
			return other, nil
		}
		return nil, domain.DuplicateConfig()
	}
	if len(existing) >= limit {
		return nil, domain.TooManyConfigs(len(existing))
	}
	pinned, err := encodeStrings(common.Pinned)
	if err != nil {
		return nil, err
	}
	var id int64
	err = tx.GetContext(ctx, &id, `
		insert into trustpub_configs (created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
		values ($1, $2, $3, $4, $5, $6, $7::jsonb)
		returning id`, createdAt, common.Provider, pkg.Ecosystem, pkg.Name, common.Issuer, common.Key, pinned)
	if err != nil {
		return nil, fmt.Errorf("insert: %w", err)
	}
	err = insertKind(ctx, tx, id, config)
	if err != nil {
		return nil, fmt.Errorf("insert the values of its kind: %w", err)
	}
	made, err := selectConfigs(ctx, tx, domain.ConfigKindFor(common.Provider), `
		where c.id = $1`, id)
	if err != nil {
		return nil, err
	}
	return made[0], nil
}

// packageLock returns the number of a package's advisory lock. Packages that share
// one merely wait for each other.
func packageLock(pkg domain.Package) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(pkg.String()))
	return int32(h.Sum32()) //nolint:gosec // Any 32 bits will do, whatever their sign.
}

// Config implements [application.ConfigStore].
func (s *Store) Config(ctx context.Context, id int64) (domain.Config, error) {
	var found []domain.Config
	err := retry(ctx, func(ctx context.Context) (err error) {
		found, err = selectAllKinds(ctx, s.db, `
			where c.id = $1`, id)
		return err
	})
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
	err := retry(ctx, func(ctx context.Context) error {
		page = application.ConfigPage{}
		for _, kind := range kindsOf(query.Kind) {
			var total int
			err := s.db.GetContext(ctx, &total, `
				select count(*) from trustpub_configs c
				join `+tableOf(kind)+` k on k.id = c.id
				where ($1 = '' and $2 = '') or (c.ecosystem = $1 and c.package = $2)`, query.Package.Ecosystem, query.Package.Name)
			if err != nil {
				return err
			}
			configs, err := selectConfigs(ctx, s.db, kind, `
				where (($1 = '' and $2 = '') or (c.ecosystem = $1 and c.package = $2)) and c.id > $3
				order by c.id
				limit $4`, query.Package.Ecosystem, query.Package.Name, query.After, query.Limit+1)
			if err != nil {
				return err
			}
			page.Total += total
			page.Configs = append(page.Configs, configs...)
		}
		return nil
	})
	if err != nil {
		return application.ConfigPage{}, fmt.Errorf("list configs: %w", err)
	}
	sortByID(page.Configs)
	page.More = len(page.Configs) > query.Limit
	page.Configs = page.Configs[:min(len(page.Configs), query.Limit)]
	return page, nil
}

// DeleteConfig implements [application.ConfigStore]. When the outcome of a first
// attempt is unknown and a second finds nothing to delete, the config is gone, as was
// asked for.
func (s *Store) DeleteConfig(ctx context.Context, id int64) error {
	again := false
	err := retry(ctx, func(ctx context.Context) error {
		var deleted int64
		// In a transaction, as database/sql might run a lone statement again by itself.
		err := s.inTx(ctx, func(tx *sqlx.Tx) error {
			result, err := tx.ExecContext(ctx, `delete from trustpub_configs where id = $1`, id)
			if err != nil {
				return err
			}
			deleted, err = result.RowsAffected()
			return err
		})
		if err == nil && deleted == 0 && !again {
			return domain.ConfigNotFound(id)
		}
		again = true
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
	found, err := selectStored(ctx, q, kind, condition, args...)
	return configsOf(found), err
}

func configsOf(found []stored) []domain.Config {
	configs := make([]domain.Config, 0, len(found))
	for _, s := range found {
		configs = append(configs, s.config)
	}
	return configs
}

// stored is a config and its row.
type stored struct {
	row    configRow
	config domain.Config
}

// selectStored is selectConfigs, with the rows.
func selectStored(ctx context.Context, q sqlx.QueryerContext, kind domain.ConfigKind, condition string, args ...any) ([]stored, error) {
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

// selectCommon are the columns of [configRow]; g is the row of the config's kind.
const selectCommon = `c.id, c.created_at, c.provider, c.ecosystem, c.package, c.issuer, c.lookup_key, c.pinned,
	concat_ws(' ', c, g) as row_text`

// configRow is a row of trustpub_configs: what configs of all kinds have.
type configRow struct {
	ID        int64     `db:"id"`
	CreatedAt time.Time `db:"created_at"`
	Provider  string    `db:"provider"`
	Ecosystem string    `db:"ecosystem"`
	Package   string    `db:"package"`
	Issuer    string    `db:"issuer"`
	LookupKey string    `db:"lookup_key"`
	Pinned    string    `db:"pinned"`
	// RowText is all that this row and the row of the kind hold, as PostgreSQL writes it.
	RowText string `db:"row_text"`
}

// kindRow is a row of a kind, which restores its config by the same rules by which it
// was made.
type kindRow interface {
	common() configRow
	config(pinned map[string]string) (domain.Config, error)
}

func (r configRow) common() configRow { return r }

func (r configRow) pkg() domain.Package {
	return domain.Package{Ecosystem: r.Ecosystem, Name: r.Package}
}

func selectRows[R kindRow](ctx context.Context, q sqlx.QueryerContext, query string, args []any) ([]stored, error) {
	var rows []R
	err := sqlx.SelectContext(ctx, q, &rows, query, args...)
	if err != nil {
		return nil, err
	}
	configs := make([]stored, 0, len(rows))
	for _, row := range rows {
		config, err := restore(row)
		if err != nil {
			// A row that breaks a rule is a defect of the data, not the client's mistake.
			return nil, fmt.Errorf("restore config %d: %s", row.common().ID, err.Error())
		}
		configs = append(configs, stored{row.common(), config})
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
		err := tx.SelectContext(ctx, &rows, `select pinned from trustpub_configs where id = $1 for update`, p.ConfigID)
		if err != nil {
			return fmt.Errorf("read what config %d is pinned to: %w", p.ConfigID, err)
		}
		if len(rows) == 0 {
			continue
		}
		now := map[string]string{}
		err = json.Unmarshal([]byte(rows[0]), &now)
		if err != nil {
			return fmt.Errorf("decode pinned IDs: %w", err)
		}
		if maps.Equal(now, p.After) {
			continue
		}
		if !maps.Equal(now, p.Before) {
			return domain.PinnedMeanwhile()
		}
		after, err := encodeStrings(p.After)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `update trustpub_configs set pinned = $2::jsonb where id = $1`, p.ConfigID, after)
		if err != nil {
			return fmt.Errorf("pin config %d: %w", p.ConfigID, err)
		}
	}
	return nil
}

// encodeStrings returns the one JSON text of a map.
func encodeStrings(m map[string]string) (string, error) {
	if m == nil {
		m = map[string]string{}
	}
	text, err := json.Marshal(m) // Members are sorted.
	if err != nil {
		return "", fmt.Errorf("encode IDs: %w", err)
	}
	return string(text), nil
}

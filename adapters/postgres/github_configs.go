package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// FindConfigs implements [application.ConfigFinder].
func (s *Store) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	if claims.Provider() != domain.ProviderGitHub {
		return nil, nil
	}
	var rows []githubConfigRow
	err := retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.db.SelectContext(ctx, &rows, selectGitHubConfigs+`
			where issuer = $1 and repository_key = $2
			order by id`, claims.Issuer(), claims.Repository().Key())
	})
	if err != nil {
		return nil, fmt.Errorf("find github configs: %w", err)
	}
	configs := make([]domain.Config, 0, len(rows))
	for _, row := range rows {
		config, err := row.config()
		if err != nil {
			return nil, err
		}
		configs = append(configs, config)
	}
	return configs, nil
}

// CreateGitHubConfig implements [application.GitHubConfigStore]. The configs of one
// package are made one after the other, so that counting and inserting are one step.
func (s *Store) CreateGitHubConfig(ctx context.Context, config domain.GitHubConfig, limit int) (domain.GitHubConfig, error) {
	row := newGitHubConfigRow(config)
	again := false
	err := retry(ctx, func(ctx context.Context) error {
		err := s.inTx(ctx, func(tx *sqlx.Tx) error { return create(ctx, tx, &row, limit, again) })
		again = true
		return err
	})
	if err != nil {
		return domain.GitHubConfig{}, fmt.Errorf("create github config: %w", err)
	}
	return row.config()
}

// create inserts the row, unless it exists or the package is full. again tells that
// an earlier attempt may have committed: the identical row that was made at this very
// microsecond is then that attempt's, and no conflict.
func create(ctx context.Context, tx *sqlx.Tx, row *githubConfigRow, limit int, again bool) error {
	_, err := tx.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockSpace+lockConfig, packageLock(row.Ecosystem, row.Package))
	if err != nil {
		return fmt.Errorf("lock package: %w", err)
	}
	var existing []githubConfigRow
	err = tx.SelectContext(ctx, &existing, selectGitHubConfigs+`
		where ecosystem = $1 and package = $2`, row.Ecosystem, row.Package)
	if err != nil {
		return fmt.Errorf("read the package's configs: %w", err)
	}
	for _, other := range existing {
		if !row.sameAs(other) {
			continue
		}
		if again && other.CreatedAt.Equal(row.CreatedAt) {
			row.ID = other.ID
			return nil
		}
		return domain.DuplicateConfig()
	}
	if len(existing) >= limit {
		return domain.TooManyConfigs(len(existing))
	}
	err = tx.GetContext(ctx, &row.ID, `
		insert into trustpub_configs_github (created_at, ecosystem, package, issuer, repository_owner, repository_name,
			repository_key, repository_owner_id, workflow_filename, environment, environment_key)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		returning id`,
		row.CreatedAt, row.Ecosystem, row.Package, row.Issuer, row.RepositoryOwner, row.RepositoryName,
		row.RepositoryKey, row.RepositoryOwnerID, row.WorkflowFilename, row.Environment, row.EnvironmentKey)
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return nil
}

// packageLock returns the number of a package's advisory lock. Packages that share
// one merely wait for each other.
func packageLock(ecosystem, name string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(ecosystem + "/" + name))
	return int32(h.Sum32()) //nolint:gosec // Any 32 bits will do, whatever their sign.
}

// GitHubConfig implements [application.GitHubConfigStore].
func (s *Store) GitHubConfig(ctx context.Context, id int64) (domain.GitHubConfig, error) {
	var row githubConfigRow
	err := retry(ctx, func(ctx context.Context) error {
		return s.db.GetContext(ctx, &row, selectGitHubConfigs+`
			where id = $1`, id)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return domain.GitHubConfig{}, domain.ConfigNotFound(id)
	}
	if err != nil {
		return domain.GitHubConfig{}, fmt.Errorf("find github config: %w", err)
	}
	return row.config()
}

// ListGitHubConfigs implements [application.GitHubConfigStore].
func (s *Store) ListGitHubConfigs(ctx context.Context, query application.ListQuery) (application.GitHubConfigPage, error) {
	var page application.GitHubConfigPage
	var rows []githubConfigRow
	err := retry(ctx, func(ctx context.Context) error {
		rows = nil
		err := s.db.GetContext(ctx, &page.Total, `
			select count(*) from trustpub_configs_github
			where ($1 = '' and $2 = '') or (ecosystem = $1 and package = $2)`, query.Package.Ecosystem, query.Package.Name)
		if err != nil {
			return err
		}
		return s.db.SelectContext(ctx, &rows, selectGitHubConfigs+`
			where (($1 = '' and $2 = '') or (ecosystem = $1 and package = $2)) and id > $3
			order by id
			limit $4`, query.Package.Ecosystem, query.Package.Name, query.After, query.Limit+1)
	})
	if err != nil {
		return application.GitHubConfigPage{}, fmt.Errorf("list github configs: %w", err)
	}
	page.More = len(rows) > query.Limit
	for _, row := range rows[:min(len(rows), query.Limit)] {
		config, err := row.config()
		if err != nil {
			return application.GitHubConfigPage{}, err
		}
		page.Configs = append(page.Configs, config)
	}
	return page, nil
}

// DeleteGitHubConfig implements [application.GitHubConfigStore]. When the outcome of
// a first attempt is unknown and a second finds nothing to delete, the config is
// gone, as was asked for.
func (s *Store) DeleteGitHubConfig(ctx context.Context, id int64) error {
	again := false
	err := retry(ctx, func(ctx context.Context) error {
		var deleted int64
		// In a transaction, as database/sql might run a lone statement again by itself.
		err := s.inTx(ctx, func(tx *sqlx.Tx) error {
			result, err := tx.ExecContext(ctx, `delete from trustpub_configs_github where id = $1`, id)
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
		return fmt.Errorf("delete github config: %w", err)
	}
	return nil
}

// selectGitHubConfigs reads rows as [githubConfigRow]; the condition follows.
const selectGitHubConfigs = `
	select id, created_at, ecosystem, package, issuer, repository_owner, repository_name, repository_key,
		repository_owner_id, workflow_filename, environment, environment_key
	from trustpub_configs_github`

// githubConfigRow is a row of trustpub_configs_github.
type githubConfigRow struct {
	ID                int64          `db:"id"`
	CreatedAt         time.Time      `db:"created_at"`
	Ecosystem         string         `db:"ecosystem"`
	Package           string         `db:"package"`
	Issuer            string         `db:"issuer"`
	RepositoryOwner   string         `db:"repository_owner"`
	RepositoryName    string         `db:"repository_name"`
	RepositoryKey     string         `db:"repository_key"`
	RepositoryOwnerID int64          `db:"repository_owner_id"`
	WorkflowFilename  string         `db:"workflow_filename"`
	Environment       sql.NullString `db:"environment"`
	EnvironmentKey    string         `db:"environment_key"`
}

func newGitHubConfigRow(c domain.GitHubConfig) githubConfigRow {
	environment, named := c.Environment()
	return githubConfigRow{
		ID: c.ID(), CreatedAt: c.CreatedAt().UTC().Truncate(time.Microsecond), // what the column holds
		Ecosystem: c.Package().Ecosystem, Package: c.Package().Name, Issuer: c.Issuer(),
		RepositoryOwner: c.Repository().Owner, RepositoryName: c.Repository().Name, RepositoryKey: c.Repository().Key(),
		RepositoryOwnerID: c.OwnerID(), WorkflowFilename: c.WorkflowFilename(),
		Environment: sql.NullString{String: environment, Valid: named}, EnvironmentKey: c.EnvironmentKey(),
	}
}

// sameAs reports whether two configs of one package are identical.
func (r githubConfigRow) sameAs(other githubConfigRow) bool {
	return r.Issuer == other.Issuer && r.RepositoryKey == other.RepositoryKey && r.RepositoryOwnerID == other.RepositoryOwnerID &&
		r.WorkflowFilename == other.WorkflowFilename && r.EnvironmentKey == other.EnvironmentKey
}

// config restores the config, by the same rules by which it was made.
func (r githubConfigRow) config() (domain.GitHubConfig, error) {
	params := domain.GitHubConfigParams{
		ID: r.ID, CreatedAt: r.CreatedAt.UTC(),
		Package: domain.Package{Ecosystem: r.Ecosystem, Name: r.Package}, Issuer: r.Issuer,
		Owner: r.RepositoryOwner, Repository: r.RepositoryName, OwnerID: r.RepositoryOwnerID,
		WorkflowFilename: r.WorkflowFilename,
	}
	if r.Environment.Valid {
		params.Environment = &r.Environment.String
	}
	config, err := domain.NewGitHubConfig(params)
	if err != nil {
		// A row that breaks a rule is a defect of the data, not the client's mistake.
		return domain.GitHubConfig{}, fmt.Errorf("restore github config %d: %s", r.ID, err.Error())
	}
	return config, nil
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	err := s.db.reader.SelectContext(ctx, &rows, selectGitHubConfigs+`
		where issuer = ? and repository_key = ?
		order by id`, claims.Issuer(), claims.Repository().Key())
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

// CreateGitHubConfig implements [application.GitHubConfigStore].
func (s *Store) CreateGitHubConfig(ctx context.Context, config domain.GitHubConfig, limit int) (domain.GitHubConfig, error) {
	row := newGitHubConfigRow(config)
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		err := checkRoom(ctx, tx, row, limit)
		if err != nil {
			return err
		}
		result, err := tx.NamedExecContext(ctx, `
			insert into trustpub_configs_github (created_at, ecosystem, package, issuer, repository_owner, repository_name,
				repository_key, repository_owner_id, workflow_filename, environment, environment_key)
			values (:created_at, :ecosystem, :package, :issuer, :repository_owner, :repository_name,
				:repository_key, :repository_owner_id, :workflow_filename, :environment, :environment_key)`, row)
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		row.ID, err = result.LastInsertId()
		return err
	})
	if err != nil {
		return domain.GitHubConfig{}, fmt.Errorf("create github config: %w", err)
	}
	return row.config()
}

// checkRoom refuses a config that exists or that the package has no room for.
func checkRoom(ctx context.Context, tx *sqlx.Tx, row githubConfigRow, limit int) error {
	var count struct {
		Same  int `db:"same"`
		Total int `db:"total"`
	}
	err := tx.GetContext(ctx, &count, `
		select count(*) as total,
			coalesce(sum(issuer = ? and repository_key = ? and repository_owner_id = ? and workflow_filename = ? and environment_key = ?), 0) as same
		from trustpub_configs_github
		where ecosystem = ? and package = ?`,
		row.Issuer, row.RepositoryKey, row.RepositoryOwnerID, row.WorkflowFilename, row.EnvironmentKey, row.Ecosystem, row.Package)
	switch {
	case err != nil:
		return fmt.Errorf("count configs: %w", err)
	case count.Same > 0:
		return domain.DuplicateConfig()
	case count.Total >= limit:
		return domain.TooManyConfigs(count.Total)
	}
	return nil
}

// GitHubConfig implements [application.GitHubConfigStore].
func (s *Store) GitHubConfig(ctx context.Context, id int64) (domain.GitHubConfig, error) {
	var row githubConfigRow
	err := s.db.reader.GetContext(ctx, &row, selectGitHubConfigs+`
		where id = ?`, id)
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
	err := s.db.reader.GetContext(ctx, &page.Total, `
		select count(*) from trustpub_configs_github
		where (?1 = '' and ?2 = '') or (ecosystem = ?1 and package = ?2)`, query.Package.Ecosystem, query.Package.Name)
	if err != nil {
		return application.GitHubConfigPage{}, fmt.Errorf("count github configs: %w", err)
	}
	var rows []githubConfigRow
	err = s.db.reader.SelectContext(ctx, &rows, selectGitHubConfigs+`
		where ((?1 = '' and ?2 = '') or (ecosystem = ?1 and package = ?2)) and id > ?3
		order by id
		limit ?4`, query.Package.Ecosystem, query.Package.Name, query.After, query.Limit+1)
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

// DeleteGitHubConfig implements [application.GitHubConfigStore].
func (s *Store) DeleteGitHubConfig(ctx context.Context, id int64) error {
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `delete from trustpub_configs_github where id = ?`, id))
		if err == nil && n == 0 {
			return domain.ConfigNotFound(id)
		}
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
	CreatedAt         int64          `db:"created_at"`
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
		ID: c.ID(), CreatedAt: c.CreatedAt().UnixMicro(),
		Ecosystem: c.Package().Ecosystem, Package: c.Package().Name, Issuer: c.Issuer(),
		RepositoryOwner: c.Repository().Owner, RepositoryName: c.Repository().Name, RepositoryKey: c.Repository().Key(),
		RepositoryOwnerID: c.OwnerID(), WorkflowFilename: c.WorkflowFilename(),
		Environment: sql.NullString{String: environment, Valid: named}, EnvironmentKey: c.EnvironmentKey(),
	}
}

// config restores the config, by the same rules by which it was made.
func (r githubConfigRow) config() (domain.GitHubConfig, error) {
	params := domain.GitHubConfigParams{
		ID: r.ID, CreatedAt: fromMicros(r.CreatedAt),
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

package sqlite

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/domain"
)

// selectGitHubConfigs reads rows as [githubConfigRow]; the condition follows.
const selectGitHubConfigs = `
	select ` + selectCommon + `, g.repository_owner, g.repository_name, g.repository_owner_id, g.workflow_filename,
		g.workflow_repository, g.reusable_workflow_filename, g.environment
	from trustpub_configs c
	join trustpub_configs_github g on g.id = c.id`

// githubConfigRow is a row of trustpub_configs_github.
type githubConfigRow struct {
	configRow

	RepositoryOwner          string         `db:"repository_owner"`
	RepositoryName           string         `db:"repository_name"`
	RepositoryOwnerID        int64          `db:"repository_owner_id"`
	WorkflowFilename         string         `db:"workflow_filename"`
	WorkflowRepository       sql.NullString `db:"workflow_repository"`
	ReusableWorkflowFilename sql.NullString `db:"reusable_workflow_filename"`
	Environment              sql.NullString `db:"environment"`
}

func (r githubConfigRow) config(pinned map[string]string) (domain.Config, error) {
	params := domain.GitHubConfigParams{
		ID: r.ID, CreatedAt: r.createdAt(), Package: r.pkg(), Issuer: r.Issuer, Pinned: pinned,
		Owner: r.RepositoryOwner, Repository: r.RepositoryName, OwnerID: r.RepositoryOwnerID,
		WorkflowFilename:   r.WorkflowFilename,
		WorkflowRepository: r.WorkflowRepository.String, ReusableWorkflowFilename: r.ReusableWorkflowFilename.String,
	}
	if r.Environment.Valid {
		params.Environment = &r.Environment.String
	}
	return params.Config()
}

func insertGitHubConfig(ctx context.Context, tx *sqlx.Tx, id int64, c domain.GitHubConfig) error {
	environment, named := c.Environment()
	workflowRepository, reusable, pinned := c.ReusableWorkflow()
	_, err := tx.ExecContext(ctx, `
		insert into trustpub_configs_github (id, repository_owner, repository_name, repository_owner_id, workflow_filename,
			workflow_repository, reusable_workflow_filename, environment)
		values (?, ?, ?, ?, ?, ?, ?, ?)`,
		id, c.Repository().Owner, c.Repository().Name, c.OwnerID(), c.WorkflowFilename(),
		sql.NullString{String: workflowRepository.String(), Valid: pinned}, sql.NullString{String: reusable, Valid: pinned},
		sql.NullString{String: environment, Valid: named})
	return err
}
